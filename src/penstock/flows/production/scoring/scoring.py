"""`penstock score-batch`: a model's answers for every row of tables, in constant memory, resumed after a kill.

Rows are read, asked about, and written part by part; reading and writing go on beside the model. A part is recorded
in one transaction that is told its id, then kept beside OUT; OUT itself appears at the end. So a kill between any two
steps loses no row and counts none twice: the same command makes what is missing.
"""

from __future__ import annotations

import tempfile
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import msgspec
import polars as pl

from penstock.base.errors import Invalid, PenstockError
from penstock.base.numbers import counted
from penstock.base.threads import thread_pool
from penstock.flows.models.folders import RegistrySource, files_of_folder
from penstock.flows.models.loading import digest_folder
from penstock.flows.production.live.summarising import ScoredRows
from penstock.flows.production.scoring.answering import Answered, Answerer, Here
from penstock.flows.production.scoring.job import REASONS_KEPT, Asked, BadRow, Finished, Job, Parts
from penstock.flows.production.scoring.on_ray import RayAnswerer
from penstock.flows.production.scoring.places import (
    Place,
    Source,
    list_sources,
    on_disk,
    open_place,
    require_apart,
)
from penstock.flows.production.scoring.reading import read_parts
from penstock.flows.production.scoring.recording import Recording, choose_endpoint
from penstock.flows.production.scoring.rows import Asked as AskedRows
from penstock.flows.production.scoring.rows import rows_of
from penstock.flows.production.scoring.wanted import Part, Wanted
from penstock.flows.production.scoring.writing import assemble, frame_of, kinds_of, render_part, require_free
from penstock.project.project import Project
from penstock.registry.entities import ModelVersion
from penstock.registry.references import resolve_version
from penstock.serving.loaders import ModelFiles, Predictor, load_model
from penstock.serving.prediction_runs import COUNTER_MAX, encode_run

PART_ROWS = 50_000
AHEAD = 2
"""Parts that may wait to be written while the model goes on."""
Show = Callable[[int, float], None]


@dataclass(frozen=True)
class Request:
    """What `score-batch` was asked for; paths are seen from `directory`."""

    model: str
    source: str
    target: str
    directory: Path
    endpoint: str | None = None
    columns: tuple[str, ...] = ()
    part_rows: int = PART_ROWS
    overwrite: bool = False
    restart: bool = False
    executor: Literal["local", "ray"] = "local"
    address: str | None = None


class Scored(msgspec.Struct, frozen=True, kw_only=True):
    """How a batch job went. `bad` rows could not be asked about, for `failed` ones the model raised."""

    model: str
    out: str
    tables: int
    rows: int
    answered: int
    bad: int
    failed: int
    bad_rows: tuple[BadRow, ...]
    endpoint: str | None
    kept_parts: int
    parts: int
    seconds: float
    model_seconds: float
    notes: tuple[str, ...]


def score_batch(project: Project, request: Request, show: Show | None = None) -> Scored:
    """Score tables with a model, or go on with a job that was interrupted.

    Args:
        show: told after each part how many rows are done, and which share of the input's bytes.

    Raises:
        NotFound: there is no such model, input or endpoint.
        Invalid: the input is no table of what the model takes, or the model fails for every row.
        Conflict: OUT exists, or another job was begun there.
        Unavailable: a place or the store cannot be reached; the same command goes on later.
    """
    with (
        open_place(project, request.source, request.directory) as source,
        open_place(project, request.target, request.directory) as target,
        tempfile.TemporaryDirectory(prefix="penstock-score-") as scratch,
    ):
        require_apart(source, target)
        return _Run(project, request, source, target, Path(scratch), show).run()


def find_model(project: Project, request: Request) -> tuple[ModelFiles, ModelVersion | None]:
    """Return a model's files: a registered version's, or those of a folder, which is none.

    Raises:
        NotFound: there is neither.
    """
    folder = (request.directory / request.model).expanduser()
    if folder.is_dir():
        return files_of_folder(folder, request.model, 0, digest_folder(folder)), None
    with project.database.read() as connection:
        version = resolve_version(connection, request.model)
    return RegistrySource(project).fetch(version.model, version.number), version


class _Run:
    def __init__(
        self,
        project: Project,
        request: Request,
        source: Place,
        target: Place,
        scratch: Path,
        show: Show | None,
    ) -> None:
        self._request, self._source, self._target = request, source, target
        self._scratch, self._show = scratch, show
        files, version = find_model(project, request)
        self._called = version.ref if version else request.model
        self._digest = files.digest
        chosen = choose_endpoint(project, version, request.endpoint, request.model)
        self._notes = [chosen.why] if chosen.why else []
        self._tables, others = list_sources(source)
        if others:
            self._notes.append(f"not read, as no tables: {counted(others, 'file')} of {source.url}")
        self._parts = Parts(target)
        self._recording: Recording | None = None
        if chosen.revision is not None and version is not None:
            self._recording = Recording(project, chosen.revision, version)
            if self._recording.watching().route == "direct":
                self._notes.append(
                    f"{chosen.revision.endpoint} does not serve {self._called}: what it answers is recorded, and no "
                    "guardrail judges it"
                )
        self._endpoint = chosen.revision.endpoint if chosen.revision else None
        self._files = files
        self._model: Predictor = load_model(files)
        if self._recording is not None:
            self._recording.know(getattr(self._model, "classes", None))
        self._kinds: Mapping[str, pl.DataType] = kinds_of(self._model.signature.outputs)
        self._job: Job
        self._done: list[Finished] = []
        self._model_s = 0.0
        self._is_broken = False

    def run(self) -> Scored:
        """Make what is missing of the parts, and OUT of all."""
        started = time.monotonic()
        self._begin()
        kept = len(self._done)
        try:
            self._score()
        except PenstockError:
            if not self._done and not self._is_broken:  # nothing was recorded: the next job is a new one
                self._parts.discard()
            raise
        assemble(self._target, self._parts, len(self._done), self._scratch)
        self._parts.discard()
        return self._told(kept, time.monotonic() - started)

    def _score(self) -> None:
        with thread_pool(1) as pool:
            waiting: deque[Future[None]] = deque()
            for table, part, first_row, asked, answered in self._answered():
                waiting.append(pool.submit(self._write, table, first_row, part, asked, answered))
                while len(waiting) > AHEAD:
                    waiting.popleft().result()
            while waiting:
                waiting.popleft().result()
        if not self._done:
            raise Invalid(
                f"{self._source.url} has no rows", code="batch.no_rows", hint="check what writes it"
            )

    def _begin(self) -> None:
        request = self._request
        asked = Asked(
            model=self._called,
            digest=self._digest,
            source=self._source.full,
            tables=tuple(self._tables),
            columns=request.columns,
            part_rows=request.part_rows,
            suffix=self._target.suffix or ".parquet",
            endpoint=self._endpoint,
        )
        before = None if request.restart else self._parts.find()
        if before is not None:
            self._job = self._parts.resume(before, asked)
            self._done = self._parts.finished()
            return
        require_free(self._target, overwrite=request.overwrite)
        watching = None if self._recording is None else self._recording.watching()
        self._job = self._parts.begin(asked, watching)

    def _read(self) -> Iterator[tuple[int, Part, int]]:
        """Yield what was not finished: the table's number, its rows, and the number of the first."""
        first = self._done[-1].table if self._done else 0
        columns = self._model.signature.inputs
        is_matrix = any(column.is_tensor for column in columns)
        wanted = Wanted(
            tuple(column.name for column in columns),
            self._request.columns,
            tuple(column.name for column in columns if column.datatype == "BYTES" and not is_matrix),
            everything=is_matrix,
        )
        for number in range(first, len(self._tables)):
            row = self._done[-1].next_row if self._done and number == first else 0
            with on_disk(self._source, self._tables[number], self._scratch) as path:
                for part in read_parts(path, wanted, rows=self._request.part_rows, skip=row):
                    yield number, part, row
                    row += part.frame.height

    def _answered(self) -> Iterator[tuple[int, Part, int, AskedRows, Answered]]:
        """Yield each part, in order, with what was asked and answered."""
        answerer = self._open_answerer()
        pending: deque[tuple[int, Part, int, AskedRows, Callable[[], Answered]]] = deque()

        def first() -> tuple[int, Part, int, AskedRows, Answered]:
            table, part, first_row, asked, wait = pending.popleft()
            answered = wait()
            self._model_s += answered.seconds
            return table, part, first_row, asked, answered

        try:
            for table, part, first_row in self._read():
                asked = rows_of(part, self._model.signature, self._request.columns)
                pending.append(
                    (table, part, first_row, asked, answerer.submit(asked.columns, len(asked.rows)))
                )
                while len(pending) > answerer.ahead:
                    yield first()
            while pending:
                yield first()
        finally:
            answerer.close()

    def _open_answerer(self) -> Answerer:
        if self._request.executor == "local":
            return Here(self._model, self._called)
        return RayAnswerer(self._files, self._called, self._request.address)

    def _write(self, table: int, first_row: int, part: Part, asked: AskedRows, answered: Answered) -> None:
        """Record a part and keep it; in the order of parts, one at a time, and none after one that failed."""
        if self._is_broken:
            return
        self._is_broken = True
        number, suffix = len(self._done), self._target.suffix or ".parquet"
        counter = self._done[-1].next_counter if self._done else 0
        count, where, ids = len(answered.rows), self._job.watching, None
        if where is not None:
            if counter % COUNTER_MAX + count > COUNTER_MAX:
                counter = (counter // COUNTER_MAX + 1) * COUNTER_MAX
            ids = encode_run(where.id_of(counter), count)
        reasons = asked.reasons | {int(asked.rows[row]): why for row, why in answered.failed.items()}
        frame = frame_of(
            part.frame.select(self._request.columns),
            part.frame.height,
            answered.outputs,
            asked.rows[answered.rows],
            ids,
            reasons,
            self._kinds,
        )
        self._kinds = {name: frame.schema[name] for name in answered.outputs} or self._kinds
        data = render_part(frame, suffix)
        if where is not None and self._recording is not None:
            scored = ScoredRows(
                asked.columns, answered.outputs, answered.rows, len(asked.rows), answered.seconds
            )
            self._recording.record(f"scored-{self._job.id}-{number}", where, scored, counter)
        finished = Finished(
            number=number,
            table=table,
            next_row=first_row + part.frame.height,
            rows=part.frame.height,
            answered=count,
            bad=len(asked.reasons),
            failed=len(answered.failed),
            next_counter=counter + count,
            reasons=tuple(
                BadRow(
                    table=self._name(self._tables[table]),
                    row=_number(part, first_row, row),
                    reason=reasons[row],
                )
                for row in sorted(reasons)[:REASONS_KEPT]
            ),
        )
        self._parts.finish(finished, data, suffix)
        self._done.append(finished)
        self._is_broken = False
        if self._show is not None:
            self._show(sum(one.rows for one in self._done), self._share(table))

    def _share(self, table: int) -> float:
        """Return about which share of the input's bytes is read."""
        sizes = [one.size_bytes for one in self._tables]
        return sum(sizes[:table]) / max(1, sum(sizes))

    def _name(self, source: Source) -> str:
        return source.name or self._source.url

    def _told(self, kept: int, seconds: float) -> Scored:
        bad = [reason for one in self._done for reason in one.reasons]
        return Scored(
            model=self._called,
            out=self._target.url,
            tables=len(self._tables),
            rows=sum(one.rows for one in self._done),
            answered=sum(one.answered for one in self._done),
            bad=sum(one.bad for one in self._done),
            failed=sum(one.failed for one in self._done),
            bad_rows=tuple(bad[:REASONS_KEPT]),
            endpoint=self._endpoint,
            kept_parts=kept,
            parts=len(self._done),
            seconds=round(seconds, 3),
            model_seconds=round(self._model_s, 3),
            notes=tuple(self._notes),
        )


def _number(part: Part, first_row: int, place: int) -> int:
    """Return the number of a row in its table: the place from 1, or the line where empty ones lie between."""
    return first_row + place + 1 if part.numbers is None else part.numbers[place]
