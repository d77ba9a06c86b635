"""What the registry keeps: model versions, where they came from, and who called them what."""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import Any, Literal

import msgspec

from penstock.base.numbers import counted

CheckStatus = Literal["pass", "fail", "error", "skipped", "waiting"]
Severity = Literal["block", "warn"]
CHAMPION = "champion"
"""The alias of the version that is to answer."""


class FileDigest(msgspec.Struct, frozen=True):
    """One file of a model folder; `path` is relative, with `/`."""

    path: str
    size: int
    sha256: str


class Manifest(msgspec.Struct, frozen=True):
    """Every file of a model folder, sorted by path. Its digest is the model's identity."""

    files: tuple[FileDigest, ...]


class Provenance(msgspec.Struct, frozen=True, kw_only=True):
    """Where a model version came from.

    `commit` with `dirty_digest` (None when the tree was clean) is the code, `lock_digest` the pipeline
    state (its text is an artifact), `data` the digests of every input by path, `output` the model
    folder's own digest in DVC's format, None where no stage made it. `statement` is the signed statement of all that (an
    artifact), None where it was made before origins were signed.

    `tree` says whether the commit was all of the code, None where that was not recorded yet. `stale` is what differed then
    from what the lock says the model was made from: it was made before `commit`. `unseen` names the stages whose result
    no recorded run made. What of it is not known, and in which words: `registry.documents.origins`.
    """

    commit: str | None = None
    dirty_digest: str | None = None
    lock_digest: str | None = None
    run_id: str | None = None
    output: str | None = None
    data: dict[str, str] = {}
    environment: dict[str, str] = {}
    statement: str | None = None
    tree: Literal["clean", "changed", "unknown"] | None = None
    stale: tuple[str, ...] = ()
    unseen: tuple[str, ...] = ()


class RegisteredModel(msgspec.Struct, frozen=True, kw_only=True):
    """A name with its versions."""

    name: str
    created_ms: int
    updated_ms: int
    description: str | None = None
    tags: dict[str, str] = {}


class ModelVersion(msgspec.Struct, frozen=True, kw_only=True):
    """One version of a registered model: its content is fixed; description, stage and tags are notes.

    `digest` is empty, and the manifest too, where the files lie at a `source` the server does not read.
    """

    model: str
    number: int
    digest: str
    created_ms: int
    actor: str
    path: str
    manifest: Manifest
    provenance: Provenance
    metrics: dict[str, float] = {}
    profile_digest: str | None = None
    updated_ms: int = 0
    description: str | None = None
    stage: str = "None"
    source: str | None = None
    run_link: str | None = None
    logged_model_id: str | None = None
    tags: dict[str, str] = {}

    @property
    def ref(self) -> str:
        """The version's name: `model/number`."""
        return f"{self.model}/{self.number}"


class VersionCard(msgspec.Struct, frozen=True, kw_only=True):
    """What is told of a version in a list: everything but its content and provenance."""

    model: str
    number: int
    digest: str
    created_ms: int
    updated_ms: int
    actor: str
    stage: str
    path: str
    description: str | None = None
    source: str | None = None
    run_id: str | None = None
    run_link: str | None = None
    logged_model_id: str | None = None
    tags: dict[str, str] = {}
    aliases: tuple[str, ...] = ()


class Alias(msgspec.Struct, frozen=True):
    """Where a name points now."""

    model: str
    name: str
    version: int


class AliasMove(msgspec.Struct, frozen=True, kw_only=True):
    """One row of an alias's history; `version` None means the alias was deleted. `cause` says what moved it."""

    model: str
    name: str
    version: int | None
    previous: int | None
    time_ms: int
    actor: str
    verdict_id: str | None
    cause: dict[str, Any] | None = None


class Waiver(msgspec.Struct, frozen=True, kw_only=True):
    """Who lets a failed check pass, why, and until which day (UTC, that day included)."""

    by: str
    reason: str
    until: date

    def __post_init__(self) -> None:
        """Refuse what names nobody or no reason."""
        if not (self.by.strip() and self.reason.strip()):
            raise ValueError("a waiver names who (`by`) and why (`reason`)")

    def holds_at(self, time_ms: int) -> bool:
        """Whether its last day is not over."""
        return datetime.fromtimestamp(time_ms / 1000, UTC).date() <= self.until


class CheckResult(msgspec.Struct, frozen=True, kw_only=True):
    """One check's finding; an `error`, which could not be checked, never passes.

    `observed` was to be `expected`, over `n` rows or requests, and lies in `interval`; `asked` are the check's settings.
    `waiver` let it pass though it failed. `waiting`: the doors ask it, again each time. `code` are the files of the tree
    that belong to the check, with the sha256 of each; empty too where it was made before that was kept.
    """

    kind: str
    name: str
    status: CheckStatus
    severity: Severity
    sentence: str
    evidence: dict[str, Any] = {}
    observed: float | str | None = None
    expected: str = ""
    n: int | None = None
    interval: tuple[float | None, float | None] | None = None
    asked: dict[str, Any] | str = {}
    waiver: Waiver | None = None
    code: dict[str, str] = {}

    @property
    def is_blocking(self) -> bool:
        """Whether it alone refuses the model."""
        is_waived = self.waiver is not None and self.status == "fail"
        return self.status not in {"pass", "waiting"} and self.severity == "block" and not is_waived


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """What the gates said of exactly this model, under these settings, on this data.

    `envelope` is the signed statement of all of it (DSSE, in JSON); None where it was made before signing.
    """

    id: str
    model: str
    model_digest: str
    settings_digest: str
    data: dict[str, str]
    passed: bool
    checks: tuple[CheckResult, ...]
    created_ms: int
    actor: str
    envelope: str | None = None

    @property
    def summary(self) -> str:
        """How many checks passed, in words; that nothing was checked where no gate is set."""
        if not self.checks:
            return "no gates are set: nothing was checked but that it loads"
        passed = sum(check.status == "pass" for check in self.checks)
        if passed == len(self.checks):
            return f"{passed} of {counted(passed, 'check')} passed"
        blocking = len(self.blocking)
        waived = sum(check.waiver is not None for check in self.checks)
        waits = sum(check.status == "waiting" for check in self.checks)
        warned = len(self.checks) - passed - blocking - waived - waits
        words = [f"{passed} of {counted(len(self.checks), 'check')} passed"]
        words += [f"{blocking} refuse{'s' if blocking == 1 else ''} it"] if blocking else []
        words += [f"{waived} waived"] if waived else []
        words += [f"{waits} asked at each door"] if waits else []
        words += [f"{warned} only warn{'s' if warned == 1 else ''}"] if warned else []
        return ", ".join(words)

    @property
    def blocking(self) -> tuple[CheckResult, ...]:
        """The checks that refuse the model; none when it passed."""
        return tuple(check for check in self.checks if check.is_blocking)
