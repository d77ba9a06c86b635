"""How far each feature of live traffic was from the reference, over time. Reads only the store."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from functools import reduce

from penstock.base.errors import NotFound
from penstock.monitoring.profile import Profile
from penstock.monitoring.stability import Stabilities
from penstock.monitoring.windows import Window, list_profiles, list_windows
from penstock.project.project import Project
from penstock.registry.versions import get_version
from penstock.serving.deployments import get_revision

BINS = 12
WINDOWS = 240
"""So many of the newest windows of the time that is asked about are looked at."""
SAMPLED = 3
"""Of a span of time so many windows are read at most, evenly apart."""
MIN_ROWS = 30
"""Of fewer rows nothing is told: chance alone would look like drift."""


@dataclass(frozen=True)
class DriftOverTime:
    """The stability index of each feature in each span of time, None where too few rows came.

    `spans` are beginnings and ends in seconds; features are ordered by their greatest value.
    `versions` are all that answered in this time, `newest` the last values of all features, of which `feature_count` are
    known.
    """

    version: str
    spans: tuple[tuple[int, int], ...]
    rows: tuple[int, ...]
    versions: tuple[int, ...]
    features: dict[str, tuple[float | None, ...]]
    feature_count: int
    newest: dict[str, float]


def view_drift(
    project: Project,
    endpoint: str,
    *,
    number: int | None = None,
    most: int | None = None,
    since_s: int = 0,
    until_s: int | None = None,
) -> DriftOverTime:
    """Return the drift of what a version of an endpoint was asked, against what it was trained on.

    Args:
        number: the version; None: the stable one.
        most: only so many features, the worst; None: all.

    Raises:
        NotFound: no such endpoint, or the version has no reference profile.
    """
    with project.database.read() as connection:
        revision = get_revision(connection, endpoint)
        version = get_version(connection, revision.model, number or revision.stable, deleted=True)
        found = list_windows(
            connection, endpoint, since_s=since_s, before_s=until_s, limit=WINDOWS, with_features=False
        )
    if version.profile_digest is None:
        raise NotFound(
            f"{version.ref} was registered without a reference table, so nothing is known to drift from",
            code="monitoring.no_reference",
            hint="name `model.reference` in penstock.yaml and register again",
        )
    reference = project.artifacts.load(version.profile_digest, Profile.from_bytes)
    wanted = [one for one in found if one.key.version == version.number and one.row_count]
    spans = _spans(wanted)
    groups = [_some([one for one in wanted if begin <= one.key.start_s < end]) for begin, end in spans]
    stabilities = Stabilities(reference)
    told: dict[int, dict[str, float]] = {}
    counts = [0] * len(spans)

    def look(at: int, only: Collection[str] | None) -> None:
        with project.database.read() as connection:
            profiles = list_profiles(connection, [one.key for one in groups[at]], only)
        profile = reduce(Profile.merge, profiles.values(), Profile())
        counts[at] = profile.row_count
        if profile.row_count >= MIN_ROWS:
            told[at] = {name: stabilities.of(name, profile).psi for name in only or reference.column_names}

    # all features are looked at where the traffic began, is half through and ended; then the worst of them everywhere
    whole = sorted({0, len(spans) // 2, len(spans) - 1}) if most is not None else range(len(spans))
    for at in whole if spans else ():
        look(at, None)
    worst = {
        name: max((one.get(name, 0.0) for one in told.values()), default=0.0)
        for name in reference.column_names
    }
    ranked = sorted(worst, key=lambda name: (-worst[name], name))
    shown = ranked if most is None else ranked[:most]
    for at in range(len(spans)):
        if at not in whole:
            look(at, frozenset(shown))
    return DriftOverTime(
        version.ref,
        tuple(spans),
        tuple(counts),
        tuple(sorted({one.key.version for one in found})),
        {name: tuple(told.get(at, {}).get(name) for at in range(len(spans))) for name in shown},
        len(ranked),
        {name: value for name in ranked if (value := told.get(len(spans) - 1, {}).get(name)) is not None},
    )


def _some(windows: list[Window]) -> list[Window]:
    """Return a few windows of a span, evenly apart: reading sketches is what a look costs."""
    apart = -(-len(windows) // SAMPLED)
    return windows[:: max(1, apart)]


def _spans(windows: list[Window]) -> list[tuple[int, int]]:
    """Return the spans of time that windows came in, at most `BINS`, each of the same length; those without any are left out."""
    if not windows:
        return []
    begin, end = min(one.key.start_s for one in windows), max(one.end_s for one in windows)
    shortest = max(one.window_s for one in windows)
    length = max(shortest, -(-(end - begin) // BINS))
    spans = [(at, at + length) for at in range(begin, end, length)]
    return [span for span in spans if any(span[0] <= one.key.start_s < span[1] for one in windows)]
