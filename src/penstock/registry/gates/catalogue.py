"""The catalogue of gates: which checks penstock.yaml can name, and where each one lies.

Penstock's own stand here; other packages add theirs as entry points of the group called penstock.gates, a name (the key
in `gates:`) for an object with the role of `penstock.registry.gates.check.Gate`. A gate's module is imported when
penstock.yaml names it, and it imports what is heavy only when it checks.
"""

from __future__ import annotations

import functools
import importlib
from collections.abc import Iterable
from importlib.metadata import EntryPoint, entry_points

from penstock.base.errors import Conflict, Invalid, Unavailable
from penstock.registry.gates.check import Gate

GROUP = "penstock.gates"
RESERVED = frozenset({"severity", "waiver"})
"""The keys of an entry beside its check."""
NAMES = (
    "metric", "champion", "schema", "slices", "fairness", "drift", "leakage", "calibration", "baseline", "robustness", "reproducibility", "latency",
    "infrastructure", "size", "parity", "replay", "skew", "provenance", "staleness", "approval", "pytest", "command", "python",
)  # fmt: skip
SERVED = frozenset({"latency", "infrastructure", "size", "parity", "replay", "skew"})
"""Those that ask how a model is served, in a room of their own."""
OWN: dict[str, str] = {
    name: f"penstock.registry.gates.kinds.{'served.' if name in SERVED else ''}{name}:GATE" for name in NAMES
}
"""In the order in which they are told."""


@functools.cache
def list_gates() -> dict[str, str]:
    """Return where each gate lies, by name, Penstock's own first.

    Raises:
        Conflict: two packages give the same name.
    """
    return merge_gates(entry_points(group=GROUP))


def merge_gates(found: Iterable[EntryPoint]) -> dict[str, str]:
    """Return the catalogue with what other packages add.

    Raises:
        Conflict: a name is given twice, or is a key of every entry.
    """
    gates, origins = dict(OWN), dict.fromkeys(OWN, "penstock")
    for point in found:
        origin = point.dist.name if point.dist is not None else "an unknown package"
        if origin == "penstock" and point.name in OWN:  # what an earlier installation wrote down
            continue
        if point.name in RESERVED or gates.get(point.name, point.value) != point.value:
            raise Conflict(
                f"the gate {point.name!r} is given by {origin} as {point.value} and is one of "
                f"{origins.get(point.name, 'penstock')} already",
                code="gate.twice",
                hint=f"uninstall {origin}, or name its entry point of {GROUP} otherwise",
                gate=point.name,
            )
        gates[point.name], origins[point.name] = point.value, origin
    return gates


@functools.cache
def find_gate(name: str) -> Gate:
    """Return a gate by its name.

    Raises:
        Invalid: there is none, or what is there is no gate.
        Unavailable: a package that it needs is not installed.
    """
    target = list_gates().get(name)
    if target is None:
        raise Invalid(
            f"there is no gate {name!r}", code="gate.unknown", hint=f"known gates: {', '.join(list_gates())}"
        )
    module, _, attribute = target.partition(":")
    try:
        gate = getattr(importlib.import_module(module), attribute)
    except ModuleNotFoundError as error:
        raise Unavailable(
            f"the gate {name} needs {error.name}, which is not installed",
            code="gate.library_missing",
            hint=f"pip install {error.name}",
            package=error.name,
        ) from None
    if not isinstance(gate, Gate):
        raise Invalid(f"{target} is no gate", code="gate.unknown", hint="see docs/how-to/set-gates.md")
    return gate
