"""Run tasks on a Ray cluster: inputs go there by digest, each once; outputs come back and are checked.

A worker needs Ray and what the commands need, no Penstock and no repository: it gets what the stage depends on, and
the files of the repository that git has, which is its code. What it makes is in the workspace before the task ends.
Whether a task is tried again is not Ray's business (`scheduling`).
"""

from __future__ import annotations

import hashlib
import os
import threading
from collections.abc import Iterator
from concurrent.futures import Future, wait
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from typing import Any

from penstock.base.errors import PenstockError, Unavailable
from penstock.base.files import remove_path
from penstock.base.git import Git
from penstock.base.threads import begin
from penstock.pipeline.executors import ray_worker
from penstock.pipeline.executors.local import infeasible
from penstock.pipeline.executors.ray_worker import Order, Sent
from penstock.pipeline.executors.role import Ended, Printed, Task, Tell
from penstock.pipeline.process import SECRET
from penstock.pipeline.running.shells import SHELL, shell_for

PART_BYTES = 32 << 20
CODE_BYTES = 16 << 20  # a larger file of git's is data: a stage that reads it lists it
STORE_BYTES = 256 << 20  # of a cluster begun here
POLL_S = 0.2
CANCEL_S = 20.0


def open_ray(address: str | None) -> RayExecutor:
    """Return an executor on the cluster at `address`; without one, on that of this machine, or one begun for it.

    Raises:
        Unavailable: no cluster answers there.
    """
    return RayExecutor(address)


class RayExecutor:
    """Runs each task as a task of Ray's that asks for the stage's resources."""

    name = "ray"

    def __init__(self, address: str | None) -> None:
        import ray

        self._ray: Any = ray
        self._errors: Any = ray.exceptions
        self._is_ours = not ray.is_initialized()
        if self._is_ours:
            connect(ray, address)
        ray.cloudpickle.register_pickle_by_value(ray_worker)
        self._mailbox = ray.remote(ray_worker.Mailbox).options(num_cpus=0).remote()
        self._work = ray.remote(ray_worker.work)
        self._lock = threading.Lock()
        self._running: dict[str, Any] = {}
        self._threads: set[Future[None]] = set()
        self._parts: dict[str, tuple[Any, ...]] = {}
        self._known: dict[tuple[str, int, int, int], str] = {}
        self._count = 0
        self._is_cancelled = self._is_closed = False

    def check(self, task: Task) -> None:
        """Refuse what no node of the cluster has."""
        wanted = {
            "CPU": task.resources.cpus,
            "memory": task.resources.memory_bytes,
            "GPU": task.resources.gpus,
        }
        try:
            nodes = [one["Resources"] for one in self._ray.nodes() if one["Alive"]]
        except (self._errors.RayError, ConnectionError) as error:
            raise Unavailable(
                f"the Ray cluster does not answer: {error}", code="pipeline.cluster_away", hint="ray status"
            ) from None
        if any(all(node.get(name, 0) >= amount for name, amount in wanted.items()) for node in nodes):
            return
        most: dict[str, float] = max(nodes, key=lambda node: node.get("CPU", 0), default={})
        have = f"{most.get('CPU', 0):g} cpus, {most.get('memory', 0) / 1e9:.1f} GB of memory, {most.get('GPU', 0):g} gpus"
        raise infeasible(task, f"the largest node of the cluster has {have}")

    def submit(self, task: Task, tell: Tell) -> None:
        """Send the task; a thread follows it."""
        with self._lock:
            self._count += 1
            key = f"{task.name} {self._count}"
            self._running[key] = None
            self._threads = {one for one in self._threads if not one.done()}
            self._threads.add(begin(f"stage {task.name}", lambda: self._follow(key, task, tell)))

    def cancel(self) -> None:
        """Cancel every task: first its commands are ended, then its worker."""
        with self._lock:
            self._is_cancelled = True
            threads = set(self._threads)
        for is_forced in (False, True):
            with self._lock:
                left = [ref for ref in self._running.values() if ref is not None]
            for ref in left:
                with suppress(self._errors.RayError, ValueError, TypeError):
                    self._ray.cancel(ref, force=is_forced)
            if left:
                with suppress(self._errors.RayError):
                    self._ray.wait(left, num_returns=len(left), timeout=CANCEL_S)
        wait(threads, timeout=CANCEL_S)

    def close(self) -> None:
        """Leave the cluster; one that was begun here ends."""
        if self._is_closed:
            return
        self._is_closed = True
        self._parts.clear()
        with suppress(self._errors.RayError):
            self._ray.kill(self._mailbox)
        self._ray.cloudpickle.unregister_pickle_by_value(ray_worker)
        if self._is_ours:
            self._ray.shutdown()

    def _follow(self, key: str, task: Task, tell: Tell) -> None:
        try:
            ended = self._carry_out(key, task, tell)
        except self._errors.TaskCancelledError:
            ended = Ended(task.name, "failed", detail="it was cancelled")
        except self._errors.RayTaskError as error:
            ended = Ended(task.name, "failed", detail=str(error.cause).strip().partition("\n")[0])
        except self._errors.RayError as error:  # the worker, its node or what it held is gone
            problem = str(error).strip().partition("\n")[0]
            ended = Ended(task.name, "lost", detail=f"{type(error).__name__}: {problem}")
        except (OSError, ValueError, PenstockError) as error:
            ended = Ended(task.name, "failed", detail=str(error))
        with self._lock:
            del self._running[key]
        tell(ended)

    def _carry_out(self, key: str, task: Task, tell: Tell) -> Ended:
        inputs = [self._send(task.root, path) for path in _inputs(task)]
        variables = dict(task.variables)
        order = Order(
            task.commands,
            task.directory,
            task.makes,
            variables,
            task.timeout_s,
            SECRET,
            shell_for(variables),
            SHELL in variables,
        )
        wanted = task.resources
        options = {
            "num_cpus": wanted.cpus,
            "num_gpus": wanted.gpus,
            "max_retries": 0,
            "name": f"stage {task.name}",
        }
        if wanted.memory_bytes:
            options["memory"] = wanted.memory_bytes
        with self._lock:
            if self._is_cancelled:
                return Ended(task.name, "failed", detail="it was cancelled")
            ref = self._work.options(**options).remote(order, inputs, key, self._mailbox)
            self._running[key] = ref
        lines = _Lines(task.name, tell)
        done: list[Any] = []
        while not done:
            done, _ = self._ray.wait([ref], timeout=POLL_S)
            with suppress(self._errors.GetTimeoutError):
                lines.add(self._ray.get(self._mailbox.take.remote(key), timeout=CANCEL_S))
        lines.end()
        answer: ray_worker.Answer = self._ray.get(ref)
        if answer.ending == "done":
            for path in answer.folders:
                remove_path(task.root / path)
                (task.root / path).mkdir(parents=True)
            for sent in answer.files:
                ray_worker.receive(task.root, sent, bytes)
            return Ended(task.name, "done")
        ending = "timed out" if answer.ending == "timed out" else "failed"
        return Ended(task.name, ending, answer.command, answer.exit_code)  # type: ignore[arg-type]

    def _send(self, root: Path, path: str) -> Sent:
        """Put a file's bytes into Ray's store, unless these are there already, and return what a worker is told."""
        place = root / path
        info = place.stat()
        stamp = (str(place), info.st_ino, info.st_size, info.st_mtime_ns)
        md5 = self._known.get(stamp)
        if md5 is None or md5 not in self._parts:
            digest = hashlib.md5(usedforsecurity=False)
            with place.open("rb") as file:
                while data := file.read(PART_BYTES):
                    digest.update(data)
            md5 = self._known[stamp] = digest.hexdigest()
        with self._lock:
            if md5 not in self._parts:
                with place.open("rb") as file:
                    self._parts[md5] = tuple(
                        self._ray.put(data) for data in iter(lambda: file.read(PART_BYTES), b"")
                    )
        return Sent(path, (info.st_mode & 0o777) | 0o200, md5, self._parts[md5])


class _Lines:
    """Makes lines of what comes in pieces."""

    def __init__(self, name: str, tell: Tell) -> None:
        self._name, self._tell, self._rest = name, tell, b""

    def add(self, data: bytes) -> None:
        *lines, self._rest = (self._rest + data).split(b"\n")
        for line in lines:
            self._tell(Printed(self._name, line.decode(errors="replace")))

    def end(self) -> None:
        if self._rest:
            self._tell(Printed(self._name, self._rest.decode(errors="replace")))


def _inputs(task: Task) -> list[str]:
    """Return the files a worker needs: what the stage depends on, and what git has, without what it makes."""
    found = dict.fromkeys(
        path for one in (*task.reads, *task.kept) for path in ray_worker.walk(task.root, one)
    )
    found.update(dict.fromkeys(_code(task)))
    kept = {path for one in task.kept for path in ray_worker.walk(task.root, one)}
    made = [one for one in task.makes if one not in task.kept]
    return [
        path
        for path in found
        if path in kept or not any(path == one or path.startswith(f"{one}/") for one in made)
    ]


def _code(task: Task) -> Iterator[str]:
    words = ("ls-files", "-z", "--cached", "--others", "--exclude-standard")
    try:
        listed = Git(task.root).run_bytes(*words).split(b"\0")
    except PenstockError:
        return
    for raw in filter(None, listed):
        path = os.fsdecode(raw)
        place = task.root / path
        if place.is_file() and not place.is_symlink() and place.stat().st_size <= CODE_BYTES:
            yield path


def connect(ray: Any, address: str | None) -> None:
    """Join the cluster at an address; without one, that of this machine, or one begun for this process.

    Raises:
        Unavailable: no cluster answers there.
    """
    with suppress(
        ImportError, AttributeError
    ):  # Ray tells its makers of each cluster begun, unless told not to
        usage = import_module("ray._private.usage.usage_lib")
        usage.set_usage_stats_enabled_via_env_var(False)
    options: dict[str, Any] = {"log_to_driver": False, "logging_level": "ERROR", "configure_logging": False}
    try:
        if address is not None:
            ray.init(address=address, **options)
            return
        with suppress(ConnectionError):
            ray.init(address="auto", **options)
            return
        ray.init(address="local", include_dashboard=False, object_store_memory=STORE_BYTES, **options)
    except (ConnectionError, ValueError, RuntimeError, ray.exceptions.RayError) as error:
        problem = str(error).strip().partition("\n")[0]
        raise Unavailable(
            f"no Ray cluster answers at {address or 'this machine'}: {problem}",
            code="pipeline.cluster_away",
            hint="ray start --head begins one; --address says where it is",
        ) from None
