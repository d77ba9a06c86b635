"""Which route a request takes: stable or canary.

Without a key, requests follow a golden-ratio sequence: after n requests the canary's share is off by
O(log n) requests, and no regular pattern of clients can follow it. With a key, the key's hash decides:
the same key keeps its route, and stays on the canary when its percent grows.
"""

from __future__ import annotations

import hashlib

from penstock.serving.deployments import Revision
from penstock.serving.prediction_id import Route

_GOLDEN = 0x9E3779B97F4A7C15
_FULL = 1 << 64


def position(counter: int) -> float:
    """Return where request number `counter` stands in [0, 1), evenly spread.

    Source:
        Weyl, "Über die Gleichverteilung von Zahlen mod. Eins", 1916; Knuth, TAOCP 3, 6.4 (golden ratio).

    Example:
        >>> [round(position(number), 3) for number in (0, 1, 2, 3)]
        [0.0, 0.618, 0.236, 0.854]
    """
    return (counter * _GOLDEN % _FULL) / _FULL


def key_position(key: str) -> float:
    """Return where a key stands in [0, 1); the same in every process."""
    return int.from_bytes(hashlib.blake2b(key.encode(), digest_size=8).digest(), "big") / _FULL


def choose_route(revision: Revision, counter: int, key: str | None = None) -> Route:
    """Return the route of a request; without a canary always `stable`."""
    if revision.canary is None:
        return "stable"
    spot = position(counter) if key is None else key_position(key)
    return "canary" if spot * 100 < revision.canary.percent else "stable"
