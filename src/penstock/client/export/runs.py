"""Runs with everything that was logged to them, as a document or as rows, for `penstock run export`.

A document has each run whole: parameters, tags, inputs, every point of every metric, the names of its files. Rows
are for tables: one a run with the newest value of each metric, or one a point. Numbers that are none, and the
infinities, are words in a document (`NaN`, `Infinity`), since JSON has no other way.
"""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from penstock.base.clock import iso_ms
from penstock.base.numbers import is_endless
from penstock.client.client import list_files
from penstock.client.records.contract import Artifact, Records
from penstock.tracking.entities import MetricPoint, Run

Row = dict[str, Any]
OWN = ("run_id", "experiment", "name", "status", "start_ms", "end_ms", "user", "commit")
POINT = ("run_id", "key", "step", "time_ms", "value")


@dataclass(frozen=True)
class Exported:
    """A run with its metrics' points by key, and its files; None where they lie at a place only clients open."""

    run: Run
    history: dict[str, list[MetricPoint]]
    files: list[Artifact] | None = None


def collect(records: Records, runs: Sequence[Run], *, with_files: bool) -> Iterator[Exported]:
    """Yield each run with what belongs to it.

    Raises:
        Refused: its files are to be listed and lie at a place that needs its own client.
        Unavailable: the server cannot be reached.
    """
    for run in runs:
        history = {key: records.list_history(run.id, key) for key in sorted(run.metrics)}
        files = list(list_files(records, run.id)) if with_files else None
        yield Exported(run, history, files)


def make_document(found: Iterable[Exported]) -> dict[str, Any]:
    """Return the runs as one JSON document.

    Example:
        >>> run = Run(id="1f", experiment="e", name="n", status="FINISHED", start_ms=0, metrics={"m": math.inf})
        >>> point = MetricPoint("m", math.inf, 5, 1)
        >>> made = make_document([Exported(run, {"m": [point]})])["runs"][0]
        >>> made["metrics"], made["history"], made["started"]
        ({'m': 'Infinity'}, {'m': [{'step': 1, 'time_ms': 5, 'value': 'Infinity'}]}, '1970-01-01T00:00:00+00:00')
    """
    return {"runs": [_run(one) for one in found]}


def make_rows(found: Iterable[Exported]) -> list[Row]:
    """Return one row a run: its own fields, then `params.…`, `metrics.…` and `tags.…`, each run the same columns."""
    rows = []
    for one in found:
        run = one.run
        rows.append(
            {
                "run_id": run.id,
                **{name: getattr(run, name) for name in OWN[1:]},
                **{f"params.{key}": value for key, value in run.params.items()},
                **{f"metrics.{key}": _bounded(value) for key, value in run.metrics.items()},
                **{f"tags.{key}": value for key, value in run.tags.items()},
            }
        )
    kinds = ("params.", "metrics.", "tags.")
    others = {name for row in rows for name in row if name not in OWN}
    columns = [*OWN, *(name for kind in kinds for name in sorted(others) if name.startswith(kind))]
    return [{name: row.get(name) for name in columns} for row in rows]


def make_point_rows(found: Iterable[Exported]) -> list[Row]:
    """Return one row a point of a metric."""
    return [
        dict(zip(POINT, (one.run.id, key, point.step, point.time_ms, _bounded(point.value)), strict=True))
        for one in found
        for key, points in one.history.items()
        for point in points
    ]


def render_json(document: dict[str, Any]) -> str:
    """Return a document as text, indented."""
    return json.dumps(document, ensure_ascii=False, indent=2, allow_nan=False) + "\n"


def render_csv(rows: Sequence[Row], columns: Sequence[str]) -> str:
    """Return rows as CSV with a heading; `columns` are those of a table without rows."""
    out = io.StringIO(newline="")
    writer = csv.writer(out, lineterminator="\n")
    names = list(rows[0]) if rows else list(columns)
    writer.writerow(names)
    writer.writerows(["" if row[name] is None else row[name] for name in names] for row in rows)
    return out.getvalue()


def _run(one: Exported) -> dict[str, Any]:
    run = one.run
    told: dict[str, Any] = msgspec.to_builtins(msgspec.structs.replace(run, stages=()))
    del told["stages"]
    told["metrics"] = {key: _word(value) for key, value in run.metrics.items()}
    told["history"] = {
        key: [{"step": point.step, "time_ms": point.time_ms, "value": _word(point.value)} for point in points]
        for key, points in one.history.items()
    }
    told["started"] = iso_ms(run.start_ms)
    told["ended"] = None if run.end_ms is None else iso_ms(run.end_ms)
    if one.files is not None:
        told["files"] = [{"path": file.path, "size_bytes": file.size_bytes} for file in one.files]
    return told


def _bounded(value: float) -> float:
    """Return an infinity for what a store keeps for one."""
    return math.copysign(math.inf, value) if is_endless(value) else value


def _word(value: float) -> float | str:
    if math.isnan(value):
        return "NaN"
    if is_endless(value):
        return "Infinity" if value > 0 else "-Infinity"
    return value
