"""Prediction ids: 31 characters that say when, where and by what a prediction was made.

Format: 150 bits in 30 Crockford base 32 digits, most significant first, and one check character.

    time_ms 48 | endpoint_id 24 | revision 24 | route 2 | worker 24 | counter 28

Time stands first, so the text sorts by time. The check character is Luhn mod 32: every single wrong
character and every swap of neighbours except one pair is found. Letters are upper case; lower case and
the look-alikes `I`, `L` (1) and `O` (0) are understood when read.

Source:
    Crockford, "Base 32" (alphabet); Luhn mod N (check).
"""

from __future__ import annotations

from functools import lru_cache
from typing import Literal, get_args

import msgspec

from penstock.base.errors import Invalid

Route = Literal["stable", "canary", "shadow", "direct"]
ROUTES: tuple[Route, ...] = get_args(Route)
UNKNOWN_ENDPOINT = 0
"""In the id of a prediction that a service made before it had reached the store; the store knows its endpoint."""
ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
LENGTH = 31
_VALUES = {char: value for value, char in enumerate(ALPHABET)} | {
    char.lower(): value for value, char in enumerate(ALPHABET)
}
_VALUES |= {"I": 1, "i": 1, "L": 1, "l": 1, "O": 0, "o": 0}
_PAIRS = tuple(high + low for high in ALPHABET for low in ALPHABET)
_DOUBLED = tuple((2 * value) // 32 + (2 * value) % 32 for value in range(32))
_PAIR_SUMS = tuple(value // 32 + _DOUBLED[value % 32] for value in range(1024))
_ROUTE_CODES: dict[str, int] = {route: code for code, route in enumerate(ROUTES)}


class PredictionId(msgspec.Struct, frozen=True):
    """What a prediction id says.

    `revision` is the endpoint's revision number; on the route `direct` (a version addressed by its
    number) it is that model version. Numbers beyond their bits are cut from the left.
    """

    time_ms: int
    endpoint_id: int
    revision: int
    route: Route
    worker: int
    counter: int

    def encode(self) -> str:
        """Return the id's text; about 1 us: what stays the same for many predictions is kept."""
        time_text, time_sum = _digits((self.time_ms & 0xFFFFFFFFFFFF) << 2 | (self.endpoint_id >> 22 & 3), 5)
        place_text, place_sum = _place(self.endpoint_id, self.revision, self.route, self.worker)
        last = (self.worker & 3) << 28 | self.counter & 0xFFFFFFF
        high, middle, low = last >> 20, last >> 10 & 1023, last & 1023
        total = time_sum + place_sum + _PAIR_SUMS[high] + _PAIR_SUMS[middle] + _PAIR_SUMS[low]
        last_text = _PAIRS[high] + _PAIRS[middle] + _PAIRS[low]
        return f"{time_text}{place_text}{last_text}{ALPHABET[-total % 32]}"


@lru_cache(maxsize=1024)
def _digits(bits: int, pair_count: int) -> tuple[str, int]:
    """Return bits, ten for each pair of digits, as text, and what they add to the check."""
    pairs = [bits >> shift & 1023 for shift in range(10 * (pair_count - 1), -1, -10)]
    return "".join([_PAIRS[pair] for pair in pairs]), sum([_PAIR_SUMS[pair] for pair in pairs])


@lru_cache(maxsize=1024)
def _place(endpoint_id: int, revision: int, route: Route, worker: int) -> tuple[str, int]:
    """Return the seven pairs between the time and the counter: all but the endpoint's first two bits and the worker's last."""
    bits = (endpoint_id & 0x3FFFFF) << 24 | revision & 0xFFFFFF
    return _digits(bits << 24 | _ROUTE_CODES[route] << 22 | worker >> 2 & 0x3FFFFF, 7)


def parse_prediction_id(text: str) -> PredictionId:
    """Read a prediction id.

    Raises:
        Invalid: it has another length, a character outside the alphabet or a wrong check character.
    """
    digits = [_VALUES.get(char, -1) for char in text]
    if len(digits) != LENGTH or min(digits) < 0:
        raise Invalid(
            f"not a prediction id: {text[:64]!r}",
            code="serving.bad_prediction_id",
            hint=f"a prediction id has {LENGTH} letters and digits",
        )
    total = sum(digits[0:30:2]) + sum(_DOUBLED[digit] for digit in digits[1:30:2])
    if (total + digits[30]) % 32:
        raise Invalid(
            f"prediction id {text!r} has a typing error: its check character does not fit",
            code="serving.bad_prediction_id",
            hint="copy the id again from the response",
        )
    bits = 0
    for digit in digits[:30]:
        bits = bits << 5 | digit
    return PredictionId(
        time_ms=bits >> 102,
        endpoint_id=bits >> 78 & 0xFFFFFF,
        revision=bits >> 54 & 0xFFFFFF,
        route=ROUTES[bits >> 52 & 3],
        worker=bits >> 28 & 0xFFFFFF,
        counter=bits & 0xFFFFFFF,
    )
