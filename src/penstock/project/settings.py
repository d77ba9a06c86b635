"""The whole of penstock.yaml, composed of the parts' settings."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import msgspec

from penstock.base.errors import NotFound
from penstock.base.settings import load_settings
from penstock.monitoring.settings import AlertSettings, EndpointSettings
from penstock.registry.gates.settings import GateEntry

SETTINGS_FILE = "penstock.yaml"
DEFAULT_STORE = "sqlite:///.penstock/penstock.db"
DEFAULT_ARTIFACTS = ".penstock/artifacts"


class ModelSettings(msgspec.Struct, frozen=True, kw_only=True):
    """The model a pipeline makes and what belongs to it; paths are relative to the root.

    `time` is the column that puts the rows of `reference` in order of time; without it they are taken as
    they stand. From their order follows how much windows vary without drift.
    """

    name: str
    path: str
    signature: Literal["inferred"] = "inferred"
    reference: str | None = None
    metrics: str | None = None
    test: str | None = None
    label: str | None = None
    time: str | None = None


class WebhookSettings(msgspec.Struct, frozen=True, kw_only=True):
    """Where the webhooks that clients register may lead."""

    allow_private: bool = False


class CiSettings(msgspec.Struct, frozen=True, kw_only=True):
    """What `penstock ci run` runs before the pipeline; no `tests` means none.

    `install` is how a CI system's fresh machine gets the project's packages, instead of what its files say.
    """

    tests: str | None = None
    install: str | None = None


class RetentionSettings(msgspec.Struct, frozen=True, kw_only=True):
    """How many days the store keeps what; None keeps it for ever. Events, revisions and policies stay."""

    windows_days: float | None = 400.0
    predictions_days: float | None = 90.0
    features_days: float | None = 90.0
    findings_days: float | None = 400.0

    def __post_init__(self) -> None:
        kept = (self.windows_days, self.predictions_days, self.features_days, self.findings_days)
        if any(days is not None and days <= 0 for days in kept):
            raise ValueError("days are positive, or null to keep for ever")


class RecordingSettings(msgspec.Struct, frozen=True, kw_only=True):
    """How much of the traffic a serve process holds in memory until it is written, while the store is away too."""

    max_bytes: int = 268_435_456

    def __post_init__(self) -> None:
        if self.max_bytes < 1_000_000:
            raise ValueError("max_bytes is at least 1000000")


class ProjectSettings(msgspec.Struct, frozen=True, kw_only=True):
    """penstock.yaml."""

    project: str
    model: ModelSettings | None = None
    gates: tuple[GateEntry, ...] = ()
    endpoints: dict[str, EndpointSettings] = {}
    protected_aliases: tuple[str, ...] = ("champion",)
    alerts: AlertSettings = AlertSettings()
    webhooks: WebhookSettings = WebhookSettings()
    ci: CiSettings = CiSettings()
    retention: RetentionSettings = RetentionSettings()
    recording: RecordingSettings = RecordingSettings()
    store: str = DEFAULT_STORE
    artifacts: str = DEFAULT_ARTIFACTS


def load_project_settings(root: Path) -> ProjectSettings:
    """Read penstock.yaml; without the file everything has its default and the project its folder's name.

    Raises:
        Invalid: a key or value is wrong, with file and line.
    """
    path = root / SETTINGS_FILE
    if not path.is_file():
        return ProjectSettings(project=root.name)
    return load_settings(path, ProjectSettings)


def require_model(settings: ProjectSettings, root: Path) -> ModelSettings:
    """Return the model section.

    Raises:
        NotFound: there is none, or no penstock.yaml at all.
    """
    if settings.model is None:
        missing = "has no `model:` section" if (root / SETTINGS_FILE).exists() else "does not exist"
        raise NotFound(
            f"{root / SETTINGS_FILE} {missing}",
            code="settings.no_model",
            hint="write `project: …` and `model: {name: …, path: …}` into penstock.yaml",
        )
    return settings.model
