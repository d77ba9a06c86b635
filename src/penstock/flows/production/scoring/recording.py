"""Parts of a batch job as windows and predictions of an endpoint, once each, however often a part is made."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import polars as pl

from penstock.base.clock import now_ms
from penstock.base.errors import Invalid, NotFound, PenstockError
from penstock.flows.models.folders import RegistrySource
from penstock.flows.production.live.exchanging import route_of
from penstock.flows.production.live.ingesting import Ingest, WindowsOfBatch
from penstock.flows.production.live.summarising import (
    Edges,
    ScoredRows,
    is_sampled,
    summarise_rows,
    unredacted,
    window_start_s,
)
from penstock.flows.production.payloads.keeping import put_frames
from penstock.flows.production.payloads.sampling import SHIFT, Hour
from penstock.flows.production.payloads.segments import side
from penstock.flows.production.scoring.job import Watching
from penstock.monitoring.settings import PayloadSettings
from penstock.monitoring.windows import WindowKey
from penstock.project.project import Project
from penstock.registry.entities import ModelVersion
from penstock.serving.classes import Served
from penstock.serving.deployments import Revision, find_revision, get_revision
from penstock.serving.loaders.model import Array
from penstock.serving.prediction_runs import encode_run
from penstock.serving.predictions import Prediction, encode_columns
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
                hint=f"penstock model register NAME {model}, or leave out --endpoint",
            )
        return Chosen(None, f"nothing is recorded: {model} is not registered")
    name = named or version.model
    mend = f"penstock deploy {name} --model {version.ref}"
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

    def record(self, batch: str, where: Watching, scored: ScoredRows, first: int) -> None:
        """Write a part's window and predictions, unless they were written before.

        Args:
            batch: the id of what is written, by which it is known to be written.
            where: what the job's ids say.
            first: the running number of the part's first answer.

        Raises:
            Unavailable: the store cannot be reached; nothing was written.
        """
        monitor = self._ingest.monitor(where.endpoint)
        key = WindowKey(
            where.endpoint, window_start_s(now_ms(), monitor), where.revision, where.version, where.route
        )
        count = scored.answered_count
        predictions = []
        for start in range(0, count, RUN_ROWS):
            end = min(count, start + RUN_ROWS)
            keeps = is_sampled(first + start, monitor)
            predictions.append(
                Prediction(
                    id=where.id_of(first + start).encode(),
                    version=where.version,
                    endpoint=where.endpoint,
                    revision=where.revision,
                    route=where.route,
                    window_start_s=key.start_s,
                    outputs=encode_columns(_cut(scored.outputs, start, end)),
                    row_count=end - start,
                    features=encode_columns(unredacted(_cut(scored.answered_inputs, start, end), monitor))
                    if keeps
                    else None,
                    is_run=True,
                )
            )
        served = Served(where.endpoint, where.revision, where.version)
        is_new = self._ingest.take_windows(
            WindowsOfBatch(
                batch=batch,
                is_job=True,
                current=self._revision,
                windows=[summarise_rows(key, scored, monitor, self._edges)],
                predictions=predictions,
                classes={} if self._classes is None else {served: self._classes},
            )
        )
        if is_new and monitor.payloads is not None:
            time_ms = now_ms()
            frame = _sampled(where, scored, first, monitor.payloads, time_ms)
            put_frames(self._project.artifacts.backend, batch, {Hour.of(where.endpoint, time_ms): frame})


def _sampled(
    where: Watching, scored: ScoredRows, first: int, settings: PayloadSettings, time_ms: int
) -> pl.DataFrame:
    """Return the rows that are kept whole, as a serve process keeps them."""
    rows = [row for row in range(scored.answered_count) if position(first + row + SHIFT) < settings.sample]
    count = len(rows)
    ids = encode_run(where.id_of(first), scored.answered_count)[rows]
    return pl.DataFrame(
        [
            pl.Series("prediction_id", ids).cast(pl.String),
            pl.Series("row", [0] * count, dtype=pl.Int32),
            pl.Series("time", [time_ms] * count).cast(pl.Datetime("ms", "UTC")),
            pl.Series("version", [where.version] * count, dtype=pl.Int32),
            pl.Series("revision", [where.revision] * count, dtype=pl.Int32),
            pl.Series("route", [where.route] * count, dtype=pl.String),
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
