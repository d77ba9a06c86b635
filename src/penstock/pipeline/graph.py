"""The order of stages: who makes what another needs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from penstock.base.errors import Invalid, NotFound
from penstock.pipeline.stage import Stage


def upstream_of(stages: Sequence[Stage]) -> dict[str, tuple[str, ...]]:
    """Return, for each stage, the stages that make something it depends on.

    A dependency inside an output's directory, or a directory that contains an output, counts.

    Raises:
        Invalid: two stages declare the same or overlapping outputs.
    """
    owners: dict[str, str] = {}
    for stage in stages:
        for output in stage.outputs:
            place = stage.place(output.path)
            for other, owner in owners.items():
                if _overlap(place, other):
                    raise Invalid(
                        f"stages `{owner}` and `{stage.name}` both make {place}",
                        code="pipeline.overlapping_outputs",
                        hint="let one stage make each output",
                    )
            owners[place] = stage.name
    return {
        stage.name: tuple(
            dict.fromkeys(
                owner
                for path in stage.dependencies
                for place, owner in owners.items()
                if _overlap(stage.place(path), place)
            )
        )
        for stage in stages
    }


def order(stages: Sequence[Stage], targets: Iterable[str] = (), *, single: bool = False) -> list[Stage]:
    """Return the targets (all stages when none) after everything they depend on.

    `single` leaves out what they depend on.

    Raises:
        NotFound: a target names no stage.
        Invalid: stages depend on each other in a circle.
    """
    by_name = {stage.name: stage for stage in stages}
    wanted = [name for target in targets for name in _targets(by_name, target)]
    wanted = list(dict.fromkeys(wanted)) or [stage.name for stage in stages]
    if single:
        return [by_name[name] for name in wanted]
    upstream = upstream_of(stages)
    done: dict[str, None] = {}
    for name in wanted:
        _visit(name, upstream, done, [])
    return [by_name[name] for name in done]


def _visit(
    name: str, upstream: Mapping[str, tuple[str, ...]], done: dict[str, None], path: list[str]
) -> None:
    if name in done:
        return
    if name in path:
        circle = " -> ".join([*path[path.index(name) :], name])
        raise Invalid(
            f"stages depend on each other in a circle: {circle}",
            code="pipeline.cycle",
            hint="break it in dvc.yaml",
        )
    for need in upstream[name]:
        _visit(need, upstream, done, [*path, name])
    done[name] = None


def _targets(by_name: Mapping[str, Stage], target: str) -> list[str]:
    """Return the stages that a name means: one, those of its group, or the one that makes this output."""
    name = target.removeprefix("dvc.yaml:")
    if name in by_name:
        return [name]
    group = [one for one in by_name if one.startswith(f"{name}@")]
    if group:
        return group
    for stage in by_name.values():
        if any(stage.place(output.path) == target for output in stage.outputs):
            return [stage.name]
    raise NotFound(
        f"no stage or output is called {target!r}",
        code="pipeline.no_stage",
        hint=f"stages: {', '.join(by_name) or 'none'}",
        target=target,
    )


def _overlap(one: str, other: str) -> bool:
    return one == other or one.startswith(f"{other}/") or other.startswith(f"{one}/")
