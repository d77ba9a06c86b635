"""Which version a request goes to: by a rule on what it says, else stable or canary by shares.

Without a key, requests follow a golden-ratio sequence: after n requests the canary's share is off by
O(log n) requests, and no regular pattern of clients can follow it. With a key, the key's hash decides:
the same key keeps its route, and stays on the canary when its percent grows.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

from penstock.serving.deployments import Revision
from penstock.serving.predictions.ids import Route

FindHeader = Callable[[str], str | None]
"""Returns a request's header, whatever the transport calls it, or None."""
ROUTE_KEY = "penstock-route-key"
"""Parameter or header: requests with the same value take the same route."""
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


def positions(counters: Sequence[int]) -> npt.NDArray[np.float64]:
    """Return where each of many requests stands, as `position` does, at once."""
    scattered = np.array(counters, dtype=np.uint64) * np.uint64(_GOLDEN)  # modulo 2**64
    found: npt.NDArray[np.float64] = scattered.astype(np.float64) / _FULL
    return found


def key_position(key: str) -> float:
    """Return where a key stands in [0, 1); the same in every process."""
    return int.from_bytes(hashlib.blake2b(key.encode(), digest_size=8).digest(), "big") / _FULL


def choose_route(revision: Revision, counter: int, key: str | None = None) -> Route:
    """Return the route of a request; without a canary always `stable`."""
    if revision.canary is None:
        return "stable"
    spot = position(counter) if key is None else key_position(key)
    return "canary" if spot * 100 < revision.canary.percent else "stable"


class Rule(msgspec.Struct, frozen=True, kw_only=True):
    """Requests whose parameter, or header, `name` has one of `values` go to `version`."""

    name: str
    is_header: bool
    values: frozenset[str]
    version: int

    def holds(self, parameters: Mapping[str, Any], header: FindHeader) -> bool:
        """Whether a request is one of them."""
        value = header(self.name) if self.is_header else parameters.get(self.name)
        return value is not None and text_of(value) in self.values


def ruled_version(rules: Iterable[Rule], parameters: Mapping[str, Any], header: FindHeader) -> int | None:
    """Return the version of the first rule that holds for a request, or None."""
    return next((rule.version for rule in rules if rule.holds(parameters, header)), None)


def route_key(parameters: Mapping[str, Any], header: FindHeader) -> str | None:
    """Return what keeps a caller on one route: the parameter, else the header of the same name."""
    key = parameters.get(ROUTE_KEY)
    return header(ROUTE_KEY) if key is None else text_of(key)


def text_of(value: Any) -> str:
    """Return a parameter's value as rules compare it: booleans as JSON writes them."""
    return str(value).lower() if isinstance(value, bool) else str(value)


def no_header(_name: str) -> str | None:
    """Know no header."""
    return None
