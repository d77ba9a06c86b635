"""Windows that labels came for, merged: the newest that are enough, and longer spans that end with them.

A set of the newest labels moves on with every window, so each place of it is a chance of its own to be misled. Longer spans
give back what that costs: what has been wrong for longer is seen with more labels. How they are weighed is in
`guardrails.quality`.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import msgspec
import sqlalchemy as sa

from penstock.monitoring.windows import Window, merge_windows, unpack, windows

SPANS = 6
"""The newest labels, and twice, four times and up to 32 times as many."""
WINDOWS_MAX = 400
"""So many windows are read for longer spans; reading one takes 0.2 ms."""


def labelled(
    connection: sa.Connection,
    endpoint: str,
    version: int,
    *,
    since_s: int,
    revisions: Sequence[int] | None = None,
    enough: tuple[int, int] | None = None,
) -> Window | None:
    """Merge what labels say of a version's predictions, however much traffic came since; None without labels.

    See `labelled_spans`, of which it is the first.
    """
    found = labelled_spans(
        connection, endpoint, version, since_s=since_s, revisions=revisions, enough=enough, most=1
    )
    return found[0] if found else None


def labelled_spans(
    connection: sa.Connection,
    endpoint: str,
    version: int,
    *,
    since_s: int,
    revisions: Sequence[int] | None = None,
    enough: tuple[int, int] | None = None,
    most: int = SPANS,
) -> list[Window]:
    """Return what labels say of a version's predictions over spans that all end now, the shortest first.

    Traffic that addressed the version directly does not count. Features and outputs are not read.

    Args:
        since_s: predictions before that are too old to be judged.
        revisions: only predictions of these.
        enough: how many windows with labels, and how many labels, the shortest span has; each next one has twice
            the labels. Without it there is one span, of all.
        most: how many spans there are at most.
    """
    wanted = (
        (windows.c.endpoint == endpoint)
        & (windows.c.version == version)
        & (windows.c.route != "direct")
        & (windows.c.start_s >= since_s)
        & windows.c.quality.is_not(None)
    )
    if revisions is not None:
        wanted &= windows.c.revision.in_(revisions)
    reaches = [since_s] if enough is None else _reaches(connection, wanted, enough, most)
    columns = [sa.null().label(one.name) if one.name in {"features", "outputs"} else one for one in windows.c]
    query = sa.select(*columns).where(wanted, windows.c.start_s >= reaches[-1])
    rows = [unpack(row) for row in connection.execute(query)]
    found: list[Window] = []
    for later_s, reach_s in pairwise([None, *reaches]):
        part = [
            one
            for one in rows
            if one.key.start_s >= (reach_s or 0) and (later_s is None or one.key.start_s < later_s)
        ]
        if part:
            found.append(merge_windows([*found[-1:], *part]))
    return found


def _reaches(
    connection: sa.Connection, wanted: sa.ColumnElement[bool], enough: tuple[int, int], most: int
) -> list[int]:
    """Return how far back each span goes."""
    query = sa.select(windows.c.start_s, sa.func.sum(windows.c.label_count)).where(wanted)
    newest = query.group_by(windows.c.start_s).order_by(windows.c.start_s.desc())
    count_wanted, labels_wanted = enough
    total, reach_s = 0, 0
    reaches: list[int] = []
    for count, (start_s, labels) in enumerate(connection.execute(newest), start=1):
        if reaches and (len(reaches) == most or count > WINDOWS_MAX):
            return reaches
        total, reach_s = total + int(labels), int(start_s)
        if count >= count_wanted and total >= labels_wanted:
            reaches.append(reach_s)
            count_wanted, labels_wanted = count, 2 * total
    if not reaches or reaches[-1] != reach_s:
        reaches.append(reach_s)
    return reaches[:most]


class LabelSpan(msgspec.Struct, frozen=True, kw_only=True):
    """Labels since a moment, and how many windows of the version's service came before it."""

    window: Window
    earlier: int = 0
