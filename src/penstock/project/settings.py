"""The whole of penstock.yaml, composed of the parts' settings."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import msgspec

from penstock.base.errors import NotFound
from penstock.base.settings import load_settings
from penstock.monitoring.settings import GuardrailEntry, MonitorSettings, RetrainSettings, RolloutSettings
from penstock.registry.gates.settings import GateEntry

SETTINGS_FILE = "penstock.yaml"
DEFAULT_STORE = "sqlite:///.penstock/penstock.db"
DEFAULT_ARTIFACTS = ".penstock/artifacts"


class ModelSettings(msgspec.Struct, frozen=True, kw_only=True):
    """The model a pipeline makes and what belongs to it; paths are relative to the root."""

    name: str
    path: str
    signature: Literal["inferred"] = "inferred"
    reference: str | None = None
    metrics: str | None = None
    test: str | None = None
    label: str | None = None


class EndpointSettings(msgspec.Struct, frozen=True, kw_only=True):
    """How one endpoint is rolled out, watched and answered for."""

    model: str
    rollout: RolloutSettings = RolloutSettings()
    monitor: MonitorSettings = MonitorSettings()
    guardrails: tuple[GuardrailEntry, ...] = ()
    on_breach: tuple[Literal["rollback", "alert"], ...] = ("alert",)
    retrain: RetrainSettings | None = None


class AlertWebhook(msgspec.Struct, frozen=True, kw_only=True):
    """Where alerts are posted as JSON."""

    url: str


class AlertSettings(msgspec.Struct, frozen=True, kw_only=True):
    """Who is told."""

    webhooks: tuple[AlertWebhook, ...] = ()


class WebhookSettings(msgspec.Struct, frozen=True, kw_only=True):
    """Where the webhooks that clients register may lead."""

    allow_private: bool = False


class CiSettings(msgspec.Struct, frozen=True, kw_only=True):
    """What `penstock ci run` runs before the pipeline; no `tests` means none."""

    tests: str | None = None


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
