"""Which change of a check's settings lets more pass: what of them can ask for less, and in which direction.

Each kind says it of all of its own settings (`Gate.weighed`), also of those that chance comes with, as a seed can be chosen by what it
lets pass; of a package's kind that does not, limits called `min…` and `max…` are known, and any other value of the rest may ask for less.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Literal, NamedTuple

import msgspec

Looser = Literal["lower", "higher", "fewer", "more", "gone", "any"] | Mapping[Any, int]
"""How less is asked: by a lower or higher number (or none, where there was one), by fewer names (none: all of them), by
more names, without one that was there, by any other value, or by one of a higher rank."""


class Weighed(NamedTuple):
    """A setting's value, and how it would ask for less."""

    value: Any
    looser: Looser


Weigh = Callable[[Any], Mapping[str, Weighed]]


def weigh(**ways: Looser) -> Weigh:
    """Return what weighs the named settings as they stand."""
    return lambda settings: {name: Weighed(getattr(settings, name), way) for name, way in ways.items()}


def weigh_by_name(settings: Any) -> Mapping[str, Weighed]:
    """Weigh what is called like a limit, `min` or `min_…`, `max` or `max_…`, and the rest as what may ask for less by any change."""
    ways: dict[str, Looser] = {"min": "lower", "max": "higher"}
    names = getattr(settings, "__struct_fields__", ())
    return {name: Weighed(getattr(settings, name), ways.get(name.partition("_")[0], "any")) for name in names}


def asks_less(old: Weighed, new: Any) -> bool:
    """Say whether another value of a setting asks for less than the old one, or nobody can say that it does not.

    Example:
        >>> asks_less(Weighed(0.6, "lower"), 0.5), asks_less(Weighed(0.6, "lower"), None), asks_less(Weighed(None, "lower"), 0.1)
        (True, True, False)
        >>> asks_less(Weighed(("a", "b"), "fewer"), ("a",)), asks_less(Weighed(("a",), "fewer"), ())
        (True, False)
    """
    before, looser = old
    if before == new:
        return False
    if isinstance(looser, Mapping):
        return looser.get(new, len(looser)) > looser.get(before, 0)
    if looser in {"lower", "higher"}:
        if before is None or new is None:
            return new is None
        return bool(new < before if looser == "lower" else new > before)
    if looser in {"fewer", "more", "gone"}:
        had, has = _names(before), _names(new)
        if looser == "more":
            return bool(has - had)
        if looser == "gone":
            return bool(had - has)
        return bool(has) if not had else bool(has and had - has)
    return True


def _names(value: Any) -> frozenset[Any]:
    if value is None:
        return frozenset()
    return frozenset(value if isinstance(value, list | tuple | set | frozenset) else (value,))


def settings_of(kind: type[msgspec.Struct], asked: Any) -> Any | None:
    """Return the settings that a check was asked with, as its verdict kept them; None where they are no longer any."""
    if not isinstance(asked, dict) or not asked:
        return None
    try:
        return msgspec.convert(asked, kind)
    except (msgspec.ValidationError, ValueError):
        return None
