"""The order of steps: who makes what another needs.

A step is a stage of a `dvc.yaml`, or a pointer, whose data are made elsewhere (`sources.PointerStep`).
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Literal, Protocol, TypeVar

from penstock.base.errors import Invalid

Extent = Literal["upstream", "single", "downstream", "pipeline"]


class Node(Protocol):
    """What the graph has to know of a step; paths are relative to the root."""

    @property
    def name(self) -> str:
        """What it is called in its file."""

    @property
    def address(self) -> str:
        """What it is called in the whole repository."""

    @property
    def file(self) -> str:
        """Where it is defined."""

    @property
    def reads(self) -> tuple[str, ...]:
        """What it depends on."""

    @property
    def makes(self) -> tuple[str, ...]:
        """Its outputs."""

    @property
    def is_frozen(self) -> bool:
        """Whether it stays as it is, whatever it depends on."""


N = TypeVar("N", bound=Node)


def upstream_of(nodes: Sequence[Node], *, active: bool = False) -> dict[str, tuple[str, ...]]:
    """Return, for each step, the steps that make something it depends on, by address.

    A dependency inside an output's directory, or a directory that contains an output, counts. With `active`, frozen
    steps depend on nothing.

    Raises:
        Invalid: two steps declare the same or overlapping outputs.
    """
    owners = _owners(nodes)
    needed = _needed(nodes, owners)
    cut = {node.address for node in nodes if active and node.is_frozen}
    return {
        address: () if address in cut else tuple(dict.fromkeys(owners[place] for place in places))
        for address, places in needed.items()
    }


def needed_outputs(nodes: Sequence[Node]) -> dict[str, tuple[str, ...]]:
    """Return, for each step, the outputs of steps that it depends on, by address.

    Raises:
        Invalid: two steps declare the same or overlapping outputs.
    """
    return _needed(nodes, _owners(nodes))


def _needed(nodes: Sequence[Node], owners: Mapping[str, str]) -> dict[str, tuple[str, ...]]:
    places = sorted(owners)
    return {
        node.address: tuple(
            dict.fromkeys(place for path in node.reads for place in _overlapping(path, owners, places))
        )
        for node in nodes
    }


def plan(
    nodes: Sequence[N],
    chosen: Sequence[N],
    extent: Extent = "upstream",
    upstream: Mapping[str, tuple[str, ...]] | None = None,
) -> list[N]:
    """Return the steps to look at, each after what it needs; all where none are chosen.

    Args:
        nodes: every step there is.
        chosen: where to start.
        extent: `upstream`: with what they depend on; `single`: they alone, in the order given; `downstream`: with
            what depends on them; `pipeline`: with all they are connected to.
        upstream: what each needs, as `upstream_of` says of all steps that are active, where it is known already.

    Raises:
        Invalid: steps depend on each other in a circle, or make the same output.
    """
    if extent == "single" and chosen:
        return list(chosen)
    by_address = {node.address: node for node in nodes}
    upstream = upstream_of(nodes, active=True) if upstream is None else upstream
    ordered = _after_needs(upstream, upstream)
    starts = [node.address for node in chosen]
    if not starts:
        found = ordered
    elif extent == "upstream":
        found = _after_needs(upstream, starts)
    else:
        downstream = reverse(upstream)
        ways = [downstream] if extent == "downstream" else [downstream, upstream]
        reached = _reach(starts, ways)
        found = [address for address in ordered if address in reached]
    return [by_address[address] for address in found]


def reverse(upstream: Mapping[str, tuple[str, ...]]) -> dict[str, tuple[str, ...]]:
    """Return, for each step, the steps that depend on it."""
    found: dict[str, list[str]] = {address: [] for address in upstream}
    for address, needs in upstream.items():
        for need in needs:
            found[need].append(address)
    return {address: tuple(users) for address, users in found.items()}


def below(address: str, downstream: Mapping[str, tuple[str, ...]]) -> set[str]:
    """Return all that depends on a step, directly or through others."""
    return _reach([address], [downstream]) - {address}


def _reach(starts: Collection[str], ways: Sequence[Mapping[str, tuple[str, ...]]]) -> set[str]:
    reached: set[str] = set()
    pending = list(starts)
    while pending:
        address = pending.pop()
        if address not in reached:
            reached.add(address)
            pending += [other for way in ways for other in way[address]]
    return reached


def _after_needs(upstream: Mapping[str, tuple[str, ...]], starts: Collection[str]) -> list[str]:
    """Return the starts and all they need, needs first."""
    done: dict[str, None] = {}
    for start in starts:
        path: dict[str, Iterator[str]] = {}
        pending: str | None = start
        while pending is not None or path:
            if pending is not None and pending not in done:
                if pending in path:
                    raise _circle([*path, pending])
                path[pending] = iter(upstream[pending])
            current = next(reversed(path), None)
            if current is None:
                break
            pending = next(path[current], None)
            if pending is None:
                del path[current]
                done[current] = None
    return list(done)


def _circle(path: list[str]) -> Invalid:
    circle = " -> ".join(path[path.index(path[-1]) :])
    return Invalid(
        f"stages depend on each other in a circle: {circle}",
        code="pipeline.cycle",
        hint="break it in dvc.yaml",
    )


def _owners(nodes: Sequence[Node]) -> dict[str, str]:
    owners: dict[str, str] = {}
    for node in nodes:
        for place in node.makes:
            if place in owners:
                raise _both(owners[place], node.address, place)
            owners[place] = node.address
    for place, owner in owners.items():
        parent = next((one for one in _parents(place) if one in owners), None)
        if parent is not None:
            raise _inside(owners[parent], parent, owner, place)
    return owners


def _inside(outer: str, outer_place: str, inner: str, place: str) -> Invalid:
    if outer == inner:
        message = f"`{inner}` makes {place}, inside {outer_place}, which is an output of its own"
    else:
        message = f"`{inner}` makes {place}, inside {outer_place}, which `{outer}` makes"
    return Invalid(
        message,
        code="pipeline.overlapping_outputs",
        hint="let one stage make the directory with all in it, or each a path of its own",
    )


def _both(first: str, second: str, place: str) -> Invalid:
    return Invalid(
        f"stages `{first}` and `{second}` both make {place}",
        code="pipeline.overlapping_outputs",
        hint="let one stage make each output",
    )


def _overlapping(path: str, owners: Mapping[str, str], places: Sequence[str]) -> Iterator[str]:
    if path in owners:
        yield path
    yield from (parent for parent in _parents(path) if parent in owners)
    inside = "" if path == "." else f"{path}/"
    for at in range(bisect_left(places, inside), len(places)):
        if not places[at].startswith(inside):
            return
        yield places[at]


def _parents(path: str) -> Iterator[str]:
    while "/" in path:
        path = path.rpartition("/")[0]
        yield path
