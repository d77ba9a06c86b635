"""How far each feature of live traffic was from the reference, over time. Reads only the store."""

from __future__ import annotations

from dataclasses import dataclass
from functools import reduce

from penstock.base.errors import NotFound
from penstock.monitoring.drift import compare
from penstock.monitoring.profile import Profile
from penstock.monitoring.windows import Window, list_windows
from penstock.project.project import Project
from penstock.registry.versions import get_version
from penstock.serving.deployments import get_revision

BINS = 24
WINDOWS = 240
"""So many of the newest windows are read at most; each has sketches of every feature."""
MIN_ROWS = 30
"""Of fewer rows nothing is told: chance alone would look like drift."""


@dataclass(frozen=True)
class DriftOverTime:
    """The stability index of each feature in each span of time, None where too few rows came.

    `spans` are beginnings and ends in seconds; features are ordered by their greatest value.
    `versions` are all that answered in this time.
    """

    version: str
    spans: tuple[tuple[int, int], ...]
    rows: tuple[int, ...]
    versions: tuple[int, ...]
    features: dict[str, tuple[float | None, ...]]


def view_drift(
    project: Project,
    endpoint: str,
    *,
    number: int | None = None,
    since_s: int = 0,
    until_s: int | None = None,
) -> DriftOverTime:
    """Return the drift of what a version of an endpoint was asked, against what it was trained on.

    Args:
        number: the version; None: the stable one.

    Raises:
        NotFound: no such endpoint, or the version has no reference profile.
    """
    with project.database.read() as connection:
        revision = get_revision(connection, endpoint)
        version = get_version(connection, revision.model, number or revision.stable, deleted=True)
        found = list_windows(connection, endpoint, since_s=since_s, limit=WINDOWS)
    if version.profile_digest is None:
        raise NotFound(
            f"{version.ref} was registered without a reference table, so nothing is known to drift from",
            code="monitoring.no_reference",
            hint="name `model.reference` in penstock.yaml and register again",
        )
    reference = project.artifacts.load(version.profile_digest, Profile.from_bytes)
    wanted = [
        one
        for one in found
        if one.key.version == version.number and (until_s is None or one.key.start_s < until_s)
    ]
    spans = _spans(wanted)
    groups = [[one for one in wanted if begin <= one.key.start_s < end] for begin, end in spans]
    profiles = [reduce(Profile.merge, (one.features for one in group), Profile()) for group in groups]
    told = [
        {one.feature: one.psi for one in compare(reference, profile)} if profile.row_count >= MIN_ROWS else {}
        for profile in profiles
    ]
    features = {name: tuple(one.get(name) for one in told) for name in reference.column_names}
    ranked = sorted(
        features, key=lambda name: (-max((one or 0.0 for one in features[name]), default=0.0), name)
    )
    return DriftOverTime(
        version.ref,
        tuple(spans),
        tuple(profile.row_count for profile in profiles),
        tuple(sorted({one.key.version for one in found})),
        {name: features[name] for name in ranked},
    )


def _spans(windows: list[Window]) -> list[tuple[int, int]]:
    """Return the spans of time that windows came in, at most `BINS`, each of the same length; those without any are left out."""
    if not windows:
        return []
    begin, end = min(one.key.start_s for one in windows), max(one.end_s for one in windows)
    shortest = max(one.window_s for one in windows)
    length = max(shortest, -(-(end - begin) // BINS))
    spans = [(at, at + length) for at in range(begin, end, length)]
    return [span for span in spans if any(span[0] <= one.key.start_s < span[1] for one in windows)]
