"""ActiveRun: a run that is being recorded."""

from __future__ import annotations

import json
import logging
import os
import tempfile
import threading
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from types import TracebackType
from typing import Any

from penstock.base.clock import now_ms
from penstock.base.errors import Conflict, Invalid, NotFound, PenstockError, Unavailable
from penstock.base.store.database import check_texts
from penstock.client.buffer import Buffer
from penstock.client.offline import JournalSink
from penstock.client.process.signals import stand_still
from penstock.client.sink import Batch, ModelDraft, RunDraft, Sink
from penstock.client.system import INTERVAL_S, PREFIX, SystemMetrics
from penstock.records.limits import check_key, check_step
from penstock.tracking.entities import MetricPoint, RunStatus

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Recording:
    """Where a run's records go: its place, and the journal for when that cannot be reached."""

    sink: Sink
    journal: JournalSink
    system_metrics: bool = True
    system_interval_s: float = INTERVAL_S


class ActiveRun:
    """A run in this process. Use it as a context manager: an exception ends it as FAILED.

    Logging returns at once and sends in the background; artifacts are sent before the call returns. Parameters, metrics
    and tags of a run that has ended are refused with `Conflict`. Safe for several threads.
    """

    def __init__(
        self,
        recording: Recording,
        run_id: str,
        key: str,
        *,
        is_offline: bool = False,
        steps: Mapping[str, int] | None = None,
    ) -> None:
        self._recording = recording
        self.id = run_id
        self._key, self._is_offline = key, is_offline
        self._status: RunStatus = "RUNNING"
        self._params: dict[str, str] = {}
        self._steps = dict(steps or {})
        self._lock, self._ending = threading.Lock(), threading.RLock()
        self._pid = os.getpid()
        self._buffer = Buffer(self._deliver, self._keep)
        self._system: SystemMetrics | None = None
        if recording.system_metrics:
            looks = (step for key, step in self._steps.items() if key.startswith(PREFIX))
            first = max(looks, default=-1) + 1
            self._system = SystemMetrics(self._log_system, recording.system_interval_s, first)

    @classmethod
    def start(cls, recording: Recording, draft: RunDraft) -> ActiveRun:
        """Start a run; where the place cannot be reached, it is kept in the journal."""
        try:
            return cls(recording, recording.sink.start(draft), draft.client_id)
        except Unavailable as error:
            logger.warning("%s; the run is kept here until `penstock run sync`", error.message)
            return cls(recording, recording.journal.start(draft), draft.client_id, is_offline=True)

    @classmethod
    def resume(
        cls,
        recording: Recording,
        run_id: str,
        *,
        experiment: str | None = None,
        name: str | None = None,
        tags: Mapping[str, str] | None = None,
    ) -> ActiveRun:
        """Let an ended run go on: with its next steps, under a new name and with further tags where they are given.

        Raises:
            NotFound: there is no such run.
            Conflict: it is of another experiment than the one named.
            Unavailable: the place cannot be reached.
        """
        steps = recording.sink.reopen(run_id, experiment=experiment, name=name, tags=tags)
        return cls(recording, run_id, f"{run_id}-{uuid.uuid4().hex[:8]}", steps=steps)

    @property
    def is_offline(self) -> bool:
        """Whether records go to the journal because the place could not be reached."""
        return self._is_offline

    @property
    def status(self) -> RunStatus:
        """RUNNING until it is ended."""
        return self._status

    def log_param(self, key: str, value: object) -> None:
        """Record one parameter; it keeps its value for the run.

        Raises:
            Invalid: it has another value already, or the name or the text cannot be kept.
        """
        self.log_params({key: value})

    def log_params(self, params: Mapping[str, object]) -> None:
        """Record parameters; values are kept as text.

        Raises:
            Invalid: as `log_param`; then none is recorded.
        """
        texts = checked_texts(params)
        with self._lock:
            for key, text in texts.items():
                if self._params.get(key, text) != text:
                    raise Invalid(
                        f"parameter {key!r} of this run is {self._params[key]!r} and cannot become {text!r}",
                        code="tracking.parameter_changed",
                        hint="start another run",
                    )
            self._params.update(texts)
        self._add(params=texts)

    def log_metric(self, key: str, value: float, step: int | None = None) -> None:
        """Record one point of a metric; without a step it is the next one.

        Raises:
            Invalid: the value is no number, the step no whole number, or the name cannot be one.
        """
        self.log_metrics({key: value}, step)

    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        """Record one point of several metrics, at the same time and step.

        Raises:
            Invalid: as `log_metric`; then none is recorded.
        """
        time_ms, asked = now_ms(), None if step is None else check_step(step)
        numbers = {_plain(check_key(key)): _number(key, value) for key, value in metrics.items()}
        self._add(
            metrics=[
                MetricPoint(key, value, time_ms, self._step(key, asked)) for key, value in numbers.items()
            ]
        )

    def set_tag(self, key: str, value: object) -> None:
        """Set one tag.

        Raises:
            Invalid: the name or the text cannot be kept.
        """
        self.set_tags({key: value})

    def set_tags(self, tags: Mapping[str, object]) -> None:
        """Set tags, replacing those of the same name.

        Raises:
            Invalid: a name or a text cannot be kept; then none is set.
        """
        self._add(tags=checked_texts(tags))

    def log_artifact(self, path: str | Path, artifact_path: str | None = None) -> None:
        """Keep a file, in the folder `artifact_path` of the run's artifacts.

        Raises:
            NotFound: there is no such file.
        """
        source = Path(path)
        if not source.is_file():
            raise NotFound(
                f"there is no file {source}",
                code="client.no_file",
                hint="log_artifacts takes a folder" if source.is_dir() else None,
            )
        self._upload(source, str(PurePosixPath(artifact_path or ".") / source.name))

    def log_artifacts(self, folder: str | Path, artifact_path: str | None = None) -> None:
        """Keep every file below a folder, under its relative path.

        Raises:
            NotFound: there is no such folder.
        """
        root = Path(folder)
        if not root.is_dir():
            raise NotFound(f"there is no folder {root}", code="client.no_file")
        for source in sorted(path for path in root.rglob("*") if path.is_file()):
            relative = PurePosixPath(artifact_path or ".") / source.relative_to(root).as_posix()
            self._upload(source, str(relative))

    def log_text(self, text: str, path: str) -> None:
        """Keep a text as a file."""
        with tempfile.TemporaryDirectory(prefix="penstock-") as folder:
            source = Path(folder) / "text"
            source.write_text(text, encoding="utf-8")
            self._upload(source, path)

    def log_dict(self, value: Any, path: str) -> None:
        """Keep a value as a JSON file."""
        self.log_text(json.dumps(value, indent=2, ensure_ascii=False), path)

    def log_model(self, draft: ModelDraft, folder: Path) -> str | None:
        """Keep a model folder with the run; return the model's id, or None where it is kept to be sent later.

        Raises:
            PenstockError: a record was refused, now or earlier.
        """
        self.flush()
        made: list[str] = []
        self._attempt(
            lambda: made.append(self._recording.sink.log_model(self.id, draft, folder)),
            lambda: self._recording.journal.log_model(self._key, draft, folder),
        )
        return made[0] if made else None

    def flush(self) -> None:
        """Send what waits.

        Raises:
            PenstockError: a record was refused, now or earlier.
        """
        self._buffer.flush()
        stand_still()

    def end(self, status: RunStatus = "FINISHED") -> None:
        """Send what waits and end the run; ending twice changes nothing, and waits for an end that is under way.

        A forked child sends what it recorded; the run ends in the process that started it.

        Raises:
            PenstockError: a record was refused; the run is ended all the same.
        """
        if os.getpid() != self._pid:
            self.flush()
            return
        with self._ending:
            if self._status == "RUNNING":
                self._status = status
                self._end(status)
            else:
                self._buffer.flush()  # what an end that was interrupted had in hand
        stand_still()

    def _end(self, status: RunStatus) -> None:
        try:
            if self._system is not None:
                self._system.stop()
        except Exception:  # a look at the machine is no reason to leave the run going
            logger.exception("the machine was not measured")
        try:
            self._buffer.close()
        finally:
            self._attempt(
                lambda: self._recording.sink.finish(self.id, status, now_ms()),
                lambda: self._recording.journal.finish(self._key, status, now_ms()),
            )

    def after_fork(self) -> None:
        """Go on in a forked child: same run, and threads, locks and connections of its own.

        What waited at the fork is the parent's to send.
        """
        self._lock, self._ending = threading.Lock(), threading.RLock()
        self._system = None
        self._recording.sink.after_fork()
        self._recording.journal.after_fork()
        self._buffer = Buffer(self._deliver, self._keep)

    def __enter__(self) -> ActiveRun:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self.end()
            return
        try:
            self.end("KILLED" if issubclass(kind, KeyboardInterrupt) else "FAILED")
        except PenstockError as refused:
            logger.warning("run %s: %s", self.id, refused.message)

    def _add(
        self,
        metrics: list[MetricPoint] | None = None,
        params: dict[str, str] | None = None,
        tags: dict[str, str] | None = None,
    ) -> None:
        if self._status != "RUNNING" or not self._buffer.add(metrics, params, tags):
            stand_still()
            raise Conflict(
                f"run {self.id} has ended",
                code="client.run_ended",
                hint=f"go on with it: penstock.start_run(run_id={self.id!r})",
            )

    def _step(self, key: str, step: int | None) -> int:
        with self._lock:
            step = self._steps.get(key, -1) + 1 if step is None else step
            self._steps[key] = max(step, self._steps.get(key, step))
        return step

    def _log_system(self, values: Mapping[str, float], step: int) -> None:
        self._buffer.add(metrics=[MetricPoint(key, value, now_ms(), step) for key, value in values.items()])

    def _upload(self, source: Path, path: str) -> None:
        plain = str(PurePosixPath(path))
        if plain.startswith(("/", "../")) or ".." in PurePosixPath(plain).parts or plain == ".":
            raise Invalid(f"{path!r} is not a path inside the run's artifacts", code="artifacts.bad_path")
        self._attempt(
            lambda: self._recording.sink.upload(self.id, source, plain),
            lambda: self._recording.journal.upload(self._key, source, plain),
        )
        stand_still()

    def _deliver(self, batch: Batch) -> None:
        if self._is_offline:
            self._recording.journal.log(self._key, batch)
        else:
            self._recording.sink.log(self.id, batch)

    def _keep(self, batch: Batch) -> None:
        self._go_offline()
        self._recording.journal.log(self._key, batch)

    def _attempt(self, deliver: Any, keep: Any) -> None:
        if not self._is_offline:
            try:
                deliver()
                return
            except Unavailable as error:
                logger.warning("%s; kept here until `penstock run sync`", error.message)
                self._go_offline()
        keep()

    def _go_offline(self) -> None:
        with self._lock:
            if not self._is_offline:
                self._is_offline = True
                self._recording.journal.go_on(self._key, self.id)


def checked_texts(values: Mapping[str, object]) -> dict[str, str]:
    """Return names and texts as every place can keep them.

    Raises:
        Invalid: one cannot be kept.
    """
    texts = {_plain(check_key(key)): _plain(str(value)) for key, value in values.items()}
    check_texts(texts.items())
    for key, text in texts.items():
        try:
            text.encode()
        except UnicodeEncodeError:
            raise Invalid(
                f"{key!r} holds half a character (a lone surrogate), which no store can keep: {text[:100]!r}",
                code="request.invalid_value",
            ) from None
    return texts


def _plain(text: str) -> str:
    """Return a text of a type of its own, such as `numpy.str_`, as one that every encoder knows."""
    return str.__str__(text)


def _number(key: str, value: object) -> float:
    try:
        if isinstance(value, bool | str):
            raise TypeError
        return float(value)  # type: ignore[arg-type]
    except OverflowError:
        raise Invalid(
            f"metric {key!r}: the value is too large for a double", code="request.invalid_value"
        ) from None
    except Exception:  # noqa: BLE001 - whatever the value's own class says
        raise Invalid(
            f"metric {key!r}: {value!r} is no number", code="request.invalid_value", hint="log it as a tag"
        ) from None
