"""What an address of runs names and no run has, told with what is called alike."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from difflib import get_close_matches

import sqlalchemy as sa

from penstock.http.pages.queries import listed
from penstock.tracking.keys import KEYED, has_key

ALIKE, MOST = 0.75, 2


def tell_unknown(
    connection: sa.Connection,
    experiment_ids: Sequence[int],
    named: Iterable[tuple[str, str]],
    offered: Sequence[str],
) -> str:
    """Return in a sentence what no run has; empty where there is nothing such.

    Args:
        named: kind and key, such as `metric` and `loss`.
        offered: columns that runs have, as `metrics.loss`: one of them may have been meant.
    """
    unknown = [
        (kind, key)
        for kind, key in sorted(named)
        if kind in KEYED and not has_key(connection, experiment_ids, kind, key)
    ]
    if not unknown:
        return ""
    alike = [
        found
        for kind, key in unknown
        for found in _alike(key, [one.partition(".")[2] for one in offered if one.startswith(f"{kind}s.")])
    ]
    told = f"No run here has the {listed([f'{kind} {key[:60]!r}' for kind, key in unknown])}"
    return f"{told}; there is {listed([repr(one[:100]) for one in alike])}" if alike else told


def _alike(key: str, known: Sequence[str]) -> list[str]:
    """Return the keys that one may have been meant for: the same in a file or group, else of nearly the same letters."""
    same = [one for one in known if re.split(r"[:/.]", one)[-1] == key]
    return (same or get_close_matches(key, known, MOST, ALIKE))[:MOST]
