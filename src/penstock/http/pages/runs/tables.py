"""Lists of runs: what an address asks for, answered by one page of rows with the columns that it names."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple
from urllib.parse import urlencode

import sqlalchemy as sa

from penstock.base.errors import Invalid, PenstockError
from penstock.base.numbers import counted
from penstock.http.mlflow.paging import after_of, page_behind
from penstock.http.pages.queries import Query, listed, refusal
from penstock.http.pages.runs.unknown import tell_unknown
from penstock.http.pages.telling.differences import beside
from penstock.http.pages.telling.formatting import called, column, cut, natural, seconds, short_id
from penstock.records.search.entities import RUNS
from penstock.records.search.grammar import parse_order_by
from penstock.registry.states import list_rolled_back
from penstock.registry.versions import get_version
from penstock.stats.metric_names import LOWER_IS_BETTER, METRICS
from penstock.tracking import runs as tracking
from penstock.tracking.entities import PARENT_TAG, Run
from penstock.tracking.search import RunSearch, rank_runs, run_cursor, search_runs

PAGE, PAGE_BELOW_GROUPS = 100, 25
MAX_FILTER = 6000
LOOKED_AT = 6
"""So many of the best runs are looked at: the best may be copies of one another."""
METRIC_COLUMNS, PARAM_COLUMNS = 4, 3
MAX_COLUMNS, MAX_OFFERED = 24, 200
CELL = 44
"""So many characters of a value a row has."""
ORDERED_BY = ("start_time", "end_time", "status", "run_name")
"""Attributes that a list may be ordered by, as a page tells them."""
_SET = re.compile(r"'?\{('[^']*'(?:, '[^']*')*)\}'?")
_PLAIN = re.compile(r"[A-Za-z_]\w*\Z")
_LOSSES = frozenset({"loss", "error", "err", "latency", "seconds", "perplexity"}) | LOWER_IS_BETTER
_NEGATED = re.compile(r"(?:\A|[^a-z0-9])neg_(\w+)")
"""A loss with its sign turned round, as scikit-learn's scorers have it; `neg_loss` may also be that of negative samples."""
_SCORES = frozenset({"auc", "acc", "accuracy", "f1", "precision", "recall", "r2", "score", "ndcg", "map"}) | (
    METRICS - LOWER_IS_BETTER
)


@dataclass(frozen=True)
class Asked:
    """What an address asks for: MLflow's filter, one order, columns as `metrics.x` or `params.y`, a page."""

    filter: str = ""
    order: str = ""
    columns: tuple[str, ...] = ()
    page: str = ""
    group: str = ""

    @classmethod
    def of(cls, query: Query) -> Asked:
        """Read the query of an address.

        Raises:
            Invalid: a column or group has no name that one can have, or there are too many columns.
        """
        named = [one for one in query.every("column") if one]
        wrong = next((one for one in named if not one.startswith(("metrics.", "params."))), None)
        if wrong is not None:
            raise refusal("column", f"is metrics.NAME or params.NAME, not {wrong[:60]!r}")
        if len(set(named)) > MAX_COLUMNS:
            raise refusal(
                "column", f"names {counted(len(set(named)), 'column')}, and at most {MAX_COLUMNS} are shown"
            )
        if query["group"] and not query["group"].startswith("params."):
            raise refusal("group", f"is params.NAME, not {query['group'][:60]!r}")
        return cls(
            query["filter"], query["order"], tuple(dict.fromkeys(named)), query["page"], query["group"]
        )

    @property
    def size(self) -> int:
        """How many runs a page has; below groups fewer, since the groups are what was asked for."""
        return PAGE_BELOW_GROUPS if self.group else PAGE

    def link(self, **changed: str) -> str:
        """Return the query of an address that asks for the same but for what is changed; the page is the first."""
        values = {"filter": self.filter, "order": self.order, "group": self.group, "page": "", **changed}
        pairs = [(name, value) for name, value in values.items() if value]
        return urlencode([*pairs, *(("column", one) for one in self.columns)])


@dataclass(frozen=True)
class Column:
    """One column: its name, the clause that orders by it, and where a click on it leads."""

    kind: str
    key: str
    link: str
    arrow: str = ""

    @property
    def name(self) -> str:
        """The column as an address names it."""
        return f"{self.kind}.{self.key}"

    @property
    def extreme(self) -> str:
        """What the value at the end that is looked for is called: nobody says which end of some metrics is better."""
        return "greatest" if is_loss(self.key) is None else "best"


class Cell(NamedTuple):
    """One cell of a row, as its template writes it: a page has thousands. `whole` is the text where it was cut."""

    css: str
    key: str
    text: str
    whole: str = ""


@dataclass(frozen=True)
class RunTable:
    """A page of runs. `cells` are those of a run, a column each; the best by a metric is marked.

    `rolled_back` are the model versions that runs made and that were rolled back; such a run is never the best.
    """

    asked: Asked
    runs: tuple[Run, ...] = ()
    columns: tuple[Column, ...] = ()
    cells: Mapping[str, Sequence[Cell]] = field(default_factory=dict)
    offered: tuple[str, ...] = ()
    next: str = ""
    problem: str = ""
    rolled_back: Mapping[str, str] = field(default_factory=dict)
    attributes: Mapping[str, Column] = field(default_factory=dict)
    ranked: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    """The best runs that match, with their values, by each metric that is a column and whose name tells which way is better.

    Those rolled back stand among them, and so many others that `LOOKED_AT` are left.
    """


def find_runs(connection: sa.Connection, experiment_ids: Sequence[int], asked: Asked) -> RunTable:
    """Return the page of runs that an address asks for; a filter that is wrong is the table's problem.

    Raises:
        Invalid: the order cannot be read, or the page is none of this list.
    """
    order = [asked.order] if asked.order else []
    try:
        parse_order_by(order, RUNS)
    except Invalid:
        keys = listed(["metrics.NAME", "params.NAME", "tags.NAME", *ORDERED_BY], "or")
        why = f"is {keys}, with ASC or DESC behind it, not {asked.order[:60]!r}"
        raise refusal("order", why, "metrics.NAME DESC") from None
    try:
        wanted = RunSearch(
            list(experiment_ids), asked.filter, order, limit=asked.size + 1, after=after_of(asked.page, order)
        )
        ids = search_runs(connection, wanted)
    except Invalid as error:
        if error.code == "request.bad_page_token":
            raise refusal("page", "is no page of this list", "start at the first page") from error
        return RunTable(asked, problem=_without_sets(error.message))
    answer = page_behind(
        "runs", ids, asked.size, order, lambda run_id: run_cursor(connection, wanted, run_id)
    )
    runs = tracking.load_runs(connection, ids[: asked.size])
    rolled_back = runs_rolled_back(connection)
    columns = [_column(asked, name) for name in asked.columns or default_columns(runs)]
    ranked = _ranked(connection, experiment_ids, asked, columns, rolled_back) if runs else {}
    token = answer.get("next_page_token", "")
    return RunTable(
        asked,
        tuple(runs),
        tuple(columns),
        _cells(runs, columns, _best(ranked, rolled_back), rolled_back),
        _offered(runs),
        asked.link(page=token) if token else "",
        rolled_back=rolled_back,
        ranked=ranked,
        problem=tell_unknown(connection, experiment_ids, _named(asked), _offered(runs)),
        attributes={
            key: _attribute(asked, clause)
            for key, clause in (("started", "start_time"), ("name", "run_name"), ("state", "status"))
        },
    )


def _named(asked: Asked) -> set[tuple[str, str]]:
    """Return what an address names, by kind and key."""
    columns = (one.partition(".") for one in (*asked.columns, asked.group) if one)
    orders = parse_order_by([asked.order] if asked.order else [], RUNS)
    return {(one.kind, one.key) for one in orders} | {(kind[:-1], key) for kind, _, key in columns}


def clause(kind: str, key: str) -> str:
    """Return a key as MLflow's grammar writes it.

    Example:
        >>> clause("metrics", "roc_auc"), clause("params", "train.depth")
        ('metrics.roc_auc', 'params.`train.depth`')
    """
    quote = "" if _PLAIN.match(key) else "`" if "`" not in key else '"'
    return f"{kind}.{quote}{key}{quote}"


def is_loss(name: str) -> bool | None:
    """Say whether less of a metric is better, by the words in its name; None where they do not tell.

    Example:
        >>> is_loss("val/log_loss"), is_loss("roc_auc"), is_loss("rows"), is_loss("neg_log_loss")
        (True, False, None, False)
    """
    words = {name.lower(), *re.split(r"[^a-z0-9]+", name.lower()), *re.split(r"[^a-z0-9_]+", name.lower())}
    if words & _LOSSES:
        negated = _NEGATED.search(name.lower())
        return True if negated is None else None if negated[1] == "loss" else False
    return False if words & _SCORES else None


def default_columns(runs: Sequence[Run]) -> list[str]:
    """Return the columns where none are chosen: metrics of most runs, and parameters that differ."""
    metrics = Counter(key for run in runs for key in run.metrics)
    ranked = sorted(
        metrics, key=lambda key: (-metrics[key], key not in METRICS, is_loss(key) is None, natural(key))
    )
    values: dict[str, set[str]] = {}
    for run in runs:
        for key, value in run.params.items():
            values.setdefault(key, set()).add(value)
    varied = sorted(values, key=lambda key: (len(values[key]) < 2, key))
    return [
        *(f"metrics.{key}" for key in ranked[:METRIC_COLUMNS]),
        *(f"params.{key}" for key in varied[:PARAM_COLUMNS]),
    ]


def _column(asked: Asked, name: str) -> Column:
    kind, _, key = name.partition(".")
    written = clause(kind, key)
    first = "ASC" if kind == "params" or is_loss(key) else "DESC"
    other = "DESC" if first == "ASC" else "ASC"
    current = next((word for word in ("ASC", "DESC") if asked.order == f"{written} {word}"), "")
    wanted = other if current == first else first
    arrow = {"ASC": "▲", "DESC": "▼"}.get(current, "")
    return Column(kind, key, asked.link(order=f"{written} {wanted}"), arrow)


def _without_sets(text: str) -> str:
    """Return a message with the names that it has as Python prints a set as a list in words; clients of MLflow read the set."""
    return _SET.sub(lambda found: found[1].replace("'", ""), text)


def _attribute(asked: Asked, written: str) -> Column:
    current = next((word for word in ("ASC", "DESC") if asked.order == f"{written} {word}"), "")
    wanted = "ASC" if current == "DESC" else "DESC"
    return Column(
        "attributes",
        written,
        asked.link(order=f"{written} {wanted}"),
        {"ASC": "▲", "DESC": "▼"}.get(current, ""),
    )


def _cells(
    runs: Sequence[Run], columns: Sequence[Column], best: Mapping[str, float], never_best: Container[str]
) -> dict[str, list[Cell]]:
    found: dict[str, list[Cell]] = {run.id: [] for run in runs}
    for one in columns:
        is_metric = one.kind == "metrics"
        if is_metric:
            texts = column([run.metrics.get(one.key) for run in runs])
        else:
            texts = [run.params.get(one.key, "–") for run in runs]
        for run, text in zip(runs, texts, strict=True):
            is_best = (
                is_metric
                and one.key in best
                and run.metrics.get(one.key) == best[one.key]
                and run.id not in never_best
            )
            css = f"{'n' if is_metric else ''}{' best' if is_best else ''}"
            is_long = len(text) > CELL
            found[run.id].append(
                Cell(css, one.key, cut(text, CELL) if is_long else text, text if is_long else "")
            )
    return found


def _ranked(
    connection: sa.Connection,
    experiment_ids: Sequence[int],
    asked: Asked,
    columns: Sequence[Column],
    rolled_back: Mapping[str, str],
) -> dict[str, dict[str, float]]:
    """Return the best of all runs that match, by metric; so many that enough are left without those rolled back."""
    most = LOOKED_AT + len(rolled_back)
    return {
        one.key: best_runs(connection, experiment_ids, asked.filter, one.key, most)
        for one in columns
        if one.kind == "metrics" and is_loss(one.key) is not None
    }


def _best(ranked: Mapping[str, Mapping[str, float]], rolled_back: Mapping[str, str]) -> dict[str, float]:
    """Return the best value by metric: every run that has it is the best."""
    first = {
        key: next((value for one, value in found.items() if one not in rolled_back), None)
        for key, found in ranked.items()
    }
    return {key: value for key, value in first.items() if value is not None}


def best_runs(
    connection: sa.Connection, experiment_ids: Sequence[int], filter_text: str, metric: str, count: int
) -> dict[str, float]:
    """Return the best `count` runs by a metric with their values, the best first; none where nothing can be searched so."""
    order = f"{clause('metrics', metric)} {'ASC' if is_loss(metric) else 'DESC'}"
    try:
        return rank_runs(connection, RunSearch(list(experiment_ids), filter_text, [order], limit=count))
    except PenstockError:  # a key that the grammar cannot write
        return {}


def runs_rolled_back(connection: sa.Connection) -> dict[str, str]:
    """Return the runs whose model version was rolled back, with the version."""
    found: dict[str, str] = {}
    for model, number in list_rolled_back(connection):
        run_id = get_version(connection, model, number, deleted=True).provenance.run_id
        if run_id is not None:
            found[run_id] = f"{model}/{number}"
    return found


def _offered(runs: Sequence[Run]) -> tuple[str, ...]:
    """Return every column that the shown runs could have."""
    metrics = sorted({f"metrics.{key}" for run in runs for key in run.metrics}, key=natural)
    params = sorted({f"params.{key}" for run in runs for key in run.params}, key=natural)
    return (*metrics[:MAX_OFFERED], *params[:MAX_OFFERED])


def commit_of(run: Run) -> str:
    """Return the commit that a run began from, in short, and which changes that nobody committed it ran with."""
    changes = f" + changes {short_id(run.dirty_digest)}" if run.commit and run.dirty_digest else ""
    return (run.commit or "–")[:10] + changes


def name_of(run: Run) -> str:
    """Return what a run is called, its id where nobody named it."""
    return called(run.name, run.id[:10])


def differing(one: Run, other: Run) -> list[tuple[str, str, str]]:
    """Return in which parameters, data and code two runs differ: name, what the first has, what the other has."""
    found = [
        (key, *beside(ours.get(key, "–"), theirs.get(key, "–")))
        for ours, theirs in ((one.params, other.params), (one.inputs, other.inputs))
        for key in sorted({*ours, *theirs})
        if ours.get(key) != theirs.get(key)
    ]
    ours, theirs = commit_of(one), commit_of(other)
    if ours != theirs:
        found.append(("commit", ours, theirs))
    return found


def parent_of(run: Run) -> str:
    """Return the id of the run that a run is part of, empty without one."""
    return run.tags.get(PARENT_TAG, "")


def duration(run: Run) -> str:
    """Return how long a run took; a dash while it runs."""
    return seconds((run.end_ms - run.start_ms) / 1000) if run.end_ms else "–"
