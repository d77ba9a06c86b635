"""What runs on a Ray worker: one task in a directory of its own. Knows nothing of Penstock, which workers need not have.

It is sent by value (`ray.RayExecutor`), so it may use nothing but the standard library and Ray.
"""

from __future__ import annotations

import hashlib
import os
import selectors
import shutil
import signal
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple

GRACE_S = 5.0
WAKE_S = 0.3  # Ray asks a task to end by what Python looks at between two steps only


class Sent(NamedTuple):
    """A file that goes to or comes from a worker; `parts` are references to its bytes, or the bytes."""

    path: str
    mode: int
    md5: str
    parts: Sequence[Any]


class Order(NamedTuple):
    """A task as it is sent: see `role.Task`. `shell` are the words before a command, of the machine that sends it.

    `is_own_shell`: the stage names it; else a worker that has none like it takes /bin/sh, and says so.
    """

    commands: tuple[str, ...]
    directory: str
    makes: tuple[str, ...]
    variables: Mapping[str, str]
    timeout_s: float | None
    secret: str
    shell: tuple[str, ...] = ("/bin/sh", "-c")
    is_own_shell: bool = False


class Answer(NamedTuple):
    """How it ended, and what it made."""

    ending: str
    command: str
    exit_code: int | None
    files: Sequence[Sent]
    folders: Sequence[str]


class Mailbox:
    """An actor that holds what tasks printed until it is fetched."""

    def __init__(self) -> None:
        self._waiting: dict[str, list[bytes]] = {}

    def put(self, key: str, data: bytes) -> None:
        """Add some output."""
        self._waiting.setdefault(key, []).append(data)

    def take(self, key: str) -> bytes:
        """Return what came since the last time."""
        return b"".join(self._waiting.pop(key, ()))


def work(order: Order, inputs: Sequence[Sent], key: str, mailbox: Any) -> Answer:
    """Carry out a task on a worker."""
    import ray

    last: list[Any] = []

    def say(data: bytes) -> None:
        last[:] = [mailbox.put.remote(key, data)]

    answer = carry_out(order, inputs, ray.get, say)
    ray.get(last)
    return answer


def carry_out(
    order: Order, inputs: Sequence[Sent], fetch: Callable[[Any], bytes], say: Callable[[bytes], None]
) -> Answer:
    """Put the inputs in place, run the commands and return what was made; nothing is left behind."""
    root = Path(tempfile.mkdtemp(prefix="penstock-stage-"))
    try:
        for sent in inputs:
            receive(root, sent, fetch)
        place = root / order.directory
        place.mkdir(parents=True, exist_ok=True)
        for path in order.makes:
            (root / path).parent.mkdir(parents=True, exist_ok=True)
        shell = find_shell(order, say)
        deadline = time.monotonic() + order.timeout_s if order.timeout_s is not None else None
        variables = {**order.variables, "DVC_ROOT": str(root)}
        surroundings = [
            "/usr/bin/env",
            "-u",
            order.secret,
            *(f"{name}={text}" for name, text in variables.items()),
        ]
        for command in order.commands:
            code = _run([*surroundings, *shell, command], place, deadline, say)
            if code is None:
                return Answer("timed out", command, None, (), ())
            if code != 0:
                return Answer("failed", command, code, (), ())
        files = [pack(root, path) for made in order.makes for path in walk(root, made)]
        folders = [path for path in order.makes if (root / path).is_dir()]
        return Answer("done", "", 0, files, folders)
    finally:
        shutil.rmtree(root, ignore_errors=True)


def find_shell(order: Order, say: Callable[[bytes], None]) -> list[str]:
    """Return the words that begin a command, with this machine's shell of that name where it lies elsewhere here.

    Raises:
        FileNotFoundError: it has none, and the stage asks for it.
    """
    words = order.shell
    name = os.path.basename(words[0])
    found = shutil.which(words[0]) or shutil.which(name)
    if found is None and order.is_own_shell:
        raise FileNotFoundError(f"the worker has no shell `{name}`, which the stage's `env` names as SHELL")
    if found is None:
        say(
            f"the worker has no shell `{name}`, which $SHELL names where it was sent from: /bin/sh runs this\n".encode()
        )
        return ["/bin/sh", "-c"]
    return [found, *words[1:]]


def receive(root: Path, sent: Sent, fetch: Callable[[Any], bytes]) -> None:
    """Write a file that was sent, whole or not at all.

    Raises:
        ValueError: its bytes are not those that its digest names.
    """
    target = root / sent.path
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = target.with_name(f".{os.urandom(8).hex()}.tmp")
    digest = hashlib.md5(usedforsecurity=False)
    try:
        with temporary.open("wb") as file:
            for part in sent.parts:
                data = fetch(part)
                digest.update(data)
                file.write(data)
        if digest.hexdigest() != sent.md5:
            raise ValueError(f"{sent.path} did not arrive as it was sent")
        temporary.chmod(sent.mode)
        temporary.replace(target)
    finally:
        with suppress(FileNotFoundError):
            temporary.unlink()


def pack(root: Path, path: str) -> Sent:
    """Return a file with its bytes."""
    data = (root / path).read_bytes()
    mode = (root / path).stat().st_mode & 0o777
    return Sent(path, mode | 0o200, hashlib.md5(data, usedforsecurity=False).hexdigest(), (data,))


def walk(root: Path, path: str) -> Iterator[str]:
    """Yield the files at or below a path, relative to `root`."""
    place = root / path
    if place.is_dir():
        for folder, _, names in os.walk(place):
            for name in sorted(names):
                yield os.path.relpath(os.path.join(folder, name), root)
    elif place.is_file():
        yield path


_ONCE_GUARDED = 'read go || exit 1; exec "$@" </dev/null'
"""Begins a command when told so, and not where who should tell is gone."""


def _run(
    words: Sequence[str], place: Path, deadline: float | None, say: Callable[[bytes], None]
) -> int | None:
    """Run a command and return its exit code, None when time is up; its group does not outlive it or this process."""
    process: subprocess.Popen[bytes] | None = None
    guard: subprocess.Popen[bytes] | None = None
    try:
        with uninterrupted():
            process = subprocess.Popen(
                ["/bin/sh", "-c", _ONCE_GUARDED, "sh", *words],
                cwd=place,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
            guard = _guard(process.pid)
            assert process.stdin is not None
            with suppress(BrokenPipeError), process.stdin as gate:
                gate.write(b"\n")
        return process.wait() if _follow(process, deadline, say) else None
    finally:
        with uninterrupted():
            if process is not None:
                _end(process)
            if guard is not None:
                guard.kill()
                guard.wait()
                if guard.stdin is not None:
                    guard.stdin.close()
            if process is not None and process.stdout is not None:
                process.stdout.close()


@contextmanager
def uninterrupted() -> Iterator[None]:
    """Hold interruptions back for the block, as Ray's of a task that is cancelled; one that came is passed on at its end.

    What begins is known, or ended, whole. Only the main thread is interrupted: in others nothing is held.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    came: list[int] = []
    before = signal.signal(signal.SIGINT, lambda number, _frame: came.append(number))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
        if came and callable(before):
            before(signal.SIGINT, None)


def _guard(group: int) -> subprocess.Popen[bytes]:
    """Start what ends a process group when this process is gone: it reads a pipe that only this process holds."""
    return subprocess.Popen(
        ["/bin/sh", "-c", 'read x; kill -TERM "-$0"; sleep 5; kill -KILL "-$0"', str(group)],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )


def _follow(process: subprocess.Popen[bytes], deadline: float | None, say: Callable[[bytes], None]) -> bool:
    assert process.stdout is not None
    with selectors.DefaultSelector() as selector:
        selector.register(process.stdout, selectors.EVENT_READ)
        while True:
            left = WAKE_S if deadline is None else deadline - time.monotonic()
            if left <= 0:
                return False
            if not selector.select(min(left, WAKE_S)):
                continue
            data = os.read(process.stdout.fileno(), 1 << 16)
            if not data:
                return True
            say(data)


def _end(process: subprocess.Popen[bytes]) -> None:
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGTERM)
    deadline = time.monotonic() + GRACE_S
    while process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.02)
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
