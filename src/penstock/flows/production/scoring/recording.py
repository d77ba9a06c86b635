"""Parts of a batch job as windows and predictions of an endpoint, once each, however often a part is made."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from typing import Any

import msgspec
import polars as pl

from penstock.base.clock import now_ms
from penstock.base.errors import Invalid, NotFound, PenstockError
from penstock.flows.models.folders import RegistrySource
from penstock.flows.production.live.exchanging import route_of
from penstock.flows.production.live.ingesting import Ingest, WindowsOfBatch
from penstock.flows.production.live.summarising import (
    Edges,
    RowsSummary,
    ScoredRows,
    is_sampled,
    unredacted,
    window_start_s,
)
from penstock.flows.production.payloads.keeping import put_frames
from penstock.flows.production.payloads.sampling import SHIFT, Hour
from penstock.flows.production.payloads.segments import concat, side
from penstock.flows.production.scoring.job import Watching
from penstock.flows.production.scoring.writing import ids_of
from penstock.monitoring.settings import MonitorSettings, PayloadSettings
from penstock.monitoring.windows import BATCH, WindowKey
from penstock.project.project import Project
from penstock.registry.entities import ModelVersion
from penstock.serving.classes import Served
from penstock.serving.deployments import Revision, find_revision, get_revision
from penstock.serving.loaders.model import Array
from penstock.serving.predictions.encoding import encode_columns
from penstock.serving.predictions.stored import Prediction
from penstock.serving.told.observations import list_taken
from penstock.serving.traffic import position

RUN_ROWS = 1_000
"""Rows of one stored run: a label reads one run."""


@dataclass(frozen=True)
class Chosen:
    """The endpoint that is recorded for, or None and why there is none."""

    revision: Revision | None
    why: str = ""


def choose_endpoint(project: Project, version: ModelVersion | None, named: str | None, model: str) -> Chosen:
    """Return the endpoint that a model's answers are recorded for: the named one, else the one called as the model.

    Raises:
        NotFound: the named one does not exist.
        Invalid: it serves another model, or the model is not registered.
    """
    if version is None:
        if named is not None:
            raise Invalid(
                f"{model} is not registered, and an endpoint is of a registered model",
                code="batch.not_registered",
                hint=f"penstock model register NAME {shlex.quote(model)}, or leave out --endpoint",
            )
        return Chosen(None, f"nothing is recorded: {model} is not registered")
    name = named or version.model
    mend = f"penstock deploy {shlex.quote(name)} --model {shlex.quote(version.ref)}"
    with project.database.read() as connection:
        found = get_or_explain(connection, name, mend) if named else find_revision(connection, name)
    if found is None:
        return Chosen(
            None, f"nothing is recorded: there is no endpoint {name!r} ({mend}, or name one with --endpoint)"
        )
    if found.model != version.model:
        if named is None:
            return Chosen(
                None, f"nothing is recorded: endpoint {name!r} serves {found.model}; name one with --endpoint"
            )
        raise Invalid(
            f"endpoint {name!r} serves {found.model}, not {version.model}",
            code="batch.other_model",
            hint="penstock endpoint list",
        )
    return Chosen(found)


def get_or_explain(connection: Any, name: str, mend: str) -> Revision:
    """Return an endpoint's revision.

    Raises:
        NotFound: there is none; the hint makes it.
    """
    try:
        return get_revision(connection, name)
    except NotFound:
        raise NotFound(
            f"there is no endpoint {name!r} to record for", code="serving.endpoint_unknown", hint=mend
        ) from None


class Recording:
    """Records a job's parts for an endpoint."""

    def __init__(self, project: Project, chosen: Revision, version: ModelVersion) -> None:
        self._project, self._revision, self._version = project, chosen, version
        self._ingest = Ingest(project)
        self._edges: Edges | None = None
        try:
            self._edges = RegistrySource(project).edges(version.model, version.number)
        except PenstockError:
            self._edges = None  # without a reference sketches do alone
        self._classes: tuple[Any, ...] | None = None

    def know(self, classes: tuple[Any, ...] | None) -> None:
        """Take the classes that the loaded model tells."""
        self._classes = classes

    def watching(self) -> Watching:
        """Return what the ids of a new job say."""
        number, route = route_of(self._revision, self._version.number)
        return Watching(
            endpoint=self._revision.endpoint,
            endpoint_id=self._revision.endpoint_id,
            revision=number,
            version=self._version.number,
            route=route,
            worker=self._ingest.worker,
            time_ms=now_ms(),
        )

    def recorded_rows(self, job: str, number: int) -> int | None:
        """Return how many rows a part has that was recorded; None where it was not, or is not known any more."""
        prefix = f"scored-{job}-{number}-"
        with self._project.database.read() as connection:
            found = list_taken(connection, prefix)
        return int(found[0].removeprefix(prefix)) if found else None

    def begin(self, where: Watching) -> Part:
        """Begin a part."""
        return Part(where, self._ingest.monitor(where.endpoint), self._edges)

    def record(self, job: str, number: int, part: Part) -> None:
        """Write a part's window and predictions, unless they were written before.

        The id by which that is known tells how many rows the part has, so that it is made of the same ones after a kill.

        Raises:
            Unavailable: the store cannot be reached; nothing was written.
        """
        where, monitor = part.where, part.monitor
        batch = f"scored-{job}-{number}-{part.row_count}"
        start_s = window_start_s(now_ms(), monitor)
        key = WindowKey(where.endpoint, start_s, where.revision, where.version, recorded_route(where))
        served = Served(where.endpoint, where.revision, where.version)
        is_new = self._ingest.take_windows(
            WindowsOfBatch(
                batch=batch,
                is_job=True,
                current=self._revision,
                windows=[part.summary.window(key)],
                predictions=[
                    msgspec.structs.replace(one, window_start_s=start_s) for one in part.predictions
                ],
                classes={} if self._classes is None else {served: self._classes},
            )
        )
        if is_new and (frame := concat(part.payloads)).height:
            put_frames(self._project.artifacts.backend, batch, {Hour.of(where.endpoint, now_ms()): frame})


def recorded_route(where: Watching) -> str:
    """Return the route a job's answers are recorded on: apart from live traffic, which no table may be judged as.

    Its ids name the route of the version, since two bits of an id have no room for another one.
    """
    return where.route if where.route == "direct" else BATCH


class Part:
    """What is recorded of a part, as its rows are answered. Not thread-safe."""

    def __init__(self, where: Watching, monitor: MonitorSettings, edges: Edges | None) -> None:
        self.where, self.monitor = where, monitor
        self.summary = RowsSummary(monitor, edges)
        self.predictions: list[Prediction] = []
        self.payloads: list[pl.DataFrame] = []
        self.row_count = 0

    def add(self, scored: ScoredRows, first: int, row_count: int) -> None:
        """Add rows.

        Args:
            first: the running number of the first answer.
            row_count: how many rows were read, also those that could not be asked about.
        """
        where, monitor = self.where, self.monitor
        self.row_count += row_count
        self.summary.add(scored)
        inputs = scored.answered_inputs
        for start in range(0, scored.answered_count, RUN_ROWS):
            end = min(scored.answered_count, start + RUN_ROWS)
            keeps = is_sampled(first + start, monitor)
            self.predictions.append(
                Prediction(
                    id=where.id_of(first + start).encode(),
                    version=where.version,
                    endpoint=where.endpoint,
                    revision=where.revision,
                    route=recorded_route(where),
                    window_start_s=0,
                    outputs=encode_columns(_cut(scored.outputs, start, end)),
                    row_count=end - start,
                    features=encode_columns(unredacted(_cut(inputs, start, end), monitor)) if keeps else None,
                    is_run=True,
                )
            )
        if monitor.payloads is not None:
            self.payloads.append(_sampled(where, scored, first, monitor.payloads, now_ms()))


def _sampled(
    where: Watching, scored: ScoredRows, first: int, settings: PayloadSettings, time_ms: int
) -> pl.DataFrame:
    """Return the rows that are kept whole, as a serve process keeps them."""
    rows = [row for row in range(scored.answered_count) if position(first + row + SHIFT) < settings.sample]
    count = len(rows)
    ids = ids_of(where.id_of(first), scored.answered_count).gather(rows)
    return pl.DataFrame(
        [
            ids.alias("prediction_id"),
            pl.Series("row", [0] * count, dtype=pl.Int32),
            pl.Series("time", [time_ms] * count).cast(pl.Datetime("ms", "UTC")),
            pl.Series("version", [where.version] * count, dtype=pl.Int32),
            pl.Series("revision", [where.revision] * count, dtype=pl.Int32),
            pl.Series("route", [recorded_route(where)] * count, dtype=pl.String),
            pl.Series("latency_s", [scored.seconds / max(1, scored.row_count)] * count, dtype=pl.Float64),
            pl.Series("error", [None] * count, dtype=pl.String),
            *side("inputs", _taken(scored.answered_inputs, rows), count, settings.redact),
            *side("outputs", _taken(scored.outputs, rows), count, settings.redact),
        ]
    )


def _taken(columns: dict[str, Array], rows: list[int]) -> dict[str, Array]:
    return {name: values[rows] for name, values in columns.items()}


def _cut(columns: dict[str, Array], start: int, end: int) -> dict[str, Array]:
    return {name: values[start:end] for name, values in columns.items()}
