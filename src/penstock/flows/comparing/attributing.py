"""What the difference between two results is made of: the pipeline is run with parts of one and of the other.

With every set of parts measured, a part's share is its Shapley value (`stats/attribution.py`); repetitions with
other seeds tell how sure that is. Results of earlier runs are taken from the run cache.
"""

from __future__ import annotations

import shlex
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import msgspec

from penstock.base.errors import Invalid, Refused
from penstock.base.numbers import counted
from penstock.base.store.events import record_event
from penstock.flows.comparing.attribution import Attribution, Cell, attribution_document, sentences
from penstock.flows.comparing.parts import Part, find_parts
from penstock.flows.comparing.seeding import Seeds, find_seeds
from penstock.flows.comparing.sides import Side
from penstock.flows.comparing.swapping import Ends, as_commit_of, measure, stale_stages, swapped_tree
from penstock.flows.pipelines.looking import Silent
from penstock.pipeline.running.reproducing import Watcher
from penstock.project.project import Project
from penstock.stats.attribution import Orders, attribute, choose_orders

KIND = "model.compared"
SAME = 1e-9


@dataclass(frozen=True)
class AttributionOptions:
    """How to find what a difference is made of.

    `metrics` are those to explain, all that both sides have where empty. `budget` bounds how often the pipeline is
    run. `repetitions` above 1 need the name of a seed parameter, `seed` (`KEY` of params.yaml, or `FILE:KEY`).
    """

    metrics: tuple[str, ...] = ()
    budget: int = 64
    repetitions: int = 1
    seed: str | None = None
    by_file: bool = False


OnCell = Callable[[int, int, Cell], None]


def explain_difference(
    project: Project,
    first: Side,
    second: Side,
    options: AttributionOptions,
    *,
    dry: bool = False,
    on_cell: OnCell | None = None,
    watcher: Watcher | None = None,
) -> Attribution:
    """Return what the difference between two sides' metrics is made of; nothing in the user's tree changes.

    The result is kept as evidence on each side that is a model version.

    Args:
        dry: only tell what would be run; nothing is run or kept.

    Raises:
        Invalid: a side has no commit, nothing but results differs, the budget is too small, or a seed is wrong.
        NotFound: tracked data is missing.
        Refused: a side's own pipeline fails, or so many mixtures fail that nothing can be said.
    """
    for side in (first, second):
        _require_commit(side)
    commits = [as_commit_of(project, side) for side in (first, second)]
    parts = find_parts(project, *commits, by_file=options.by_file)
    if not parts:
        raise Invalid(
            f"{first.name} and {second.name} have the same data, parameters and code",
            code="compare.same",
            hint="their difference, if any, is the pipeline's own chance: see penstock compare",
        )
    ends = Ends(commits[0], commits[1], parts)
    orders = _choose(parts, options)
    seeds = find_seeds(project, ends, options.seed, options.repetitions)
    cells = []
    for at, swapped in enumerate(orders.cells):
        cell = _measure(project, ends, swapped, seeds, watcher or Silent(), dry=dry)
        _require_end(cell, orders, swapped, first, second)
        cells.append(cell)
        if on_cell is not None:
            on_cell(at + 1, len(orders.cells), cell)
    if dry:
        return Attribution(
            parts, tuple(cells), orders_total=len(orders.orders), is_exact=orders.is_exact,
            repetitions=options.repetitions, notes=_undetermined(cells),
        )  # fmt: skip
    found = _attribute(tuple(cells), parts, orders, options)
    notes = _notes(project, cells, found.ends, (first, second), commits)
    if not options.metrics:
        notes += _of_one_side(cells, found.ends, (first, second))
    found = replace(found, notes=tuple(notes))
    return _keep(project, found, first, second)


def _require_commit(side: Side) -> None:
    if side.commit is None:
        raise Invalid(
            f"{side.name} was made outside of git, so its code cannot be brought back",
            code="compare.no_commit",
            hint="penstock compare without --why shows what was recorded",
        )


def _choose(parts: Sequence[Part], options: AttributionOptions) -> Orders:
    if options.repetitions > 1 and options.seed is None:
        raise Invalid(
            "repetitions need a seed to vary",
            code="compare.no_seed",
            hint="--seed NAME, the parameter that is the pipeline's seed",
        )
    try:
        return choose_orders([part.name for part in parts], options.budget // options.repetitions)
    except ValueError:
        fewest = 2 * len(parts) * options.repetitions
        raise Invalid(
            f"{counted(len(parts), 'part')} with {counted(options.repetitions, 'repetition takes', 'repetitions take')} at least {counted(fewest, 'run')}, "
            f"the budget is {options.budget}",
            code="compare.budget",
            hint=f"--budget {fewest}",
        ) from None


def _measure(
    project: Project, ends: Ends, swapped: frozenset[str], seeds: Seeds, watcher: Watcher, *, dry: bool
) -> Cell:
    measured = []
    for change in seeds:
        with swapped_tree(project, ends, swapped) as tree:
            change(tree)
            measured.append(measure(project, tree, watcher, dry=dry))
    return Cell(tuple(part.name for part in ends.parts if part.name in swapped), tuple(measured))


def _require_end(cell: Cell, orders: Orders, swapped: frozenset[str], first: Side, second: Side) -> None:
    """Refuse to go on when a side's own pipeline does not run: there is no difference to explain then."""
    failed = next((one for one in cell.measured if one.failure is not None), None)
    everything = max(orders.cells, key=len)
    if failed is None or swapped not in (frozenset(), everything):
        return
    side = second if swapped else first
    raise Refused(
        f"the pipeline of {side.name} itself fails: {failed.failure}",
        code="compare.end_failed",
        hint=f"penstock restore {shlex.quote(side.version.ref if side.version else side.commit or '')} --into DIR, then repro there",
        output=list(failed.output),
    )


def _attribute(
    cells: tuple[Cell, ...],
    parts: tuple[Part, ...],
    orders: Orders,
    options: AttributionOptions,
) -> Attribution:
    whole = tuple(part.name for part in parts)
    bottom, top = (next(one for one in cells if one.swapped == ends) for ends in ((), whole))
    common = [
        key
        for key in bottom.measured[0].metrics
        if all(key in one.metrics for one in (*bottom.measured, *top.measured))
    ]
    wanted = _wanted(common, options.metrics)
    shares, used, found = {}, 0, {}
    for metric in wanted:
        worths = [
            {
                frozenset(cell.swapped): cell.measured[at].metrics[metric]
                for cell in cells
                if metric in cell.measured[at].metrics
            }
            for at in range(options.repetitions)
        ]
        found[metric] = (_mean(bottom, metric), _mean(top, metric))
        try:
            shares[metric], used = attribute(orders, worths)
        except ValueError:
            raise _cannot_say(cells) from None
    return Attribution(
        parts, cells, found, shares, used, len(orders.orders), orders.is_exact, options.repetitions,
    )  # fmt: skip


def _wanted(common: Sequence[str], asked: Sequence[str]) -> Sequence[str]:
    unknown = [one for one in asked if one not in common]
    if unknown or not common:
        raise Invalid(
            f"the pipeline gives no metric {unknown[0]!r} on both sides"
            if unknown
            else "the pipeline gives no metric",
            code="compare.no_metric",
            hint=f"it gives {', '.join(common)}"
            if common
            else "declare one under `metrics` of a stage in dvc.yaml",
        )
    return asked or common


def _cannot_say(cells: Sequence[Cell]) -> Refused:
    failed = [cell for cell in cells if any(one.failure for one in cell.measured)]
    first = failed[0]
    failure = next(one for one in first.measured if one.failure)
    return Refused(
        f"what the difference is made of cannot be said: {counted(len(failed), 'mixture')} of the two failed, the first, with "
        f"{' and '.join(first.swapped)} of the second: {failure.failure}",
        code="compare.mixtures_failed",
        hint="penstock compare without --why shows what differs",
        output=list(failure.output),
    )


def _mean(cell: Cell, metric: str) -> float:
    return sum(one.metrics[metric] for one in cell.measured) / len(cell.measured)


def _notes(
    project: Project,
    cells: Sequence[Cell],
    ends: Mapping[str, tuple[float, float]],
    sides: tuple[Side, Side],
    commits: Sequence[str],
) -> list[str]:
    notes, stale = [*_undetermined(cells)], dict[str, tuple[str, ...]]()
    failed = [cell for cell in cells if any(one.failure for one in cell.measured)]
    for cell in failed:
        failure = next(one for one in cell.measured if one.failure)
        notes.append(f"with {' and '.join(cell.swapped)} of {sides[1].name}: {failure.failure}")
    is_repeated = len(cells[0].measured) > 1
    for metric, values in ends.items():
        for side, commit, again in zip(sides, commits, values, strict=True):
            recorded = side.metrics.get(metric)
            if (
                recorded is not None
                and not is_repeated
                and abs(recorded - again) > SAME * max(1, abs(recorded))
            ):
                if commit not in stale:
                    stale[commit] = stale_stages(project, commit)
                why = (
                    f"its dvc.lock is stale, of an earlier state of {', '.join(stale[commit])}"
                    if stale[commit]
                    else "the pipeline has chance in it, or the machine differs"
                )
                notes.append(
                    f"{side.name} gave {metric} {recorded:.6g} when it was recorded, {again:.6g} now: {why}"
                )
    if not is_repeated:
        notes.append("each mixture was run once: --seed NAME --repetitions 5 tells how sure the shares are")
    return notes


def _undetermined(cells: Sequence[Cell]) -> tuple[str, ...]:
    """Say which data of the mixtures nobody can say to be the meant ones."""
    return tuple(dict.fromkeys(note for cell in cells for one in cell.measured for note in one.undetermined))


def _of_one_side(
    cells: Sequence[Cell], ends: Mapping[str, tuple[float, float]], sides: tuple[Side, Side]
) -> list[str]:
    """Name the metrics that one side alone gives: there is no difference of them to explain."""
    extreme = (min(cells, key=lambda one: len(one.swapped)), max(cells, key=lambda one: len(one.swapped)))
    given = [{key for one in cell.measured for key in one.metrics} - ends.keys() for cell in extreme]
    alone = [sorted(mine - other) for mine, other in (given, given[::-1])]
    return [
        f"only {side.name} gives {', '.join(names)}, so no difference of it is explained"
        for side, names in zip(sides, alone, strict=True)
        if names
    ]


def _keep(project: Project, found: Attribution, first: Side, second: Side) -> Attribution:
    """Store the result, and tell of it on the versions that were compared."""
    versions = [side.version for side in (first, second) if side.version is not None]
    document = attribution_document(found, first, second)
    digest = project.artifacts.put(msgspec.json.encode(document))
    if versions:
        with project.database.write() as connection:
            for version in versions:
                record_event(
                    connection,
                    KIND,
                    f"model:{version.ref}",
                    project.actor,
                    f"{second.name} against {first.name}: {'; '.join(sentences(found))}",
                    cause={"attribution": digest, "first": first.name, "second": second.name},
                )
    return replace(found, evidence=digest)
