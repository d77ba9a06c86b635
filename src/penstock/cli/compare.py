"""The command `compare`: what differs between two runs, versions or revisions, and what the difference is made of."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from penstock.base.numbers import counted
from penstock.cli.output import Session, json_option, pass_session
from penstock.cli.tables import render_table

if TYPE_CHECKING:
    from penstock.flows.comparing.attributing import AttributionOptions
    from penstock.flows.comparing.attribution import Attribution, Cell
    from penstock.flows.comparing.differences import Differences
    from penstock.flows.comparing.sides import Side
    from penstock.project.project import Project

SHOWN_FILES = 12


@click.command()
@click.argument("first")
@click.argument("second")
@click.option(
    "--why", is_flag=True, help="Run the pipeline with parts of each to tell what the difference is made of."
)
@click.option(
    "--dry-run", is_flag=True, help="With --why: show which mixtures would be run, and run nothing."
)
@click.option(
    "--budget",
    type=click.IntRange(4),
    default=64,
    show_default=True,
    help="With --why: run the pipeline so often at most.",
)
@click.option("--metric", "metrics", multiple=True, help="With --why: explain this metric only. Repeatable.")
@click.option("--seed", help="With --why: the parameter that is the pipeline's seed, as KEY or FILE:KEY.")
@click.option(
    "--repetitions",
    type=click.IntRange(1),
    default=1,
    show_default=True,
    help="With --why: run each mixture with so many seeds.",
)
@click.option("--by-file", is_flag=True, help="With --why: tell each data and parameter file apart.")
@json_option
@pass_session
def compare(
    session: Session,
    first: str,
    second: str,
    *,
    why: bool,
    dry_run: bool,
    budget: int,
    metrics: tuple[str, ...],
    seed: str | None,
    repetitions: int,
    by_file: bool,
) -> None:
    """Compare two runs, versions (MODEL/3, MODEL@alias), experiments or revisions.

    With --why the pipeline is run in clean trees with data, parameters and code of FIRST and of SECOND, which tells
    what the difference of a metric is made of. Results that are known are taken from the run cache.
    """
    from penstock.flows.comparing.attributing import AttributionOptions
    from penstock.flows.comparing.differences import compare_sides
    from penstock.flows.comparing.sides import find_side
    from penstock.workspace import open_workspace

    asked = [dry_run, bool(metrics), seed is not None, repetitions > 1, by_file]
    if any(asked) and not why:
        raise click.UsageError("--dry-run, --metric, --seed, --repetitions and --by-file go with --why")
    project = open_workspace(session.directory)
    one, two = find_side(project, first), find_side(project, second)
    if why:
        options = AttributionOptions(metrics, budget, repetitions, seed, by_file)
        _explain(session, project, (one, two), options, dry=dry_run)
        return
    found = compare_sides(project, one, two)
    session.emit(_document(one, two, found), lambda: _render(one, two, found))


def _explain(
    session: Session, project: Project, sides: tuple[Side, Side], options: AttributionOptions, *, dry: bool
) -> None:
    from penstock.flows.comparing.attributing import explain_difference
    from penstock.flows.comparing.attribution import attribution_document

    def tell(at: int, count: int, cell: Cell) -> None:
        session.note(f"{at}/{count}  {_mixture(cell)}: {_done(cell)}")

    found = explain_difference(project, *sides, options, dry=dry, on_cell=None if dry else tell)
    session.emit(
        attribution_document(found, *sides),
        lambda: _render_plan(found, sides) if dry else _render_shares(found, sides),
    )


def _mixture(cell: Cell) -> str:
    return f"{', '.join(cell.swapped)} of the second" if cell.swapped else "all of the first"


def _done(cell: Cell) -> str:
    last = cell.measured[-1]
    if last.failure is not None:
        return f"failed: {last.failure}"
    ran = ", ".join(last.ran)
    known = f"{', '.join(last.restored)} known from earlier runs" if last.restored else ""
    return "; ".join(word for word in (f"ran {ran}" if ran else "", known) if word) or "nothing had to run"


def _render_plan(found: Attribution, sides: tuple[Side, Side]) -> str:
    rows = [
        (number, ", ".join(cell.swapped) or "-", _due(cell)) for number, cell in enumerate(found.cells, 1)
    ]
    parts = [f"{part.name}: {_files(part.files)}" for part in found.parts]
    runs = len(found.cells) * found.repetitions
    return "\n".join(
        [
            f"{sides[0].name} and {sides[1].name} differ in",
            *(f"  {line}" for line in parts),
            "",
            render_table(rows, ("mixture", f"of {sides[1].name}", "would run")),
            "",
            f"{counted(runs, 'run')} of the pipeline; what the run cache knows is not run again. Nothing was run.",
            *_notes(found),
        ]
    )


def _due(cell: Cell) -> str:
    failure = next((one.failure for one in cell.measured if one.failure is not None), None)
    if failure is not None:
        return f"it would fail: {failure}"
    return ", ".join(dict.fromkeys(stage for one in cell.measured for stage in one.ran)) or "nothing"


def _render_shares(found: Attribution, sides: tuple[Side, Side]) -> str:
    rows: list[tuple[object, ...]] = []
    for metric, shares in found.shares.items():
        before, after = found.ends[metric]
        rows.append((metric, f"{before:.6g}", f"{after:.6g}", f"{after - before:+.4g}"))
        for part, share in shares.items():
            width = f"± {share.half_width:.2g}" if share.half_width is not None else ""
            rows.append((f"  {part}", "", width, f"{share.value:+.4g}"))
    lines = [render_table(rows, ("", sides[0].name, sides[1].name, "difference"))]
    if found.orders_used < found.orders_total:
        lines.append(
            f"over {found.orders_used} of {counted(found.orders_total, 'order')}: the others pass a mixture that fails"
        )
    if not found.is_exact:
        lines.append(
            f"{counted(found.orders_total, 'order was', 'orders were')} drawn, not all: a greater --budget takes more"
        )
    return "\n".join([*lines, *_notes(found)])


def _notes(found: Attribution) -> list[str]:
    return [f"note: {note}" for note in found.notes]


def _document(one: Side, two: Side, found: Differences) -> dict[str, Any]:
    pairs = {name: getattr(found, name) for name in ("parameters", "metrics", "data")}
    return {
        "first": {"kind": one.kind, "name": one.name, "commit": one.commit},
        "second": {"kind": two.kind, "name": two.name, "commit": two.commit},
        **{name: {key: list(pair) for key, pair in values.items()} for name, values in pairs.items()},
        "code": None if found.code is None else list(found.code),
        "uncommitted": [side.name for side in (one, two) if side.dirty_digest is not None],
    }


def _render(one: Side, two: Side, found: Differences) -> str:
    from penstock.base.numbers import format_exactly

    rows: list[tuple[object, ...]] = []
    for kind, pairs in (("metric", found.metrics), ("parameter", found.parameters), ("data", found.data)):
        rows += [
            (
                kind,
                key,
                *(None if value is None else _short(format_exactly(value)) for value in pair),
                _change(pair),
            )
            for key, pair in pairs.items()
        ]
    lines = [render_table(rows, ("", "name", one.name, two.name, "change"))] if rows else []
    if found.code is None:
        absent = [side.name for side in (one, two) if side.commit is None]
        lines.append(f"code: not known, {' and '.join(absent)} has no commit")
    elif found.code:
        lines.append(
            f"files: {_files(found.code)}  (git diff {(one.commit or '')[:10]} {(two.commit or '')[:10]})"
        )
    lines += [
        f"note: {side.name} had changes that were not committed"
        for side in (one, two)
        if side.dirty_digest is not None
    ]
    return "\n".join(lines) if lines else f"{one.name} and {two.name} do not differ."


def _short(text: str) -> str:
    is_digest = text.startswith(("md5:", "md5-dos2unix:", "sha256:"))
    return text[:12] if is_digest else text if len(text) <= 60 else f"{text[:57]}..."


def _change(pair: tuple[Any, Any]) -> str | None:
    before, after = pair
    is_number = all(isinstance(value, int | float) and not isinstance(value, bool) for value in pair)
    return f"{after - before:+.4g}" if is_number else None


def _files(files: tuple[str, ...]) -> str:
    more = f" and {len(files) - SHOWN_FILES} more" if len(files) > SHOWN_FILES else ""
    return ", ".join(files[:SHOWN_FILES]) + more
