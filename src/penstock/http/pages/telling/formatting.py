"""Numbers, durations, sizes, times and names as pages show them: the one home of each. Pure but for the clock."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any
from urllib.parse import quote

from penstock.base.clock import format_ms, iso_ms, now_ms
from penstock.base.numbers import is_endless

MAX_TEXT = 4000
SKEW_MS = 60_000
"""So far may the clocks of two machines be apart."""
DAY_S = 86_400
NAME_LENGTH = 40
MOST_DECIMALS = 6
ORDINARY = 1e-4
"""A smaller share of the greatest number of a column does not decide its decimals."""
_OPENING = frozenset(
    [
        "a",
        "an",
        "all",
        "every",
        "it",
        "no",
        "nothing",
        "nobody",
        "one",
        "only",
        "some",
        "that",
        "the",
        "there",
        "this",
    ]
)
ID_LENGTH = 8
_DIGEST = re.compile(r"(?:md5:|sha1:|sha256:)?([0-9a-f]{32,64})(?:\.dir)?\Z")
_NUMBERS = re.compile("([0-9]+)")
_UNSEEN = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2066-\u2069\ufeff]")
"""Characters that show nothing, or turn the text around them: in a name they can only deceive."""


class Verbatim(str):
    """A text that is shown to the character: what somebody typed and sends again."""

    __slots__ = ()


def visible(value: Any) -> Any:
    """Return a text with what nobody can see in it named; anything else as it is.

    Example:
        >>> visible("invoice\\u202efdp.exe")
        'invoice⟨U+202E⟩fdp.exe'
    """
    if type(value) is str and _UNSEEN.search(value):
        return _UNSEEN.sub(lambda found: f"⟨U+{ord(found[0]):04X}⟩", value)
    return value


def called(name: str | None, key: str) -> str:
    """Return what something is called, its id where its name shows nothing.

    Example:
        >>> called("best", "5f2c9f0a"), called(" ", "5f2c9f0a")
        ('best', '5f2c9f0a')
    """
    return name if name and name.strip() else key


def number(value: Any) -> str:
    """Render a number for people: thousands apart, four digits that matter; none, NaN and ∞ are three things.

    Example:
        >>> number(10769), number(10769.4), number(0.71234), number(None), number(math.nan), number(-math.inf)
        ('10,769', '10,769', '0.7123', '–', 'NaN', '−∞')
    """
    if value is None:
        return "–"
    if not isinstance(value, float):
        return f"{value:,}"
    if math.isnan(value):
        return "NaN"
    if is_endless(value):
        return "∞" if value > 0 else "−∞"
    if (value.is_integer() or abs(value) >= 1000) and abs(value) < 1e15:
        return f"{value:,.0f}"
    return f"{value:.4g}"


def column(values: Sequence[float | None]) -> list[str]:
    """Render the numbers of a column with the same decimals: four digits of the greatest matter, two of the least.

    A thousand and more is told whole, and what the decimals would leave nothing of is rendered by itself.

    Example:
        >>> column([0.71234, 0.5, None, math.nan]), column([10769.0, 0.25]), column([0.4, 0.04679, 1e-13])
        (['0.7123', '0.5000', '–', 'NaN'], ['10,769', '0.2500'], ['0.4000', '0.0468', '1e-13'])
    """
    decimals = _decimals(_sizes(values))
    return [_fixed(one, decimals) for one in values]


def columns(rows: Iterable[Sequence[float | None]]) -> list[list[str]]:
    """Render rows of numbers that are read beside each other with the same decimals; a row of small ones has more.

    Example:
        >>> columns([[0.716, 0.7184], [0.06467, None]]), columns([[500.5, 1.0], [1.23, 1.24]])
        ([['0.7160', '0.7184'], ['0.0647', '–']], [['500.5', '1.0'], ['1.23', '1.24']])
    """
    kept = [list(row) for row in rows]
    least = _decimals(_sizes(one for row in kept for one in row))
    return [[_fixed(one, max(least, _decimals(_sizes(row), digits=3))) for one in row] for row in kept]


def signed_column(values: Sequence[float | None]) -> list[str]:
    """Render differences with their signs and the same decimals.

    Example:
        >>> signed_column([0.01231, -0.002355, 4.801e-05, 0.0, None])
        ['+0.012310', '−0.002355', '+0.000048', '±0', '–']
    """
    texts = column([None if one is None else abs(one) for one in values])
    return [
        text if one is None or math.isnan(one) else "±0" if one == 0 else f"{'+' if one > 0 else '−'}{text}"
        for one, text in zip(values, texts, strict=True)
    ]


def _is_finite(value: float) -> bool:
    return math.isfinite(value) and not is_endless(value)


def _sizes(values: Iterable[float | None]) -> list[float]:
    return [abs(one) for one in values if one is not None and _is_finite(one)]


def _decimals(sizes: Sequence[float], digits: int = 4) -> int:
    """Return how many decimals numbers of these sizes are told with, of the greatest so many digits."""
    part = [one for one in sizes if 0 < one < 1000]
    if all(one == int(one) for one in sizes) or not part or (len(part) < len(sizes) and min(part) >= 10):
        return 0
    greatest = max(part)
    least = min(one for one in part if one >= greatest * ORDINARY)
    wanted = digits - 1 - math.floor(math.log10(greatest))
    two = 1 - math.floor(math.log10(least))
    return min(MOST_DECIMALS, max(0, wanted if greatest > 1 else max(digits, wanted), two))


def _fixed(value: float | None, decimals: int) -> str:
    if value is None or not _is_finite(value) or abs(value) >= 1000 or 0 < abs(value) < 10**-decimals:
        return number(None if value is None else float(value))
    return f"{value:,.{decimals}f}"


def short(value: float) -> str:
    """Render a number for an axis: three digits that matter.

    Example:
        >>> short(0.5), short(7.5e-05), short(12_000.0)
        ('0.5', '7.5e-5', '12,000')
    """
    if abs(value) >= 1000 or not math.isfinite(value):
        return number(value)
    return f"{value:.3g}".replace("e-0", "e-")


def percent(ratio: float) -> str:
    """Render a ratio in [0, 1] as a percentage."""
    return f"{100 * ratio:.3g} %"


def seconds(value: float | None) -> str:
    """Render a duration in its two largest units.

    Example:
        >>> seconds(0.0121), seconds(3.44), seconds(312), seconds(7500), seconds(200_000)
        ('12 ms', '3.4 s', '5 min 12 s', '2 h 5 min', '2 d 7 h')
    """
    if value is None or not math.isfinite(value):
        return number(value)
    if value < 0:
        return f"−{seconds(-value)}"
    if value < 0.9995:
        return f"{1000 * value:.0f} ms" if value >= 0.01 or value == 0 else f"{1000 * value:.2g} ms"
    if value < 59.95:
        return f"{value:.1f} s"
    whole = round(value)
    for size, unit, part, below in ((DAY_S, "d", 3600, "h"), (3600, "h", 60, "min"), (60, "min", 1, "s")):
        if whole >= size:
            rest = whole % size // part
            return f"{whole // size:,} {unit}" + (f" {rest} {below}" if rest else "")
    return f"{whole} s"


def milliseconds(value: float | None) -> str:
    """Render a duration that is known in milliseconds."""
    return seconds(None if value is None else value / 1000)


def size(count: float | None) -> str:
    """Render how many bytes.

    Example:
        >>> size(11_264), size(812), size(2_500_000)
        ('11 kB', '812 B', '2.5 MB')
    """
    if count is None:
        return "–"
    unit, each = size_unit(count)
    if each == 1:
        return f"{count:.0f} B"
    return f"{count / each:.1f} {unit}" if count < 10 * each else f"{count / each:,.0f} {unit}"


def size_unit(count: float) -> tuple[str, int]:
    """Return the unit that a number of bytes is told in, and how many bytes it is.

    Example:
        >>> size_unit(37_000), size_unit(12)
        (('kB', 1000), ('B', 1))
    """
    for power, unit in ((4, "TB"), (3, "GB"), (2, "MB"), (1, "kB")):
        if count >= 1000**power:
            return unit, 1000**power
    return "B", 1


def ago(time_ms: int) -> str:
    """Render how long ago a time was; what is older than a day, or to come, as a time.

    Example:
        >>> ago(now_ms() - 90_000)
        '1 min ago'
    """
    passed_s = (now_ms() - time_ms) / 1000
    if passed_s < -SKEW_MS / 1000 or passed_s >= DAY_S or iso_ms(time_ms) is None:
        return format_ms(time_ms)
    if passed_s < 5:
        return "just now"
    for length, unit in ((3600, "h"), (60, "min"), (1, "s")):
        if passed_s >= length:
            return f"{int(passed_s // length)} {unit} ago"
    return "just now"


def cut(text: str, length: int = NAME_LENGTH) -> str:
    """Return a name that is too long without its middle; its beginning and its end tell names apart.

    Example:
        >>> cut("a" * 30 + "b" * 30, 11)
        'aaaaa…bbbbb'
    """
    text = str(visible(str(text)))
    if len(text) <= length:
        return text
    end = (length - 1) // 2
    return f"{text[: length - 1 - end]}…{text[-end:]}"


def sentence(text: str) -> str:
    """Render what an error says as a sentence of a page; a name that it begins with stays as it is.

    Example:
        >>> sentence("there is no run 7"), sentence("late/9 was deleted.")
        ('There is no run 7.', 'late/9 was deleted.')
    """
    first = text.partition(" ")[0]
    begun = f"{text[:1].upper()}{text[1:]}" if first in _OPENING else text
    return begun if begun.endswith((".", "!", "?")) else f"{begun}."


def natural(name: str) -> list[tuple[int, str]]:
    """Return what a name is sorted by: numbers in it by their size, `loss_14` before `loss_105`.

    Example:
        >>> sorted(["m105", "m14", "m2", "loss"], key=natural)
        ['loss', 'm2', 'm14', 'm105']
    """
    parts = [one.lstrip("0") if place % 2 else one for place, one in enumerate(_NUMBERS.split(name))]
    return [(len(one) if place % 2 else 0, one) for place, one in enumerate(parts)] + [(0, name)]


def naturally(values: Mapping[str, Any]) -> list[tuple[str, Any]]:
    """Return names with their values, sorted as `natural` has it."""
    return sorted(values.items(), key=lambda one: natural(one[0]))


def is_digest(text: str) -> bool:
    """Say whether a text is a digest or an id of digits alone, which nobody reads to its end.

    Example:
        >>> is_digest("md5:140228cce27d6f9edeb63c841c40d6c5.dir"), is_digest("140228cc")
        (True, False)
    """
    return _DIGEST.match(text) is not None


def short_id(text: str) -> str:
    """Return the beginning of an id that is enough to name it; of a digest without the word before it.

    Example:
        >>> short_id("md5:140228cce27d6f9edeb63c841c40d6c5.dir")
        '140228cc'
    """
    found = _DIGEST.match(text)
    return (found[1] if found else text)[:ID_LENGTH]


def segment(text: str) -> str:
    """Quote a name as one part of an address."""
    return quote(str(text), safe="")


def briefly(text: str, length: int = NAME_LENGTH) -> str:
    """Return the beginning of a digest, or another text without its middle where it is too long."""
    return short_id(text) if is_digest(text) else cut(text, length)


def path(text: str) -> str:
    """Quote a subject as the rest of an address; its slashes stay."""
    return quote(str(text), safe="/@")


def scalar(value: Any, name: str = "") -> str:
    """Render one value of an event or link as text; times are told by their name.

    Example:
        >>> scalar(0.123456), scalar(0, "time_ms"), scalar([1, 2])
        ('0.1235', '1970-01-01 00:00:00Z', '1, 2')
    """
    if value is None or value == "":
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if name in {"time_ms", "registered_ms", "created_ms"} and isinstance(value, int):
        return format_ms(value)
    if name in {"start_s", "end_s"} and isinstance(value, int):
        return format_ms(1000 * value)
    if isinstance(value, float):
        return number(value)
    if isinstance(value, list):
        shown = ", ".join(scalar(item) for item in value[:24])
        return f"{shown}, … ({len(value)} in all)" if len(value) > 24 else shown
    text = str(value)
    return text if len(text) <= MAX_TEXT else f"{text[:MAX_TEXT]}…"
