"""Experiments below their baselines, as `dvc exp show --json` lists them; and as the rows of a table.

Source: dvc/repo/experiments/collect.py and show.py (3.67).
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from penstock.base.errors import Conflict, NotFound
from penstock.base.git import Git
from penstock.data.git.experiments import list_experiments
from penstock.data.repository import DataRepository
from penstock.flows.experiments.baselines import Baselines, list_baselines, name_commits
from penstock.flows.experiments.queueing import State, list_waiting
from penstock.flows.experiments.reading import WORKSPACE, Document, read_commits, read_workspace
from penstock.pipeline.parameters import flatten

FIXED = ("Experiment", "rev", "typ", "Created", "parent", "State", "Executor")
EXECUTOR = "penstock"
UNREAD = "!"
Column = tuple[str, str, str]
"""What a column holds (`metrics`, `params`, `deps`), of which file, under which name."""
Values = Mapping[Column, Any]


@dataclass(frozen=True)
class Shown:
    """What of experiments is shown: of which baselines, and whether what waits, what failed and the workspace is."""

    baselines: Baselines = field(default_factory=Baselines)
    queued: bool = True
    failed: bool = True
    workspace: bool = True
    names: bool = True
    param_deps: bool = False
    anew: bool = False


@dataclass(frozen=True)
class Row:
    """One row: its fixed cells, and its values by column."""

    name: str
    rev: str
    kind: Literal["baseline", "branch_commit", "branch_base"]
    created: str | None
    state: str
    values: Values


@dataclass(frozen=True)
class Table:
    """Columns (`headers`, of which `kinds` says what they hold) and rows of cells, None where there is nothing."""

    headers: list[str]
    rows: list[list[Any]]


def collect(repo: DataRepository, shown: Shown) -> list[Document]:
    """Return baselines with their experiments, in DVC's shape; the workspace comes first.

    Raises:
        NotFound: a revision does not exist.
    """
    git = Git(repo.root)
    commits = list_baselines(git, shown.baselines)
    if not commits:
        return []
    known = set(commits)
    experiments = sorted(
        (one for one in list_experiments(git) if one.baseline in known),
        key=lambda one: (one.created_s, one.commit),  # as DVC: of one second, by the commit's id
        reverse=True,
    )
    wanted: dict[State, bool] = {"running": True, "queue": shown.queued, "failed": shown.failed}
    waiting = [
        one
        for state, is_wanted in wanted.items()
        if is_wanted
        for one in list_waiting(git, state)
        if one.job.baseline in known
    ]
    times = {commit: int(time) for commit, time in _times(git, commits)}
    times |= {one.commit: one.created_s for one in experiments}
    times |= {one.job.start: one.created_s for one in waiting}
    documents = read_commits(repo, git, times, param_deps=shown.param_deps, anew=shown.anew)
    below: dict[str, list[Document]] = {commit: [] for commit in commits}
    for one in experiments:
        below[one.baseline].append(_range(one.name, one.commit, documents[one.commit], None))
    for other in waiting:
        document = documents[other.job.start]
        if "data" in document:
            document = {"data": {**document["data"], "metrics": {}}}
        executor = {
            "state": "queued" if other.state == "queue" else other.state,
            "name": EXECUTOR,
            "local": None,
        }
        below[other.job.baseline].append(_range(other.job.name, other.job.start, document, executor))
    names = name_commits(git, commits) if shown.names else dict.fromkeys(commits)
    found = []
    if shown.workspace:
        found.append(_state(WORKSPACE, None, read_workspace(repo, git, param_deps=shown.param_deps), None))
    found += [_state(commit, names[commit], documents[commit], below[commit] or None) for commit in commits]
    return found


def _times(git: Git, commits: Sequence[str]) -> Iterator[tuple[str, str]]:
    text = git.feed(
        "\n".join([*commits, ""]).encode(), "log", "--no-walk=unsorted", "--stdin", "--format=%H %ct"
    )
    for line in text.decode().splitlines():
        commit, _, time = line.partition(" ")
        yield commit, time


def _state(rev: str, name: str | None, document: Document, experiments: list[Document] | None) -> Document:
    return {
        "rev": rev,
        "name": name,
        "data": document.get("data"),
        "error": document.get("error"),
        "experiments": experiments,
    }


def _range(name: str, rev: str, document: Document, executor: Document | None) -> Document:
    return {"revs": [_state(rev, name, document, None)], "executor": executor, "name": name}


@dataclass(frozen=True)
class Layout:
    """How the table looks: which columns stay (`keep`) or go (`drop`, patterns), what rows are ordered by."""

    keep: tuple[str, ...] = ()
    drop: tuple[str, ...] = ()
    only_changed: bool = False
    sort_by: str | None = None
    is_descending: bool = False


def tabulate(states: Sequence[Document], layout: Layout) -> Table:
    """Return the table of what `collect` found; empty columns of state are left out.

    Raises:
        NotFound, Conflict: no column, or several, are called what rows are to be ordered by.
    """
    values = {id(data): _values(data) for data in _all_data(states)}
    columns = _columns(states, values)
    key = _sort_key(columns, layout.sort_by) if layout.sort_by else None
    rows = list(_rows(states, values, key, is_descending=layout.is_descending))
    headers = [*FIXED, *_headers(columns)]
    cells = [
        [row.name, row.rev, row.kind, row.created, "", row.state, EXECUTOR.capitalize() if row.state else ""]
        + [row.values.get(column, row.values.get((*column[:2], UNREAD))) for column in columns]
        for row in rows
    ]
    return _chosen(Table(headers, cells), layout)


def _all_data(states: Sequence[Document]) -> Iterator[Document]:
    for state in states:
        if state["data"]:
            yield state["data"]
        for one in state["experiments"] or ():
            yield from _all_data(one["revs"])


def _values(data: Document) -> Values:
    """Return what a revision says by column; a file that could not be read has one column, `UNREAD`."""
    found: dict[Column, Any] = {}
    for kind in ("metrics", "params"):
        for file, one in data[kind].items():
            if isinstance(one.get("data"), Mapping):
                found.update(((kind, file, str(key)), value) for key, value in flatten(one["data"]).items())
            elif "error" in one:
                found[kind, file, UNREAD] = UNREAD
    found.update((("deps", path, path), one["hash"]) for path, one in data["deps"].items())
    return found


def _columns(states: Sequence[Document], values: Mapping[int, Values]) -> list[Column]:
    """Return every column: metrics, parameters, each file's together, then dependencies by name."""
    places: dict[tuple[str, str], int] = {}
    found: dict[Column, None] = {}
    for data in _all_data(states):
        for kind in ("metrics", "params"):
            for file in data[kind]:
                places.setdefault((kind, file), len(places))
        found.update(dict.fromkeys(values[id(data)]))
    measured = [column for column in found if column[0] != "deps" and column[2] != UNREAD]
    measured.sort(key=lambda column: (column[0], places[column[:2]]))
    return [*measured, *sorted(column for column in found if column[0] == "deps")]


def _headers(columns: Sequence[Column]) -> list[str]:
    counts = Counter(name for kind, _, name in columns if kind != "deps")
    counts.update(FIXED)
    return [name if kind == "deps" or counts[name] == 1 else f"{file}:{name}" for kind, file, name in columns]


def _rows(
    states: Sequence[Document], values: Mapping[int, Values], key: Column | None, *, is_descending: bool
) -> Iterator[Row]:
    for state in states:
        rev = state["rev"]
        name = state["name"] or (rev if rev == WORKSPACE else rev[:7])
        data = state["data"] or {}
        yield Row("", name, "baseline", data.get("timestamp"), "", values.get(id(data), {}))
        below = [(one, values.get(id(one["revs"][0]["data"]), {})) for one in state["experiments"] or ()]
        if key is not None:
            below = _ordered(below, key, is_descending=is_descending)
        for at, (one, said) in enumerate(below):
            tip, executor = one["revs"][0], one["executor"]
            yield Row(
                tip["name"],
                tip["rev"][:7],
                "branch_base" if at == len(below) - 1 else "branch_commit",
                (tip["data"] or {}).get("timestamp"),
                executor["state"].capitalize() if executor else "",
                said,
            )


def _ordered(
    experiments: Iterable[tuple[Document, Values]], key: Column, *, is_descending: bool
) -> list[tuple[Document, Values]]:
    """Return experiments by a value; those without one are last, numbers come before texts."""

    def place(one: tuple[Document, Values]) -> tuple[bool, Any]:
        found = one[1][key]
        is_number = isinstance(found, int | float)
        return (not is_number, found if is_number else str(found))

    listed = list(experiments)
    having = [one for one in listed if one[1].get(key) is not None]
    without = [one for one in listed if one[1].get(key) is None]
    return sorted(having, key=place, reverse=is_descending) + without


def _sort_key(columns: Sequence[Column], wanted: str) -> Column:
    named = [one for one in columns if one[0] != "deps"]
    found = [one for one in named if wanted in {f"{one[1]}:{one[2]}", f":{one[2]}"}] or [
        one for one in named if one[2] == wanted
    ]
    if len(found) > 1:
        raise Conflict(
            f"several columns are called {wanted!r}",
            code="experiments.ambiguous_column",
            hint=f"--sort-by {found[0][1]}:{found[0][2]}",
        )
    if not found:
        raise NotFound(
            f"there is no column {wanted!r}",
            code="experiments.no_column",
            hint="a metric or parameter, as penstock exp show heads its column",
        )
    return found[0]


def _chosen(table: Table, layout: Layout) -> Table:
    keep = re.compile("|".join(layout.keep)) if layout.keep else None
    drop = re.compile("|".join(layout.drop)) if layout.drop else None
    chosen = []
    for at, name in enumerate(table.headers):
        cells = [row[at] for row in table.rows]
        if name in {"State", "Executor"} and not any(cells):
            continue
        if name not in FIXED[:3] and name != "parent" and not (keep is not None and keep.match(name)):
            if layout.only_changed and len({str(cell) for cell in cells}) <= 1:
                continue
            if drop is not None and drop.match(name):
                continue
        chosen.append(at)
    return Table([table.headers[at] for at in chosen], [[row[at] for at in chosen] for row in table.rows])
