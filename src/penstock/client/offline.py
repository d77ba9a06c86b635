"""JournalSink: records of runs whose server cannot be reached, kept as files and sent later.

A journal is a directory `<home>/offline/<client id>`: `journal`, the records in the order they came, and
`files/`, the artifacts. A record is its length in 4 bytes, big-endian, and its MessagePack, which unlike JSON
knows NaN and the infinities. One that a crash cut off is passed over. Sending a journal again changes
nothing on the server, so a sync that was interrupted is simply repeated.
"""

from __future__ import annotations

import os
import shlex
import shutil
import threading
import uuid
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path

import msgspec

from penstock.base.errors import Conflict, Corrupt, PenstockError, Unavailable, told_of_system
from penstock.client.sink import Batch, ModelDraft, RunDraft, Sink
from penstock.tracking.entities import NAME_TAG, PARENT_TAG, RunStatus

FOLDER = "offline"
JOURNAL = "journal"
HEAD_BYTES = 4


class Record(msgspec.Struct, kw_only=True, omit_defaults=True):
    """One record: exactly one of the fields is set. `run_id` names a run that the server knows already."""

    draft: RunDraft | None = None
    run_id: str | None = None
    batch: Batch | None = None
    upload: tuple[str, str] | None = None
    model: tuple[str, ModelDraft] | None = None
    finish: tuple[RunStatus, int] | None = None


class JournalSink:
    """A `Sink` into files below `home`. Thread-safe."""

    def __init__(self, home: Path) -> None:
        self._home = home / FOLDER
        self._lock = threading.Lock()
        self.place = str(self._home)

    def after_fork(self) -> None:
        """Take a lock of its own."""
        self._lock = threading.Lock()

    def start(self, draft: RunDraft) -> str:
        """Begin a journal under the client's id."""
        self._write(draft.client_id, Record(draft=draft))
        return draft.client_id

    def go_on(self, client_id: str, run_id: str) -> None:
        """Begin a journal of what a run that the server knows still has to send."""
        self._write(client_id, Record(run_id=run_id))

    def reopen(
        self,
        run_id: str,
        *,
        experiment: str | None = None,
        name: str | None = None,
        tags: Mapping[str, str] | None = None,
    ) -> dict[str, int]:
        """Begin a journal of a run that the server knows; what the server alone knows of it is not looked at."""
        self._write(run_id, Record(run_id=run_id))
        own = {**(tags or {}), **({NAME_TAG: name} if name else {})}
        if own:
            self.log(run_id, Batch(tags=own))
        return {}

    def log(self, run_id: str, batch: Batch) -> None:
        """Append a batch."""
        self._write(run_id, Record(batch=batch))

    def upload(self, run_id: str, source: Path, path: str) -> None:
        """Copy a file beside the journal."""
        target = self._place(run_id)
        shutil.copyfile(source, target)
        self._write(run_id, Record(upload=(target.name, path)))

    def log_model(self, run_id: str, draft: ModelDraft, folder: Path) -> str:
        """Copy a model folder beside the journal; its id is known only to the server that gets it."""
        target = self._place(run_id)
        shutil.copytree(folder, target)
        self._write(run_id, Record(model=(target.name, draft)))
        return ""

    def finish(self, run_id: str, status: RunStatus, end_ms: int) -> None:
        """Append the end."""
        self._write(run_id, Record(finish=(status, end_ms)))

    def close(self) -> None:
        """Leave the files."""

    def _place(self, run_id: str) -> Path:
        files = self._home / run_id / "files"
        files.mkdir(parents=True, exist_ok=True)
        return files / uuid.uuid4().hex

    def _write(self, run_id: str, record: Record) -> None:
        folder = self._home / run_id
        with self._lock:
            folder.mkdir(parents=True, exist_ok=True)
            with (folder / JOURNAL).open("ab") as file:
                data = msgspec.msgpack.encode(record)
                file.write(len(data).to_bytes(HEAD_BYTES) + data)
                file.flush()
                os.fsync(file.fileno())


def list_journals(home: Path) -> list[Path]:
    """Return the journals that wait to be sent, by the start of their runs."""
    folder = home / FOLDER
    found = [path for path in folder.iterdir() if (path / JOURNAL).is_file()] if folder.is_dir() else []
    return sorted(found, key=_start_ms)


class Sent(msgspec.Struct, frozen=True, kw_only=True):
    """What became of a journal: the run's id there, or why the journal stays."""

    folder: Path
    run_id: str | None = None
    problem: PenstockError | None = None

    @property
    def kept_as(self) -> str:
        """The id that the run has here."""
        return self.folder.name


def send_journals(home: Path, sink: Sink) -> Iterator[Sent]:
    """Send every journal and yield what became of each; a nested run follows its parent, or waits with it.

    One that is refused, or cannot be read, stays and holds up no other.

    Raises:
        Unavailable: the server cannot be reached; what was sent before is sent.
    """
    begun: dict[str, str] = {}
    stayed: set[str] = set()
    for folder in list_journals(home):
        try:
            yield Sent(folder=folder, run_id=send_journal(folder, sink, begun, stayed))
        except Unavailable:
            raise
        except PenstockError as error:
            stayed.add(folder.name)
            yield Sent(folder=folder, problem=_told(folder, error))
        except OSError as error:
            stayed.add(folder.name)
            yield Sent(folder=folder, problem=_told(folder, told_of_system(error)))


def send_journal(folder: Path, sink: Sink, begun: dict[str, str], stayed: Collection[str] = ()) -> str:
    """Send a journal's records and remove it; return the run's id there.

    Args:
        begun: the ids of runs that are there, by the ids they had here; this one is added.
        stayed: the runs that could not be sent whole.

    Raises:
        Unavailable: the server cannot be reached; the journal stays.
        Invalid: the server refuses a record; the journal stays.
        Conflict: the run around it is not there; the journal stays.
        Corrupt: a record cannot be read; the journal stays.
    """
    run_id = ""
    for record in _records(folder / JOURNAL):
        if record.draft is not None:
            parent = record.draft.tags.get(PARENT_TAG, "")
            if parent in stayed and parent not in begun:
                raise Conflict(f"the run around it, {parent}, was not sent", code="client.parent_waits")
            run_id = begun[folder.name] = sink.start(_adopted(record.draft, begun))
        elif record.run_id is not None:
            run_id = record.run_id
        elif record.batch is not None:
            sink.log(run_id, record.batch)
        elif record.upload is not None:
            sink.upload(run_id, folder / "files" / record.upload[0], record.upload[1])
        elif record.model is not None:
            sink.log_model(run_id, record.model[1], folder / "files" / record.model[0])
        elif record.finish is not None:
            sink.finish(run_id, *record.finish)
    shutil.rmtree(folder)
    return run_id


def _told(folder: Path, error: PenstockError) -> PenstockError:
    """Return why a journal stays, with its folder and what can be done."""
    first = f"{error.hint}; " if error.hint else ""
    hint = f"{first}penstock run sync tries it again, rm -r {shlex.quote(str(folder))} gives it up"
    fields = {**error.fields, "folder": str(folder)}
    return type(error)(f"{folder} was not sent: {error.message}", code=error.code, hint=hint, **fields)


def _adopted(draft: RunDraft, sent: Mapping[str, str]) -> RunDraft:
    """Return a draft whose parent is named by its id on the server."""
    parent = sent.get(draft.tags.get(PARENT_TAG, ""))
    return msgspec.structs.replace(draft, tags={**draft.tags, PARENT_TAG: parent}) if parent else draft


def _start_ms(folder: Path) -> float:
    try:
        first = next(_records(folder / JOURNAL), None)
    except Corrupt:  # told when it is sent
        first = None
    if first is not None and first.draft is not None:
        return first.draft.start_ms
    return (folder / JOURNAL).stat().st_mtime * 1000


def _records(path: Path) -> Iterator[Record]:
    decoder = msgspec.msgpack.Decoder(Record)
    with path.open("rb") as file:
        while len(head := file.read(HEAD_BYTES)) == HEAD_BYTES:
            length = int.from_bytes(head)
            if len(data := file.read(length)) == length:
                try:
                    yield decoder.decode(data)
                except msgspec.DecodeError as error:
                    raise Corrupt(f"a record cannot be read: {error}", code="client.bad_journal") from None
