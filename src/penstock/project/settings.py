"""The whole of penstock.yaml, composed of the parts' settings."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Literal

import msgspec

from penstock.base.errors import NotFound
from penstock.base.settings import load_settings
from penstock.ci.cron import parse_cron
from penstock.monitoring.settings import ROWS_MAX, EndpointSettings, WrittenAlerts
from penstock.project.places import DEFAULT_ARTIFACTS, DEFAULT_STORE, SETTINGS_FILE, read_written
from penstock.registry.gates.settings import GateEntry

_ROLE = re.compile(r"arn:aws[a-z-]*:iam::[0-9]{12}:role/[A-Za-z0-9+=,.@_/-]+")
_REGION = re.compile(r"[a-z]{2}(?:-[a-z]+)+-[0-9]+")
PUBLIC_KEY = re.compile(r"ed25519:[A-Za-z0-9+/]{43}=(\s.*)?")


class ModelSettings(msgspec.Struct, frozen=True, kw_only=True):
    """The model a pipeline makes and what belongs to it; paths are relative to the root.

    `time` is the column that puts the rows of `reference` in order of time; without it they are taken as
    they stand. From their order follows how much windows vary without drift. `gates` are this model's own; without
    the key it has those of the project. So many `reference_rows` are kept with a version, for what is judged on whole
    rows; columns that an endpoint redacts are not in them.
    """

    name: str
    path: str
    signature: Literal["inferred"] = "inferred"
    reference: str | None = None
    reference_rows: int = ROWS_MAX
    metrics: str | None = None
    test: str | None = None
    label: str | None = None
    time: str | None = None
    gates: tuple[GateEntry, ...] | None = None

    def __post_init__(self) -> None:
        if not 0 <= self.reference_rows <= 10_000:
            raise ValueError("reference_rows is between 0 and 10000")


class WebhookSettings(msgspec.Struct, frozen=True, kw_only=True):
    """Where the webhooks that clients register may lead."""

    allow_private: bool = False


class TriggerSettings(msgspec.Struct, frozen=True, kw_only=True):
    """When `penstock ci run` runs without a push: at times (cron, UTC), or when data changed at their source.

    `data` names imports of the repository, or URLs and paths outside of it.
    """

    schedule: str | None = None
    data: str | tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.schedule is not None:
            parse_cron(self.schedule)

    @property
    def sources(self) -> tuple[str, ...]:
        """What is watched."""
        return (self.data,) if isinstance(self.data, str) else self.data

    @property
    def is_set(self) -> bool:
        """Whether there is any."""
        return self.schedule is not None or bool(self.sources)


class OidcSettings(msgspec.Struct, frozen=True, kw_only=True):
    """The AWS role that a CI system's own short-lived token is taken for, in the place of keys that last."""

    role: str
    region: str

    def __post_init__(self) -> None:
        if not _ROLE.fullmatch(self.role):
            raise ValueError("role is an AWS role's ARN, like arn:aws:iam::123456789012:role/NAME")
        if not _REGION.fullmatch(self.region):
            raise ValueError("region is an AWS region, like eu-central-1")


class CiSettings(msgspec.Struct, frozen=True, kw_only=True):
    """What `penstock ci run` runs before the pipeline; no `tests` means none.

    `install` is how a CI system's fresh machine gets the project's packages, instead of what its files say. `deploy` is
    what becomes of a version that passed on the default branch: nothing, champion, champion and all of its
    endpoints' traffic, or the first share of their rollouts. `image` is the container image of Kubeflow's components,
    which has git, Penstock and the project's packages. `on` says when it runs without a push. `oidc` gives the
    files of GitHub and GitLab a role on AWS instead of keys.
    """

    tests: str | None = None
    install: str | None = None
    image: str | None = None
    on: TriggerSettings = TriggerSettings()
    oidc: OidcSettings | None = None
    deploy: Literal["none", "promote", "rollout", "full"] = "none"


class LineageSettings(msgspec.Struct, frozen=True, kw_only=True):
    """Where OpenLineage events of runs go: a server's URL, or a file that they are appended to; by default nowhere.

    `namespace` is what the names of jobs and data belong to. OpenLineage's own variables win.
    """

    url: str | None = None
    file: str | None = None
    namespace: str | None = None

    def __post_init__(self) -> None:
        if self.url is not None and self.file is not None:
            raise ValueError("events go to a `url` or to a `file`")


SHORTEST_DAYS = 1 / 24
"""Less would take away what windows under way, and labels on their way, still need."""

LONGEST_DAYS = 1_000_000
"""Beyond that no store has a number for when it was."""


class RetentionSettings(msgspec.Struct, frozen=True, kw_only=True):
    """How many days the store keeps what; None keeps it for ever. Events, revisions and policies stay."""

    windows_days: float | None = 400.0
    predictions_days: float | None = 90.0
    features_days: float | None = 90.0
    findings_days: float | None = 400.0

    def __post_init__(self) -> None:
        kept = (self.windows_days, self.predictions_days, self.features_days, self.findings_days)
        if any(days is not None and days < SHORTEST_DAYS for days in kept):
            raise ValueError("days are at least 0.042 (an hour), or null to keep for ever")
        if any(days is not None and days > LONGEST_DAYS for days in kept):
            raise ValueError(f"days are at most {LONGEST_DAYS}, or null to keep for ever")

    @property
    def sentence(self) -> str:
        """What is kept for how long, to be told where it takes hold."""
        kept = {
            "windows": self.windows_days,
            "predictions and labels": self.predictions_days,
            "features": self.features_days,
            "findings": self.findings_days,
        }
        told = [f"{what} {'for ever' if days is None else f'{days:g} days'}" for what, days in kept.items()]
        return f"the store keeps {', '.join(told)}"


class RecordingSettings(msgspec.Struct, frozen=True, kw_only=True):
    """How much of the traffic a serve process holds in memory until it is written, while the store is away too."""

    max_bytes: int = 268_435_456

    def __post_init__(self) -> None:
        if self.max_bytes < 1_000_000:
            raise ValueError("max_bytes is at least 1000000")


class ProjectSettings(msgspec.Struct, frozen=True, kw_only=True):
    """penstock.yaml. `models` are further models beside `model`, or instead of it.

    `trusted_keys` are public keys whose signatures on verdicts count, beside those in `.penstock/keys`.
    """

    project: str
    model: ModelSettings | None = None
    models: tuple[ModelSettings, ...] = ()
    gates: tuple[GateEntry, ...] = ()
    endpoints: dict[str, EndpointSettings] = {}
    protected_aliases: tuple[str, ...] = ("champion",)
    trusted_keys: tuple[str, ...] = ()
    alerts: WrittenAlerts = WrittenAlerts()
    webhooks: WebhookSettings = WebhookSettings()
    ci: CiSettings = CiSettings()
    lineage: LineageSettings = LineageSettings()
    retention: RetentionSettings = RetentionSettings()
    recording: RecordingSettings = RecordingSettings()
    store: str = DEFAULT_STORE
    artifacts: str = DEFAULT_ARTIFACTS

    def __post_init__(self) -> None:
        names = [one.name for one in self.all_models]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"two models are called {twice[0]!r}")
        wrong = next((text for text in self.trusted_keys if not PUBLIC_KEY.fullmatch(text)), None)
        if wrong is not None:
            raise ValueError(
                f"{wrong[:80]!r} in `trusted_keys` is no public key: `penstock key show` prints one"
            )

    @property
    def all_models(self) -> tuple[ModelSettings, ...]:
        """Every model of the pipeline, that under `model` first."""
        return (*([self.model] if self.model else []), *self.models)

    def gates_of(self, name: str) -> tuple[GateEntry, ...]:
        """Return the gates that a model's versions must pass: its own, else the project's."""
        own = next((one.gates for one in self.all_models if one.name == name), None)
        return self.gates if own is None else own

    @property
    def has_gates(self) -> bool:
        """Whether any model has gates."""
        return bool(self.gates) or any(one.gates for one in self.all_models)


def load_project_settings(root: Path) -> ProjectSettings:
    """Read penstock.yaml; without the file everything has its default and the project its folder's name.

    Raises:
        Invalid: a key or value is wrong, with file and line.
    """
    path = root / SETTINGS_FILE
    if not path.is_file():
        return ProjectSettings(project=root.name)
    return load_settings(path, ProjectSettings)


def read_places(root: Path) -> ProjectSettings:
    """Return the name and the places that a wrong penstock.yaml still says, with defaults for everything else."""
    return ProjectSettings(**read_written(root)._asdict())


def require_model(settings: ProjectSettings, root: Path) -> ModelSettings:
    """Return the model section, the first where there are several.

    Raises:
        NotFound: there is none, or no penstock.yaml at all.
    """
    if not settings.all_models:
        missing = "has no `model:` section" if (root / SETTINGS_FILE).exists() else "does not exist"
        raise NotFound(
            f"{root / SETTINGS_FILE} {missing}",
            code="settings.no_model",
            hint="write `project: …` and `model: {name: …, path: …}` into penstock.yaml",
        )
    return settings.all_models[0]


def unknown_model(settings: ProjectSettings, name: str) -> NotFound:
    """Return the refusal of a name that penstock.yaml, which names models, does not name."""
    names = ", ".join(one.name for one in settings.all_models)
    return NotFound(
        f"{SETTINGS_FILE} has no model {name}; it has {names}",
        code="settings.no_model",
        hint=f"name one of them, or give the path too: penstock model register {shlex.quote(name)} PATH",
        model=name,
    )
