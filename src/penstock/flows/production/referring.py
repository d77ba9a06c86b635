"""What a version was like when it passed its gate: its reference profile, what was learned of it, offline metrics."""

from __future__ import annotations

import msgspec
import sqlalchemy as sa

from penstock.base.errors import PenstockError
from penstock.monitoring.guardrails.judgeable import obstacles
from penstock.monitoring.guardrails.measured import Reference
from penstock.monitoring.guardrails.traffic import Traffic
from penstock.monitoring.profile import Profile
from penstock.monitoring.rowwise.learned import rows_of, separation_of
from penstock.monitoring.rowwise.redaction import is_redacted
from penstock.monitoring.settings import EndpointSettings
from penstock.project.project import Project
from penstock.registry.entities import ModelVersion
from penstock.registry.verdicts import glance_verdict


def refer(
    project: Project,
    connection: sa.Connection,
    traffic: Traffic,
    version: ModelVersion,
    settings: EndpointSettings,
    problems: list[str],
) -> Traffic:
    """Add what the version was like when it passed its gate; a profile that is lost is a problem where it is needed."""
    profile, kept, separation, problem = None, None, None, ""
    try:
        profile = _profile(project, version.profile_digest)
        if needs_rows(settings):
            kept, separation = rows_of(profile), separation_of(profile)
    except PenstockError as error:
        problem = f"the reference profile of {version.ref} cannot be read: {error.message}"
        if _needs_profile(settings):
            problems.append(problem)
    answered = traffic.recent.outputs if traffic.recent else None
    reference = Reference(
        profile=profile,
        metrics=version.metrics,
        row_count=_held_out_rows(connection, version),
        outputs=frozenset(answered.column_names) if answered and answered.row_count else None,
        problem=problem,
        rows=kept,
        separation=separation,
    )
    redacted = settings.monitor.redacted
    known = {*(profile.column_names if profile else ()), *(kept.column_names if kept else ())}
    left_out = tuple(sorted(name for name in known if is_redacted(name, redacted)))
    return msgspec.structs.replace(traffic, reference=reference, left_out=left_out)


def needs_rows(settings: EndpointSettings) -> bool:
    """Whether anything is judged on whole rows; else they are not read."""
    return any(entry.needs_rows for entry in settings.guardrails)


def _needs_profile(settings: EndpointSettings) -> bool:
    nothing = Reference(problem="away")
    asked = (obstacles(entry, nothing, is_canary=False) for entry in settings.guardrails)
    return any(why == "no_reference" for against in asked for _, why, _ in against)


def _held_out_rows(connection: sa.Connection, version: ModelVersion) -> int | None:
    """Return how many held-out rows its verdict compared it on; None where no champion was there."""
    verdict = glance_verdict(connection, version.model, version.digest)
    counts = [check.evidence.get("row_count") for check in verdict.checks] if verdict else []
    return next((count for count in counts if isinstance(count, int) and count > 0), None)


def _profile(project: Project, digest: str | None) -> Profile | None:
    return None if digest is None else project.artifacts.load(digest, Profile.from_bytes)
