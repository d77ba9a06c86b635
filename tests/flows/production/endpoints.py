"""A registry, an endpoint and its traffic as rows of a real store: what the controller sees, without training."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from penstock.base.clock import now_ms
from penstock.base.settings import parse_settings
from penstock.base.store.events import Event, list_events
from penstock.flows.production.controlling.health import ControllerHealth
from penstock.flows.production.controlling.responding import Controller
from penstock.monitoring.alerts import Alert, list_open_alerts
from penstock.monitoring.policies import PolicyBody, put_policy
from penstock.monitoring.profile import Profile
from penstock.monitoring.quality.measures import Quality
from penstock.monitoring.settings import AlertSettings, EndpointSettings, Webhook
from penstock.monitoring.windows import Partial, Window, WindowKey, add_partials
from penstock.project.places import Places
from penstock.project.project import Project
from penstock.project.settings import ProjectSettings
from penstock.registry.aliases import find_alias, move_alias
from penstock.registry.entities import AliasMove, Manifest, ModelVersion, Provenance
from penstock.registry.versions import add_version
from penstock.serving.deployments import (
    Canary,
    Revision,
    RevisionDraft,
    append_revision,
    find_revision,
    get_revision,
)

POLICY = """\
model: m@champion
rollout: {steps: [20, 50, 100], min_requests: 60, hold_s: 0}
monitor: {window_s: 1, windows: 10}
guardrails:
  - errors: {max_ratio: 0.02}
on_breach: [rollback, alert]
"""
TOGETHER_S = 4


@dataclass
class World:
    """A project whose store holds what a test says, and a controller over it."""

    root: Path
    sequence: int = 0
    controllers: list[Controller] = field(default_factory=list)
    seconds: dict[tuple[str, int], int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        home = self.root / ".penstock"
        home.mkdir(parents=True, exist_ok=True)
        places = Places(
            self.root, home, f"sqlite:///{home}/penstock.db?synchronous=normal", str(home / "artifacts")
        )
        self.project = Project(places, ProjectSettings(project="world"), "controller")
        self.controller = Controller(self.project, remembers=False)

    def version(
        self, number: int, *, profile: Profile | bytes | None = None, model: str = "m", **metrics: float
    ) -> None:
        """Register version `number`; its content is its number."""
        digest = None
        if profile is not None:
            data = profile if isinstance(profile, bytes) else profile.to_bytes()
            digest = self.project.artifacts.put(data)
        draft = ModelVersion(
            model=model, number=0, digest=f"{number:064x}", created_ms=0, actor="ci", path="m",
            manifest=Manifest(()), provenance=Provenance(), metrics=metrics, profile_digest=digest,
        )  # fmt: skip
        with self.project.database.write() as connection:
            assert add_version(connection, draft, reuse=True).number == number

    def policy(self, text: str = POLICY, endpoint: str = "delay", webhooks: tuple[Webhook, ...] = ()) -> None:
        """Let a policy watch an endpoint."""
        body = PolicyBody(
            endpoint=parse_settings(text, EndpointSettings, "policy"), alerts=AlertSettings(webhooks=webhooks)
        )
        with self.project.database.write() as connection:
            put_policy(connection, endpoint, body, "person:ada")

    def deploy(
        self,
        stable: int,
        canary: int | None = None,
        percent: float = 20.0,
        endpoint: str = "delay",
        **values: Any,
    ) -> Revision:
        """Write the next revision as a person's deployment would."""
        draft = RevisionDraft(
            **{
                "model": "m", "stable": stable, "canary": Canary(canary, percent) if canary else None,
                "steps": tuple(step for step in (20.0, 50.0, 100.0) if canary and step > percent),
                "actor": "person:ada", "reason": "by hand", "kind": "canary" if canary else "deployed", **values,
            }
        )  # fmt: skip
        with self.project.database.write() as connection:
            before = find_revision(connection, endpoint)
            return append_revision(connection, endpoint, draft, expected=before.number if before else None)

    def alias(self, version: int, name: str = "champion") -> None:
        """Point an alias."""
        with self.project.database.write() as connection:
            current = find_alias(connection, "m", name)
            previous = current.version if current else None
            move = AliasMove(model="m", name=name, version=version, previous=previous, time_ms=now_ms(), actor="ci", verdict_id=None)  # fmt: skip
            move_alias(connection, move, expected=previous)

    def champion(self) -> int | None:
        """Return what champion points at."""
        with self.project.database.read() as connection:
            found = find_alias(connection, "m", "champion")
            return found.version if found else None

    def traffic(
        self,
        route: str,
        requests: int = 0,
        errors: int = 0,
        *,
        endpoint: str = "delay",
        ago_s: int = 1,
        revision: int | None = None,
        quality: Quality | None = None,
        features: Profile | None = None,
        nonfinite: int = 0,
    ) -> None:
        """Write a window of a route of the current revision, or of an earlier one."""
        with self.project.database.read() as connection:
            now = get_revision(connection, endpoint, revision)
        version = now.canary.version if route == "canary" and now.canary else now.stable
        self.sequence += 1
        window = Window(
            key=WindowKey(
                endpoint, self._second_of(endpoint, now.number) - ago_s, now.number, version, route
            ),
            window_s=1,
            request_count=requests,
            error_count=errors,
            error_run_count=errors,
            row_count=features.row_count if features else requests,
            quality=quality or Quality(),
            features=features or Profile(),
            nonfinite_count=nonfinite,
            nonfinite_run_count=min(nonfinite, 1),
            nonfinite_row_count=nonfinite,
        )
        with self.project.database.write() as connection:
            add_partials(connection, [Partial(window=window, worker=1, sequence=self.sequence)])

    def _second_of(self, endpoint: str, revision: int) -> int:
        """Return the second by which traffic of a revision is told: one for calls that follow each other.

        Routes are compared by windows, and a second that ended between two calls would part what belongs together.
        """
        now_s = now_ms() // 1000
        if now_s - self.seconds.get((endpoint, revision), 0) > TOGETHER_S:
            self.seconds[endpoint, revision] = now_s
        return self.seconds[endpoint, revision]

    def current(self, endpoint: str = "delay") -> Revision:
        """Return the current revision."""
        with self.project.database.read() as connection:
            return get_revision(connection, endpoint)

    def events(self, kind: str | None = None) -> list[Event]:
        """Return events, oldest first."""
        with self.project.database.read() as connection:
            return list_events(connection, kind=kind, limit=1000)

    def open_alerts(self) -> list[Alert]:
        """Return the open alerts."""
        with self.project.database.read() as connection:
            return list_open_alerts(connection)


def scored(count: int, effect: float, seed: int = 0, *, inverted: bool = False) -> Quality:
    """Return the quality of a classifier; `inverted` turns every label round."""
    rng = np.random.default_rng(seed)
    labels = (rng.random(count) < 0.3).astype(float)
    scores = 1 / (1 + np.exp(-(rng.normal(size=count) + effect * labels)))
    return Quality.of(scores, 1 - labels if inverted else labels)


class Looking:
    """A controller that looked just now."""

    def __init__(self, world: World) -> None:
        self._world = world

    @property
    def health(self) -> ControllerHealth:
        return ControllerHealth(
            ticked_ms=now_ms(),
            endpoint_count=1,
            problem=None,
            observations=self._world.controller.observations,
        )
