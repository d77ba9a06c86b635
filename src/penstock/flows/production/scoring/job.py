"""A batch job's state beside what it writes: what it was asked for, and its finished parts.

`OUT.parts/job.json` says what the job is, `part-000000.json` that a part is finished and how it went; a part without it
is made anew. So a job that was killed goes on where it was, on any machine that reaches OUT, and a job that is another
one is not mixed with it. `job.json` is the first that is written and the first that is removed.
"""

from __future__ import annotations

import os
import secrets
import socket

import msgspec

from penstock.base.errors import Conflict, Corrupt
from penstock.base.running import has_ended, is_from_here, is_running, name_process
from penstock.flows.production.scoring.places import Place, Source
from penstock.serving.predictions.ids import PredictionId, Route
from penstock.serving.predictions.runs import COUNTER_MAX

FORMAT = 2
REASONS_KEPT = 20
"""Bad rows of a part whose reason is kept beside it; OUT has every one's."""


class BadRow(msgspec.Struct, frozen=True, kw_only=True):
    """A row without an answer: the table, its number there from 1 (without a heading), and why."""

    table: str
    row: int
    reason: str


class Watching(msgspec.Struct, frozen=True, kw_only=True):
    """Which endpoint the answers are recorded for, and what their ids say; fixed when the job begins."""

    endpoint: str
    endpoint_id: int
    revision: int
    version: int
    route: Route
    worker: int
    time_ms: int

    def id_of(self, counter: int) -> PredictionId:
        """Return the id of the job's answer with a running number; the time counts on where numbers run out."""
        number = self.revision if self.route != "direct" else self.version
        time_ms = self.time_ms + counter // COUNTER_MAX
        return PredictionId(time_ms, self.endpoint_id, number, self.route, self.worker, counter % COUNTER_MAX)


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    """What makes two jobs the same: model, tables, and what is written how."""

    model: str
    digest: str
    source: str
    tables: tuple[Source, ...]
    columns: tuple[str, ...]
    part_rows: int
    suffix: str
    endpoint: str | None


class Job(msgspec.Struct, frozen=True, kw_only=True):
    """A job that has begun. `process` is the name of the process that is at it (see `base.running`), empty in older ones."""

    id: str
    asked: Asked
    watching: Watching | None
    host: str
    pid: int
    process: str = ""
    format: int = FORMAT

    @property
    def is_under_way(self) -> bool:
        """Whether another process of this machine is at it, as far as can be told."""
        if self.process.rpartition(".")[2]:  # its place: what has none is known by its number alone
            is_other = self.process != name_process()
            return is_other and is_from_here(self.process) and not has_ended(self.process)
        return self.host == socket.gethostname() and self.pid != os.getpid() and is_running(self.pid)


class Finished(msgspec.Struct, frozen=True, kw_only=True):
    """A finished part: up to which row of which table, and what became of its rows.

    `names` are the columns of the one matrix that the model takes, in the order of the job's first rows.
    """

    number: int
    table: int
    next_row: int
    rows: int
    answered: int
    bad: int
    failed: int
    next_counter: int
    reasons: tuple[BadRow, ...] = ()
    names: tuple[str, ...] = ()


class Parts:
    """The directory of a job's parts."""

    def __init__(self, place: Place) -> None:
        self._backend, self.prefix = place.backend, f"{place.key}.parts"
        self._url = f"{place.url}.parts"
        self._mine: Job | None = None

    def key(self, number: int, suffix: str) -> str:
        """Return where a part lies."""
        return f"{self.prefix}/part-{number:06}{suffix}"

    def find(self, *, or_none: bool = False) -> Job | None:
        """Return the job that was begun here; with `or_none`, none too where what is there cannot be read.

        Raises:
            Corrupt: it cannot.
        """
        key = f"{self.prefix}/job.json"
        if not self._backend.exists(key):
            return None
        try:
            return msgspec.json.decode(self._backend.get(key), type=Job)
        except msgspec.DecodeError as error:
            if or_none:
                return None
            raise Corrupt(
                f"{self._url}/job.json cannot be read: {error}",
                code="batch.bad_job",
                hint="--restart begins anew",
            ) from None

    def begin(self, asked: Asked, watching: Watching | None) -> Job:
        """Begin a job where none is, or where what is there is given up."""
        self._backend.delete_tree(self.prefix)
        job = Job(
            id=secrets.token_hex(8),
            asked=asked,
            watching=watching,
            host=socket.gethostname(),
            pid=os.getpid(),
            process=name_process(),
        )
        return self._take(job)

    def require_ended(self, job: Job) -> None:
        """Check that no other process of this machine is at a job.

        Raises:
            Conflict: one is.
        """
        if job.is_under_way:
            raise Conflict(
                f"process {job.pid} is scoring into {self._url.removesuffix('.parts')} now",
                code="batch.runs",
                hint="wait for it, or end it and run the same command again",
            )

    def resume(self, job: Job, asked: Asked, read: int) -> Job:
        """Take over a job that was begun by a process that is gone.

        Args:
            read: of so many tables rows are in its parts, or may be; the others may have changed, as one that was mended.

        Raises:
            Conflict: it is another job.
        """
        before, now = (msgspec.structs.replace(one, tables=one.tables[:read]) for one in (job.asked, asked))
        if job.format != FORMAT or before != now:
            raise Conflict(
                f"{self._url} holds parts of another job ({_difference(before, now)})",
                code="batch.other_job",
                hint="--restart discards them and begins anew; rows that they recorded stay counted",
            )
        here = {"host": socket.gethostname(), "pid": os.getpid(), "process": name_process()}
        return self._take(msgspec.structs.replace(job, asked=asked, **here))

    def _take(self, job: Job) -> Job:
        self._backend.put(f"{self.prefix}/job.json", msgspec.json.encode(job))
        self._mine = job
        return job

    def is_mine(self) -> bool:
        """Say whether the parts are still those of the job that was begun or taken over here."""
        found = self.find(or_none=True)
        return found is not None and self._mine is not None and _whose(found) == _whose(self._mine)

    def require_mine(self) -> None:
        """Check that no other process has begun or taken over a job here meanwhile, as one of another machine may.

        Raises:
            Conflict: one has.
        """
        if not self.is_mine():
            raise Conflict(
                f"{self._url} was given to another job meanwhile",
                code="batch.taken_over",
                hint="one process at a time scores into a place: wait for the other, or choose another OUT",
            )

    def finished(self) -> list[Finished]:
        """Return the finished parts in order, up to the first that is missing."""
        found: list[Finished] = []
        while True:
            key = self.key(len(found), ".json")
            if not self._backend.exists(key):
                return found
            found.append(msgspec.json.decode(self._backend.get(key), type=Finished))

    def finish(self, part: Finished, data: bytes, suffix: str) -> None:
        """Keep a part; the part is finished when this returns.

        Raises:
            Conflict: the parts are another job's now.
        """
        self.require_mine()
        self._backend.put(self.key(part.number, suffix), data)
        self._backend.put(self.key(part.number, ".json"), msgspec.json.encode(part))

    def discard(self) -> None:
        """Remove everything, but not what is another job's now."""
        if not self.is_mine():
            return
        self._backend.delete(f"{self.prefix}/job.json")
        self._backend.delete_tree(self.prefix)


def _whose(job: Job) -> tuple[str, str, int, str]:
    return job.id, job.host, job.pid, job.process


def _difference(before: Asked, now: Asked) -> str:
    names = [one for one in Asked.__struct_fields__ if getattr(before, one) != getattr(now, one)]
    return f"other {', '.join(names)}" if names else "of another version"
