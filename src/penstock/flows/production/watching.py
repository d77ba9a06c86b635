"""What is known of an endpoint's live traffic: its windows, judged against its guardrails."""

from __future__ import annotations

from dataclasses import dataclass

import sqlalchemy as sa

from penstock.monitoring.findings import Finding
from penstock.monitoring.guardrails import Reference, judge
from penstock.monitoring.profile import Profile
from penstock.monitoring.windows import Window, list_windows, recent
from penstock.project.project import Project
from penstock.project.settings import EndpointSettings
from penstock.registry.entities import ModelVersion
from penstock.registry.versions import get_version
from penstock.serving.deployments import Revision, get_revision


@dataclass(frozen=True)
class Observation:
    """An endpoint now: its revision, its recent windows, one merged window a route, and the findings."""

    endpoint: str
    settings: EndpointSettings
    revision: Revision
    version: ModelVersion
    windows: tuple[Window, ...]
    stable: Window | None
    canary: Window | None
    findings: tuple[Finding, ...]

    @property
    def breaches(self) -> tuple[Finding, ...]:
        """The findings that are over their limit."""
        return tuple(finding for finding in self.findings if finding.breached)


def observe(project: Project, endpoint: str) -> Observation:
    """Judge the recent windows of an endpoint's current revision; writes nothing.

    Raises:
        NotFound: no such endpoint.
    """
    settings = project.settings.endpoints.get(endpoint)
    with project.database.read() as connection:
        revision = get_revision(connection, endpoint)
        settings = settings or EndpointSettings(model=revision.model)
        version = get_version(connection, revision.model, revision.stable)
        windows = _windows(connection, revision, settings)
    stable = recent(windows, "stable", settings.monitor.windows)
    canary = recent(windows, "canary", settings.monitor.windows)
    reference = Reference(profile=_profile(project, version.profile_digest), metrics=version.metrics)
    findings = judge(settings.guardrails, stable=stable, canary=canary, reference=reference)
    return Observation(endpoint, settings, revision, version, tuple(windows), stable, canary, tuple(findings))


def _windows(connection: sa.Connection, revision: Revision, settings: EndpointSettings) -> list[Window]:
    return list_windows(
        connection, revision.endpoint, revision=revision.number, limit=2 * settings.monitor.windows
    )


def _profile(project: Project, digest: str | None) -> Profile | None:
    return None if digest is None else project.artifacts.load(digest, Profile.from_bytes)
