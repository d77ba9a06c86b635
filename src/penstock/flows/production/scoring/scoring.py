"""`penstock score-batch`: a model's answers for every row of tables, in constant memory, resumed after a kill.

Rows are read, asked about, and written in bunches; reading and writing go on beside the model, on a core of their own
where there are two. A part is recorded
in one transaction that is told its id, then kept beside OUT; OUT itself appears at the end. So a kill between any two
steps loses no row and counts none twice: the same command makes what is missing.
"""

from __future__ import annotations

import contextlib
import time
from collections import deque
from collections.abc import Callable, Generator, Iterator, Mapping
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import msgspec
import polars as pl

from penstock.base.errors import Invalid, PenstockError
from penstock.base.numbers import counted
from penstock.base.threads import read_ahead, thread_pool
from penstock.flows.models.folders import RegistrySource, files_of_folder
from penstock.flows.models.loading import digest_folder
from penstock.flows.production.scoring.answering import Answered, Answerer, Here
from penstock.flows.production.scoring.job import REASONS_KEPT, Asked, BadRow, Finished, Job, Parts
from penstock.flows.production.scoring.making import Bunch, Maker, Show
from penstock.flows.production.scoring.on_ray import RayAnswerer
from penstock.flows.production.scoring.places import (
    Place,
    Scratch,
    Source,
    list_sources,
    on_disk,
    open_place,
    require_apart,
    require_format,
)
from penstock.flows.production.scoring.reading import check_table, read_parts
from penstock.flows.production.scoring.recording import Recording, choose_endpoint
from penstock.flows.production.scoring.rows import Asked as AskedRows
from penstock.flows.production.scoring.rows import require_same, rows_of
from penstock.flows.production.scoring.wanted import Part, Wanted
from penstock.flows.production.scoring.writing import assemble, kinds_of, require_free
from penstock.project.project import Project
from penstock.registry.entities import ModelVersion
from penstock.registry.references import resolve_version
from penstock.serving.loaders import ModelFiles, Predictor, load_model

PART_ROWS = 500_000
BUNCH_ROWS = 50_000
"""Rows that the model is asked about at a time: they are in memory with all their inputs."""
AHEAD = 2
"""Bunches that are read ahead of the model, and that may wait to be written behind it."""


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
    """How a batch job went. `bad` rows could not be asked about, for `failed` ones the model raised.

    `new_rows` of the `rows` are this run's, `kept_parts` of the `parts` were there from before; `seconds` are this run's.
    """

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
    new_rows: int
    seconds: float
    model_seconds: float
    notes: tuple[str, ...]


def score_batch(project: Project, request: Request, show: Show | None = None) -> Scored:
    """Score tables with a model, or go on with a job that was interrupted.

    Args:
        show: told after each part how many rows are done, and which share of the input's bytes.

    Raises:
        NotFound: there is no such model, input or endpoint.
        Invalid: the input is no table of what the model takes, the model fails for every row, or OUT or the address mean nothing.
        Conflict: OUT exists, or another job was begun there.
        Unavailable: a place or the store cannot be reached; the same command goes on later.
    """
    if request.address is not None and request.executor != "ray":
        raise Invalid(
            "--address is where a Ray cluster is, and the model is asked here",
            code="batch.address_without_ray",
            hint="--executor ray, or no --address",
        )
    with (
        open_place(project, request.source, request.directory) as source,
        open_place(project, request.target, request.directory) as target,
        Scratch() as scratch,
    ):
        require_apart(source, target)
        require_format(target, request.target)
        return _Run(project, request, source, target, scratch, show).run()


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
        scratch: Scratch,
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
            if chosen.revision.stable != version.number:
                self._notes.append(
                    f"{self._called} is not stable on {chosen.revision.endpoint}: what it answers is recorded, and no "
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
        self._is_unfinished = False

    def run(self) -> Scored:
        """Make what is missing of the parts, and OUT of all."""
        started = time.monotonic()
        self._begin()
        kept = len(self._done)
        try:
            self._score()
        except PenstockError as error:
            if error.code == "batch.taken_over":
                raise
            if not self._done and not self._is_unfinished:  # nothing was recorded: the next job is a new one
                self._parts.discard()
            elif self._done:
                self._tell_kept(error)
            raise
        self._parts.require_mine()
        assemble(self._target, self._parts, len(self._done), self._scratch)
        self._parts.require_mine()
        self._parts.discard()
        return self._told(kept, time.monotonic() - started)

    def _score(self) -> None:
        maker = Maker(
            self._job, self._parts, self._done, self._recording, self._kinds, self._share, self._show
        )
        try:
            with thread_pool(1) as pool:
                waiting: deque[Future[None]] = deque()
                for bunch in self._answered():
                    waiting.append(pool.submit(maker.take, bunch))
                    while len(waiting) > AHEAD:
                        waiting.popleft().result()
                waiting.append(pool.submit(maker.finish))
                while waiting:
                    waiting.popleft().result()
        finally:
            self._is_unfinished = maker.is_unfinished
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
        before = self._parts.find(or_none=request.restart)
        if before is not None:
            self._parts.require_ended(before)
        if before is not None and request.restart:
            self._note_discarded(before)
        elif before is not None:
            self._done = self._parts.finished()
            if self._done or self._may_be_recorded(before):
                self._job = self._parts.resume(before, asked, self._tables_read(before))
                self._try(self._check_tables)
                return
        require_free(self._target, overwrite=request.overwrite)
        self._check_tables()
        watching = None if self._recording is None else self._recording.watching()
        self._job = self._parts.begin(asked, watching)

    def _tables_read(self, job: Job) -> int:
        """Return of how many tables rows are in the parts, or in one that was recorded and not finished."""
        read = self._done[-1].table + 1 if self._done else 0
        is_under_way = self._recording is not None and job.watching is not None
        if is_under_way and self._recording and self._recording.recorded_rows(job.id, len(self._done)):
            read += 1
        return read

    def _may_be_recorded(self, job: Job) -> bool:
        """Say whether rows of a job may be counted though none of its parts is finished."""
        if job.watching is None:
            return False
        return self._recording is None or self._recording.recorded_rows(job.id, 0) is not None

    def _try(self, work: Callable[[], None]) -> None:
        """Do what may fail before a row is read, and say what was kept."""
        try:
            work()
        except PenstockError as error:
            if self._done:
                self._tell_kept(error)
            raise

    def _tell_kept(self, error: PenstockError) -> None:
        """Say with an error what was recorded before it, and how the job goes on."""
        kept = counted(sum(one.rows for one in self._done), "row")
        recorded = f" and recorded for endpoint {self._endpoint}" if self._endpoint else ""
        said = f"{kept} before it are kept{recorded}: run the same command again when it is mended"
        error.hint = f"{error.hint}; {said}" if error.hint else said

    def _note_discarded(self, before: Job) -> None:
        """Say that what an earlier job recorded stays, where its parts are discarded."""
        if before.watching is None:
            return
        done = self._parts.finished()
        under_way = self._recording.recorded_rows(before.id, len(done)) if self._recording else None
        count = sum(one.rows for one in done) + (under_way or 0)
        if count:
            self._notes.append(
                f"{counted(count, 'row')} of the discarded parts stay counted for endpoint {before.watching.endpoint}"
            )

    def _check_tables(self) -> None:
        """Read the footers, headings and first lines of tables on this machine's disk before the first row is scored.

        One that a job goes on with is left out: it is read before anything more is recorded.
        """
        first = self._done[-1].table if self._done else -1
        names = self._done[-1].names if self._done else ()
        wanted, rows = self._wanted, self._bunch_rows
        for table in self._tables[first + 1 :]:
            path = self._source.path_of(
                f"{self._source.key}/{table.name}" if table.name else self._source.key
            )
            if path is None:
                continue
            there = [name for name in check_table(path, wanted, rows) if name not in wanted.carried]
            if wanted.everything and there:
                require_same(names or there, there, path.name)
                names = names or tuple(there)

    @property
    def _bunch_rows(self) -> int:
        return -(-self._request.part_rows // -(-self._request.part_rows // BUNCH_ROWS))

    @property
    def _wanted(self) -> Wanted:
        columns = self._model.signature.inputs
        is_matrix = any(column.is_tensor for column in columns)
        return Wanted(
            tuple(column.name for column in columns),
            self._request.columns,
            tuple(column.name for column in columns if column.datatype == "BYTES" and not is_matrix),
            tuple(column.name for column in columns if "INT" in column.datatype and not is_matrix),
            everything=is_matrix,
            suffix=self._target.suffix or ".parquet",
        )

    def _read(self) -> Generator[tuple[int, Part, int, AskedRows], None, None]:
        """Yield what was not finished: the table's number, its rows, the number of the first, and what is asked."""
        first = self._done[-1].table if self._done else 0
        names = self._done[-1].names if self._done else ()
        signature = self._model.signature
        wanted, bunch_rows = self._wanted, self._bunch_rows
        for number in range(first, len(self._tables)):
            row = self._done[-1].next_row if self._done and number == first else 0
            with on_disk(self._source, self._tables[number], self._scratch) as path:
                for part in read_parts(path, wanted, rows=bunch_rows, skip=row):
                    asked = rows_of(part, signature, self._request.columns, names)
                    names = asked.names
                    yield number, part, row, asked
                    row += part.frame.height

    def _answered(self) -> Iterator[Bunch]:
        """Yield rows, in order, with what was asked and answered; the next ones are read meanwhile."""
        answerer = self._open_answerer()
        pending: deque[tuple[int, Part, int, AskedRows, Callable[[], Answered]]] = deque()

        def first() -> Bunch:
            table, part, first_row, asked, wait = pending.popleft()
            answered = wait()
            self._model_s += answered.seconds
            return Bunch(table, self._name(self._tables[table]), first_row, part, asked, answered)

        try:
            with contextlib.closing(read_ahead(self._read(), AHEAD)) as reading:
                for table, part, first_row, asked in reading:
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
            new_rows=sum(one.rows for one in self._done[kept:]),
            seconds=round(seconds, 3),
            model_seconds=round(self._model_s, 3),
            notes=tuple(self._notes),
        )
