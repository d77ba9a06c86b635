"""The report of an endpoint over a span of time, from its windows, labels and events. Writes nothing."""

from __future__ import annotations

import math
import shlex
from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa

from penstock.base.clock import now_ms
from penstock.base.errors import Invalid, NotFound, PenstockError
from penstock.base.numbers import counted
from penstock.base.store.events import list_events
from penstock.flows.production.measuring import USUAL_METRICS, measure_slice
from penstock.flows.production.reading import LABELLED_MAX
from penstock.flows.production.rows.labelled import read_labelled
from penstock.flows.production.watching import observe
from penstock.monitoring.drift import compare
from penstock.monitoring.policies import policy_or_none_yet
from penstock.monitoring.profile import Profile
from penstock.monitoring.reporting.changes import compare_profiles
from penstock.monitoring.reporting.spans import (
    EndpointReport,
    Estimate,
    Happened,
    Judged,
    SliceLine,
    Span,
    VersionLine,
)
from penstock.monitoring.rowwise.slices import slices_of
from penstock.monitoring.settings import DriftLimit, EndpointSettings
from penstock.monitoring.windows import Window, WindowKey, list_windows, merge_windows
from penstock.project.project import Project
from penstock.registry.versions import get_version
from penstock.serving.deployments import Revision, get_revision, list_endpoints

SPANS_MAX = 60
STARTS_MAX = 5_000
EVENTS_MAX = 500
MIN_ROWS = 100
"""The drift of fewer rows of a span is chance."""
ROUTES = ("stable", "canary", "batch")


def report_endpoint(project: Project, endpoint: str, since_ms: int) -> EndpointReport:
    """Return what an endpoint did since a time.

    Raises:
        NotFound: no such endpoint.
        Corrupt: a window cannot be read.
    """
    until_ms = now_ms()
    with project.database.read() as connection:
        revision = get_revision(connection, endpoint)
        settings = policy_or_none_yet(connection, endpoint, revision.model).settings
        windows = [
            one
            for one in list_windows(connection, endpoint, since_s=since_ms // 1000, limit=STARTS_MAX)
            if one.key.route in ROUTES
        ]
        events = _events(connection, endpoint, since_ms)
        slices = _slices(connection, revision, settings, (since_ms, until_ms))
        reference, problem = _reference(project, connection, revision)
    metrics = _metrics(settings)
    groups = _grouped(windows)
    live = [one for one in windows if one.key.version == revision.stable and one.features.row_count]
    features, note = None, problem
    if reference is not None and not live:
        note = "No rows of the stable version's features came in this time."
    elif reference is not None:
        limits = [entry.drift for entry in settings.guardrails if entry.drift is not None]
        current = merge_windows(live).features
        names = (f"training of version {revision.stable}", "live")
        limit = limits[0] if limits else DriftLimit()
        features = compare_profiles(reference, current, names, limit, settings.monitor.redacted)
        note = f"What version {revision.stable} was asked, over all of this time, against its training."
    told = [one.name for one in features.features[:20]] if features is not None else []
    return EndpointReport(
        endpoint=endpoint,
        model=revision.model,
        revision=revision.number,
        stable=revision.stable,
        canary=revision.canary.version if revision.canary else None,
        since_ms=since_ms,
        until_ms=until_ms,
        versions=_versions(windows, metrics),
        spans=tuple(_span(one, metrics, reference, told, revision.stable) for one in groups),
        events=events,
        features=features,
        features_note=note,
        slices=slices,
        judged=_judged(project, endpoint),
    )


def _judged(project: Project, endpoint: str) -> tuple[Judged, ...]:
    """Return how the guardrails stand now, the worst first."""
    order = {"breached": 0, "unjudged": 1, "held": 2}
    found = [
        Judged(state=one.state, kind=one.kind, route=one.route, sentence=one.sentence)
        for one in observe(project, endpoint).findings
    ]
    return tuple(sorted(found, key=lambda one: (order[one.state], one.route, one.kind)))


def _slices(
    connection: sa.Connection, revision: Revision, settings: EndpointSettings, span_ms: tuple[int, int]
) -> tuple[SliceLine, ...]:
    """Return the slices of the stable version's newest labelled rows in this time."""
    wanted = settings.monitor.slices
    if not wanted:
        return ()
    key = WindowKey(revision.endpoint, span_ms[1] // 1000, revision.number, revision.stable, "stable")
    rows = read_labelled(connection, key, "slices", span_ms[0] / 1000, LABELLED_MAX, settings.monitor)
    return tuple(
        SliceLine(
            feature=one.feature,
            value=one.shown,
            label_count=one.label_count,
            quality={
                name: Estimate.of(name, pair) for name, pair in measure_slice(one, settings).quality.items()
            },
        )
        for one in slices_of(rows, wanted)
    )


def only_endpoint(project: Project) -> str:
    """Return the name of the only endpoint.

    Raises:
        NotFound: there is none.
        Invalid: there are several.
    """
    with project.database.read() as connection:
        names = [one.endpoint for one in list_endpoints(connection)]
    if not names:
        raise NotFound("there is no endpoint yet", code="serving.endpoint_unknown", hint="penstock deploy")
    if len(names) > 1:
        raise Invalid(
            f"there are {counted(len(names), 'endpoint')}: say which",
            code="monitoring.which_endpoint",
            hint=f"penstock monitor report {shlex.quote(names[0])}",
        )
    return names[0]


def _metrics(settings: EndpointSettings) -> list[str]:
    guarded = {entry.quality.metric for entry in settings.guardrails if entry.quality is not None}
    return sorted(guarded or USUAL_METRICS)


def _reference(project: Project, connection: sa.Connection, revision: Revision) -> tuple[Profile | None, str]:
    version = get_version(connection, revision.model, revision.stable, deleted=True)
    if version.profile_digest is None:
        return None, f"{version.ref} was registered without a reference, so its features are not compared."
    try:
        return project.artifacts.load(version.profile_digest, Profile.from_bytes), ""
    except PenstockError as error:
        return None, f"The reference profile of {version.ref} cannot be read: {error.message}"


def _events(connection: sa.Connection, endpoint: str, since_ms: int) -> tuple[Happened, ...]:
    found = list_events(connection, subject=f"endpoint:{endpoint}", limit=EVENTS_MAX)
    return tuple(Happened(one.time_ms, one.kind, one.summary) for one in found if one.time_ms >= since_ms)


def _grouped(windows: Sequence[Window]) -> list[Window]:
    """Merge windows to at most `SPANS_MAX` spans of equal length, apart by version and route."""
    if not windows:
        return []
    first, last = min(one.key.start_s for one in windows), max(one.end_s for one in windows)
    length = max(1, math.ceil((last - first) / SPANS_MAX))
    found: dict[tuple[int, str, int], list[Window]] = {}
    for one in windows:
        place = (one.key.start_s - first) // length
        found.setdefault((place, one.key.route, one.key.version), []).append(one)
    return [merge_windows(found[key]) for key in sorted(found)]


def _versions(windows: Sequence[Window], metrics: Sequence[str]) -> tuple[VersionLine, ...]:
    found: dict[tuple[str, int], list[Window]] = {}
    for one in windows:
        found.setdefault((one.key.route, one.key.version), []).append(one)
    order = sorted(found, key=lambda key: (ROUTES.index(key[0]), -key[1]))
    lines = []
    for route, version in order:
        merged = merge_windows(found[(route, version)])
        lines.append(VersionLine(route=route, version=version, **_facts(merged, metrics)))
    return tuple(lines)


def _span(
    window: Window, metrics: Sequence[str], reference: Profile | None, told: Sequence[str], stable: int
) -> Span:
    drift: dict[str, float] = {}
    if reference is not None and window.features.row_count >= MIN_ROWS and window.key.version == stable:
        drift = {one.feature: one.psi for one in compare(reference, window.features) if one.feature in told}
    return Span(
        start_s=window.key.start_s,
        end_s=window.end_s,
        route=window.key.route,
        version=window.key.version,
        drift=drift,
        **_facts(window, metrics),
    )


def _facts(window: Window, metrics: Sequence[str]) -> dict[str, Any]:
    has_times = window.latency.count > 0
    pairs = {name: window.quality.metric(name) for name in metrics} if window.quality.label_count else {}
    return {
        "request_count": window.request_count,
        "error_ratio": window.error_ratio,
        "p50_ms": 1000 * window.quantile_s(0.5) if has_times else None,
        "p99_ms": 1000 * window.quantile_s(0.99) if has_times else None,
        "label_count": window.quality.label_count,
        "quality": {name: Estimate.of(name, pair) for name, pair in pairs.items() if math.isfinite(pair[0])},
    }
