"""JournalSink: records of runs whose server cannot be reached, kept as files and sent later.

A journal is a directory `<home>/offline/<client id>`: `journal`, the records in the order they came, and
`files/`, the artifacts. A record is its length in 4 bytes, big-endian, and its MessagePack, which unlike JSON
knows NaN and the infinities. One that a crash cut off is passed over. Sending a journal again changes
nothing on the server, so a sync that was interrupted is simply repeated.
"""

from __future__ import annotations

import os
import shutil
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path

import msgspec

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
        return files / f"{len(list(files.iterdir()))}-{os.getpid()}"

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


def send_journals(home: Path, sink: Sink) -> Iterator[tuple[str, str]]:
    """Send every journal and yield its name and the run's id there; a nested run follows its parent.

    Raises:
        Unavailable, Invalid: as `send_journal`; what was sent before is sent.
    """
    sent: dict[str, str] = {}
    for folder in list_journals(home):
        sent[folder.name] = send_journal(folder, sink, sent)
        yield folder.name, sent[folder.name]


def send_journal(folder: Path, sink: Sink, sent: Mapping[str, str]) -> str:
    """Send a journal's records and remove it; return the run's id there.

    `sent` are the ids of runs that have been sent, by the ids they had here.

    Raises:
        Unavailable: the server cannot be reached; the journal stays.
        Invalid: the server refuses a record; the journal stays.
    """
    run_id = ""
    for record in _records(folder / JOURNAL):
        if record.draft is not None:
            run_id = sink.start(_adopted(record.draft, sent))
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


def _adopted(draft: RunDraft, sent: Mapping[str, str]) -> RunDraft:
    """Return a draft whose parent is named by its id on the server."""
    parent = sent.get(draft.tags.get(PARENT_TAG, ""))
    return msgspec.structs.replace(draft, tags={**draft.tags, PARENT_TAG: parent}) if parent else draft


def _start_ms(folder: Path) -> float:
    first = next(_records(folder / JOURNAL), None)
    if first is not None and first.draft is not None:
        return first.draft.start_ms
    return (folder / JOURNAL).stat().st_mtime * 1000


def _records(path: Path) -> Iterator[Record]:
    decoder = msgspec.msgpack.Decoder(Record)
    with path.open("rb") as file:
        while len(head := file.read(HEAD_BYTES)) == HEAD_BYTES:
            length = int.from_bytes(head)
            if len(data := file.read(length)) == length:
                yield decoder.decode(data)
