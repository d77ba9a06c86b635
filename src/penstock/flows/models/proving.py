"""The one rule of verdicts, for every door: a version passes on the newest verdict under the gates as they are now.

That verdict must be on exactly its content, have passed, and be what a trusted key signed. What opens when is in
`flows/models/aliases`, `flows/production/deploying` and `flows/production/controlling/acting`; loading is laxer, see `require_unbroken`,
and what begins to answer is asked a little more, see `flows/models/admitting`.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import sqlalchemy as sa

from penstock.base.clock import now_ms
from penstock.base.errors import Conflict, Corrupt, Denied, PenstockError, Refused, Unavailable
from penstock.base.signing import PublicKey
from penstock.base.store.events import record_event
from penstock.flows.models.evidence.refusals import last_said, standing
from penstock.project.places import SETTINGS_FILE
from penstock.project.project import Project
from penstock.project.settings import ProjectSettings
from penstock.registry.approvals import list_approvals, who_counts
from penstock.registry.entities import ModelVersion, Verdict
from penstock.registry.gates.judge import DOORS
from penstock.registry.gates.settings import GateEntry, changed_code, settings_digest
from penstock.registry.package import digest_manifest
from penstock.registry.proof import Proof, examine_verdict, seal_verdict, was_signed_at_once
from penstock.registry.verdicts import add_envelope, find_verdict, signed_until, was_called, was_judged


@dataclass(frozen=True)
class VerdictRule:
    """What a verdict is held against: the gates as they are now, and the keys that are trusted here."""

    settings: ProjectSettings
    root: Path
    keys: Mapping[str, PublicKey]

    @classmethod
    def of(cls, project: Project) -> VerdictRule:
        """Return the rule of a project.

        Raises:
            Invalid: penstock.yaml or a trusted key is wrong.
        """
        return cls(project.settings, project.root, project.keys.trusted)

    def gates_of(self, model: str) -> tuple[GateEntry, ...]:
        """Return the gates of a model."""
        return self.settings.gates_of(model)

    def digest_of(self, model: str) -> str:
        """Return what binds a verdict to a model's gates as they are now."""
        return settings_digest(self.gates_of(model), self.root)

    def examine(self, connection: sa.Connection, verdict: Verdict) -> Proof:
        """Say whether a verdict is proof here."""
        return _examine(connection, verdict, self.keys)

    def find(self, connection: sa.Connection, version: ModelVersion) -> Verdict | None:
        """Return the newest verdict on a version under the gates as they are now, whatever it is worth."""
        return find_verdict(connection, version.model, version.digest, self.digest_of(version.model))

    def require(self, connection: sa.Connection, version: ModelVersion, what: str) -> Verdict:
        """Return the verdict that allows a version to pass a door; `what` says what it cannot do without.

        Raises:
            Refused: there is none, it did not pass, or it is no proof.
        """
        start = f"{version.ref} cannot {what}"
        try:
            verdict = self.find(connection, version)
            other = find_verdict(connection, version.model, version.digest)
        except Corrupt as error:
            raise _refusal(version, f"{start}: {error.message}", error.code, error.hint or "") from None
        for one in (verdict, other):
            if one is None:
                continue
            proof = self.examine(connection, one)
            if not proof.holds and (one is verdict or proof.state == "damaged"):
                raise _no_proof(version, start, proof, one)
        judge = f"penstock gate run {shlex.quote(version.ref)}"
        if verdict is None or not verdict.passed:
            sentence = f"{start}: {_shortcoming(version, verdict, other, self.root)}"
            raise _refusal(version, sentence, "gate.no_passing_verdict", judge, verdict)
        ended = verdict.ended_waiver(now_ms())
        if ended is not None and ended.waiver is not None:
            sentence = f"{start}: its check {ended.kind} failed, and its waiver ended on {ended.waiver.until}"
            raise _refusal(version, sentence, "gate.waiver_ended", judge, verdict)
        if digest_manifest(version.manifest) != version.digest:
            sentence = f"{start}: the list of its files is not the one that was registered"
            verify = f"penstock model verify {shlex.quote(version.ref)}"
            raise _refusal(version, sentence, "registry.manifest_changed", verify, verdict)
        lacking = self.lacking_approval(connection, version)
        if lacking is not None:
            approve = f"penstock gate approve {shlex.quote(version.ref)}, by somebody else than its author"
            raise _refusal(version, f"{start}: {lacking}", "gate.not_approved", approve, verdict)
        return verdict

    def let_out(
        self, connection: sa.Connection, version: ModelVersion, what: str, *, is_answered_for: bool = False
    ) -> Verdict | None:
        """Return the verdict that a version passes a door on, whether it has gates or not; None where nothing judged it.

        Args:
            what: what it cannot do without, as `become champion`.
            is_answered_for: a person says why it may go out though gates refused it that are not set any more.

        Raises:
            Refused: as `require` where gates are set; else a refusal of its files stands, or there is no
                penstock.yaml to say that it has no gates, and it passed none.
        """
        if self.gates_of(version.model):
            return self.require(connection, version, what)
        start = f"{version.ref} cannot {what}"
        try:
            said = last_said(connection, version)
            newest = find_verdict(connection, version.model, version.digest)
        except Corrupt as error:
            raise _refusal(version, f"{start}: {error.message}", error.code, error.hint or "") from None
        refused = None if is_answered_for else standing(connection, version, said)
        if refused is not None:
            hint = (
                f"set its gates in {SETTINGS_FILE} and judge it by them, penstock gate run {shlex.quote(version.ref)}; or "
                f"penstock promote {shlex.quote(version.ref)} --force --reason TEXT, or a deploy with them, says why it may"
            )
            raise _refusal(version, f"{start}: {refused[1]}", "gate.no_passing_verdict", hint, refused[0])
        for one in said:
            proof = self.examine(connection, one)
            if proof.state == "damaged":
                raise _no_proof(version, start, proof, one)
        own = next((one for one in said if one.model == version.model), newest)
        if (
            own is None
            and not (self.root / SETTINGS_FILE).is_file()
            and was_judged(connection, version.model)
        ):
            sentence = (
                f"{start}: {_shortcoming(version, None, None, self.root)}; there is no {SETTINGS_FILE} here"
            )
            hint = f"put {SETTINGS_FILE} back, then penstock gate run {shlex.quote(version.ref)}"
            raise _refusal(version, sentence, "gate.no_passing_verdict", hint)
        return own

    def lacking_approval(self, connection: sa.Connection, version: ModelVersion) -> str | None:
        """Say what people have yet to say of a version under the gates as they are now; None when nothing."""
        asked = [
            one
            for one in self.gates_of(version.model)
            if one.kind == DOORS
            and one.severity == "block"
            and not (one.waiver is not None and one.waiver.holds_at(now_ms()))
        ]
        if not asked:
            return None
        approvals = list_approvals(connection, version, self.keys)
        for one in asked:
            people = who_counts(approvals, (version.actor,), one.settings.of)
            if len(people) < one.settings.people:
                has = f"{', '.join(people)} did" if people else "nobody did"
                return f"{one.settings.told} must approve it, {has}"
        return None


def _examine(connection: sa.Connection, verdict: Verdict, keys: Mapping[str, PublicKey]) -> Proof:
    def was_signing(until_ms: int) -> bool:
        return any(map(was_signed_at_once, signed_until(connection, until_ms)))

    return examine_verdict(verdict, keys, partial(was_called, connection), was_signing)


def _no_proof(version: ModelVersion, start: str, proof: Proof, verdict: Verdict) -> Refused:
    ref, sentence = version.ref, f"{start}: its verdict is no proof: {proof.sentence}"
    if proof.state == "unsigned":
        hint = f"penstock gate run {shlex.quote(ref)} judges it anew; penstock gate adopt {shlex.quote(ref)} vouches for the verdict as it is"
        return _refusal(version, sentence, "gate.verdict_unsigned", hint, verdict)
    if proof.state == "untrusted":
        hint = (
            "list what `penstock key show` prints where it was judged under `trusted_keys:` in penstock.yaml; "
            f"or judge it here: penstock gate run {shlex.quote(ref)}"
        )
        return _refusal(version, sentence, "gate.verdict_untrusted", hint, verdict)
    hint = f"penstock model verify {shlex.quote(ref)} tells more; penstock gate run {shlex.quote(ref)} judges it anew"
    return _refusal(version, sentence, "gate.verdict_damaged", hint, verdict)


def _refusal(
    version: ModelVersion, sentence: str, code: str, hint: str, verdict: Verdict | None = None
) -> Refused:
    return Refused(
        sentence,
        code=code,
        hint=hint,
        model=version.model,
        version=version.number,
        digest=version.digest,
        verdict=verdict.id if verdict else None,
    )


def _shortcoming(version: ModelVersion, verdict: Verdict | None, other: Verdict | None, root: Path) -> str:
    if not version.digest:
        return f"its files are at {version.source}, where nobody can say what they are"
    if verdict is not None:
        failed = next((check for check in verdict.checks if check.is_blocking), None)
        return f"its gate refused it{f': {failed.sentence}' if failed else ''}"
    if other is not None:
        changed = changed_code(other.checks, root)
        return f"the gates changed since it was judged{f': {told_files(changed)}' if changed else ''}"
    return "no gate has judged exactly this model"


def told_files(names: Sequence[str]) -> str:
    """Return files as a sentence names them: the first three, and how many more."""
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return f"{', '.join(names[:3])}{more}"


def require_unbroken(project: Project, connection: sa.Connection, version: ModelVersion) -> None:
    """Make sure that nothing about a version that is to be loaded was changed since it was judged.

    Whether it was judged at all, and under which gates, was asked when it was deployed; so were verdicts that were
    made before signing. So that production goes on, only what can be seen to be wrong is refused here.

    Raises:
        Refused: its newest verdict was changed, or, where it has gates, nobody who is trusted here signed it.
    """
    start = f"{version.ref} is not loaded"
    try:
        verdict = find_verdict(connection, version.model, version.digest)
        if verdict is None:
            return
        proof = _examine(connection, verdict, project.keys.trusted)
    except Corrupt as error:
        raise _refusal(version, f"{start}: {error.message}", error.code, error.hint or "") from None
    has_gates = bool(project.readable_settings.gates_of(version.model))
    if proof.state == "damaged" or (proof.state == "untrusted" and has_gates):
        raise _no_proof(version, start, proof, verdict)


def require_intact(project: Project, version: ModelVersion) -> None:
    """Check that the artifact store has exactly the files that were registered, as loading will; each is read once.

    Raises:
        Refused: one is missing or another.
        Unavailable, Denied: they cannot be read, so nothing was compared.
    """
    try:
        for file in version.manifest.files:
            project.artifacts.check(file.sha256)
    except (Denied, Unavailable) as error:
        raise unread_files(version, error) from error
    except PenstockError as error:
        raise Refused(
            f"the files of {version.ref} are not those that were judged: {error.message}",
            code="registry.files_changed",
            hint=f"penstock model verify {shlex.quote(version.ref)}",
            model=version.model,
            version=version.number,
        ) from None


def unread_files(version: ModelVersion, error: Denied | Unavailable) -> PenstockError:
    """Make the error for files that the artifact store does not hand out now, which says nothing of what they are."""
    return type(error)(
        f"the files of {version.ref} cannot be read, so they were not compared with what was registered: {error.message}",
        code=error.code,
        hint="check that the artifact store can be reached (penstock doctor), then run the same command again",
        model=version.model,
        version=version.number,
    )


def adopt_verdict(project: Project, version: ModelVersion) -> Verdict:
    """Vouch for the newest verdict on a version, which was made before verdicts were signed; return it signed.

    Raises:
        Conflict: there is none, or it is signed.
        Refused: it was made when verdicts were signed already.
        Corrupt: its row cannot be read.
    """
    with project.database.write() as connection:
        verdict = find_verdict(connection, version.model, version.digest)
        if verdict is None or verdict.envelope is not None:
            raise Conflict(
                f"{version.ref} has {'no verdict' if verdict is None else 'a verdict that is signed'}",
                code="gate.nothing_to_adopt",
                hint=f"penstock gate {'run' if verdict is None else 'show'} {shlex.quote(version.ref)}",
            )
        proof = _examine(connection, verdict, project.keys.trusted)
        if proof.state == "damaged":
            raise _no_proof(version, f"{version.ref} has nothing to vouch for", proof, verdict)
        adopted = {"actor": project.actor, "time_ms": now_ms()}
        signed = seal_verdict(verdict, project.keys.signing_key(), adopted=adopted)
        add_envelope(connection, signed)
        record_event(
            connection,
            "gate.adopted",
            f"model:{version.ref}",
            project.actor,
            f"{project.actor} vouched for the unsigned verdict {verdict.id} on {version.ref}",
            cause={"verdict": verdict.id, "digest": version.digest},
        )
    return signed
