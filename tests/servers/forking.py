"""A Python process that has imported a program already and forks for each call of it.

An interpreter and its imports take longer than most commands that tests run: 0.3 s for penstock, 1 s for DVC, 2 s for
MLflow's client. A fork is a process of its own with its own directory, variables, streams and exit code, so a test sees
what a user sees; only the start is shared. What depends on the start itself (PYTHON… variables, the locale, other
privileges) must be shown with a process of its own.

This file is also the program of that process, for any interpreter: it imports nothing but the standard library.
"""

from __future__ import annotations

import atexit
import contextlib
import fcntl
import functools
import gc
import hashlib
import importlib
import json
import os
import pkgutil
import select
import selectors
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, NoReturn

AT_START = ("PYTHON", "LC_", "LANG")
"""Variables that an interpreter reads when it starts: a call that changes them gets a process of its own."""
LATER = ("PYTHONBREAKPOINT",)
"""Such a variable that is read later: Ray sets it in the process that asks it for work."""
READY_S = 300.0
RUN = "PENSTOCK_TESTS_RUN"  # the folder of a run, as `sharing.py` names it; this file imports nothing of the tests
PENSTOCK_IMPORTS = [
    "penstock.cli.main",
    "penstock.workspace",
    "penstock.base.*",
    "penstock.data.*",
    "penstock.pipeline.*",
    "penstock.cli.data.*",
    "penstock.cli.experiments.*",
    "penstock.cli.pipelines.*",
    "penstock.flows.experiments.*",
    "penstock.flows.pipelines.*",
    "penstock.flows.tracked.*",
    "-penstock.data.formats.batches",
    "-penstock.data.formats.delimited",
    "-penstock.data.formats.tables",  # tables, and with them polars, which most commands do not need
    "asyncio",
    "concurrent.futures",
    "configobj",
    "ctypes",
    "pathspec",
    "rich.progress",
    "rich.table",
    "ruamel.yaml",
    "sqlalchemy.dialects.sqlite",
]
MODEL_IMPORTS = (
    "penstock.serving.loaders.sklearn",  # first: it imports no pandas
    "scipy.stats",
    "sklearn.compose",
    "sklearn.linear_model",
    "sklearn.metrics",
    "sklearn.pipeline",
    "polars",  # its threads of work begin when they are first asked for, so a fork has its own
    "penstock.cli.*",
    "penstock.client.*",
    "penstock.flows.*",
    "penstock.processes.*",
    "penstock.registry.*",
)
"""What commands import that train, judge and serve a model of `projects.Sample`; a fork without it costs a third less."""
MODEL_COMMANDS = {"ci", "deploy", "gate", "model", "promote", "repro", "score", "serve", "up"}


class ForkServer:
    """Runs calls of one program with one interpreter; the first call of a run of tests starts it, and it ends with the run.

    Args:
        python: the interpreter.
        command: the command line that a call stands for, used where forks cannot do it.
        program: the code that runs the program with `sys.argv`.
        variables: what the interpreter finds in its environment while it imports.
        imports: the modules to import before, by name, `package.*` for all below; those that are missing, or named with a `-`, are left out.
    """

    def __init__(
        self,
        python: str,
        command: Sequence[str],
        program: str,
        imports: Sequence[str],
        variables: Mapping[str, str] | None = None,
    ) -> None:
        self._python, self._command = python, tuple(command)
        self._program, self._imports = program, tuple(imports)
        self._variables = dict(variables or {})
        self._path: str | None = None
        self._lock = threading.Lock()

    def run(
        self,
        arguments: Sequence[str],
        *,
        cwd: Path,
        env: Mapping[str, str],
        stdin: str = "",
        timeout: float = 300,
        program: str | None = None,
    ) -> subprocess.CompletedProcess[str]:
        """Run one call and return its exit code and output, as `subprocess.run` does with `text=True`.

        Args:
            program: code to run in place of the server's program.

        Raises:
            subprocess.TimeoutExpired: it took too long and was killed.
        """
        command = (self._python, "-c", program, *arguments) if program else (*self._command, *arguments)
        if _changes_the_start(env):
            return subprocess.run(
                command, cwd=cwd, env=dict(env), input=stdin, capture_output=True, text=True,
                errors="surrogateescape", check=False, timeout=timeout,
            )  # fmt: skip
        pipes = [os.pipe() for _ in range(3)]
        (in_read, in_write), (out_read, out_write), (err_read, err_write) = pipes
        streams = in_read, out_write, err_write
        running = self.start(arguments, cwd=cwd, env=env, streams=streams, program=program)
        for one in (in_read, out_write, err_write):
            os.close(one)
        threads = [threading.Thread(target=_feed, args=(in_write, stdin.encode()))]
        found: dict[int, bytes] = {}
        threads += [threading.Thread(target=_drain, args=(place, found)) for place in (out_read, err_read)]
        for thread in threads:
            thread.start()
        try:
            code = running.wait(timeout)
        except TimeoutError:
            running.kill()
            code = None
        for thread in threads:
            thread.join()
        if code is None:
            raise subprocess.TimeoutExpired(command, timeout)
        return subprocess.CompletedProcess(command, code, _text(found[out_read]), _text(found[err_read]))

    def start(
        self,
        arguments: Sequence[str],
        *,
        cwd: Path,
        env: Mapping[str, str],
        streams: tuple[int, int, int],
        program: str | None = None,
    ) -> Forked:
        """Start one call on descriptors for its three streams."""
        request = {
            "program": program or self._program,
            "arguments": [os.fsencode(one).hex() for one in arguments],
            "cwd": os.fsencode(cwd).hex(),
            "env": {os.fsencode(name).hex(): os.fsencode(value).hex() for name, value in env.items()},
            "umask": _umask(),
        }
        data = json.dumps(request).encode()
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        connection.settimeout(READY_S)
        connection.connect(self.address())
        socket.send_fds(connection, [len(data).to_bytes(8, "big")], streams)
        connection.sendall(data)
        reader = connection.makefile("rb")
        return Forked(int(reader.readline()), connection, reader)

    def tell(self, arguments: Sequence[str], cwd: Path, *, program: str) -> tuple[Forked, IO[str]]:
        """Start one call that reads nothing and complains where this process does; return it with what it prints."""
        nothing = os.open(os.devnull, os.O_RDONLY)
        reading, writing = os.pipe()
        try:
            streams = nothing, writing, 2
            running = self.start(arguments, cwd=cwd, env=os.environ, streams=streams, program=program)
        finally:
            os.close(nothing)
            os.close(writing)
        return running, open(reading)

    def address(self) -> str:
        """Return the socket of the server, started where it is not."""
        with self._lock:
            if self._path is None:
                self._path = self._find_or_start()
        return self._path

    def _find_or_start(self) -> str:
        """Return the socket of the run's server for the same program, which the first process starts."""
        what = json.dumps([self._python, self._imports, self._variables])
        folder = Path(os.environ[RUN])
        path = folder / f"fork-{hashlib.md5(what.encode()).hexdigest()[:12]}"
        with path.with_suffix(".lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not path.exists():
                listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
                listening.bind(str(path))
                listening.listen(64)
                controller = os.pidfd_open(int((folder / "controller").read_text()))
                with path.with_suffix(".log").open("wb") as log:
                    subprocess.Popen(
                        [self._python, __file__, str(listening.fileno()), str(controller), *self._imports],
                        pass_fds=(listening.fileno(), controller), stdin=subprocess.DEVNULL, stdout=log,
                        stderr=log, cwd="/", env={**os.environ, **self._variables}, start_new_session=True,
                    )  # fmt: skip
                listening.close()
                os.close(controller)
        return str(path)


class Forked:
    """A call that runs; its exit code comes from the server, whose child it is."""

    def __init__(self, pid: int, connection: socket.socket, reader: IO[bytes]) -> None:
        self.pid = pid
        self._connection, self._reader = connection, reader
        self._code: int | None = None

    def wait(self, timeout: float | None = None) -> int:
        """Return the exit code, below zero for a signal.

        Raises:
            TimeoutError: it still runs.
        """
        if self._code is None:
            ready, _, _ = select.select([self._connection], [], [], timeout)
            if not ready:
                raise TimeoutError(f"process {self.pid} still runs")
            told = self._reader.readline()
            assert told, f"the server of process {self.pid} ended"
            self._code = int(told)
            self._reader.close()
            self._connection.close()
        return self._code

    def poll(self) -> int | None:
        """Return the exit code, or None while it runs."""
        try:
            return self.wait(0)
        except TimeoutError:
            return None

    def terminate(self) -> None:
        """Ask it to end."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGTERM)

    def kill(self) -> None:
        """End it at once and wait until it has."""
        if self._code is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGKILL)
            self.wait()


@functools.cache
def penstock_server(*more: str) -> ForkServer:
    """Return the server for `penstock`, with further modules imported."""
    beside = str(Path(sys.executable).with_name("penstock"))
    run = "import os, sys\nsys.argv[0] = 'penstock'\n"
    if set(MODEL_IMPORTS) <= set(more):  # what it tries versions with: see `quick_python.py`
        quick = str(Path(os.environ[RUN]) / "quick-programs" / "python")
        run += f"if os.path.exists({quick!r}):\n    sys.executable = {quick!r}\n"
    run += "from penstock.cli.main import main\nmain()\n"
    return ForkServer(sys.executable, (beside,), run, (*PENSTOCK_IMPORTS, *more))


HTTP_IMPORTS = (
    "penstock.http.app",
    "uvicorn.protocols.http.httptools_impl",
    "uvicorn.loops.uvloop",
)


def start_penstock(
    arguments: Sequence[str], cwd: Path, log: int, program: str | None = None, **variables: str
) -> Forked:
    """Start a `penstock`, or code in its place, that serves HTTP until it is ended; it writes to the descriptor `log`."""
    nothing = os.open(os.devnull, os.O_RDONLY)
    try:
        env = {**os.environ, **variables}
        return penstock_server(*MODEL_IMPORTS, *HTTP_IMPORTS).start(
            arguments, cwd=cwd, env=env, streams=(nothing, log, log), program=program
        )
    finally:
        os.close(nothing)


def run_penstock(cwd: Path, *arguments: str | Path, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run penstock as a user would, with further variables."""
    words = [*map(str, arguments)]
    server = penstock_server(*MODEL_IMPORTS) if MODEL_COMMANDS & set(words) else penstock_server()
    return server.run(words, cwd=cwd, env={**os.environ, **variables})


def _changes_the_start(env: Mapping[str, str]) -> bool:
    names = {name for name in (*env, *os.environ) if name.startswith(AT_START) and name not in LATER}
    return not hasattr(os, "pidfd_open") or any(env.get(name) != os.environ.get(name) for name in names)


def _umask() -> int:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("Umask:"):
            return int(line.split()[1], 8)
    return 0o022


def _text(data: bytes) -> str:
    return data.decode(errors="surrogateescape").replace("\r\n", "\n").replace("\r", "\n")


def _feed(place: int, data: bytes) -> None:
    with open(place, "wb") as stream:
        try:
            stream.write(data)
        except BrokenPipeError:
            return


def _drain(place: int, found: dict[int, bytes]) -> None:
    with open(place, "rb") as stream:
        found[place] = stream.read()


def serve(listening: socket.socket, owner: int) -> None:
    """Fork for every connection until the process of `owner`, a descriptor of it, ends."""
    running: dict[int, tuple[int, socket.socket]] = {}
    with selectors.DefaultSelector() as selector:
        selector.register(listening, selectors.EVENT_READ)
        selector.register(owner, selectors.EVENT_READ)
        while True:
            for key, _ in selector.select():
                if key.fileobj == owner:
                    return
                if key.fileobj is listening:
                    connection = listening.accept()[0]
                    pid = os.fork()
                    if pid == 0:
                        selector.close()
                        listening.close()
                        os.close(owner)
                        for place, other in running.values():
                            os.close(place)
                            other.close()
                        try:
                            _become(connection)
                        finally:
                            os._exit(1)
                    with contextlib.suppress(OSError):  # the caller is gone: it was killed meanwhile
                        connection.sendall(f"{pid}\n".encode())
                    place = os.pidfd_open(pid)
                    running[pid] = place, connection
                    selector.register(place, selectors.EVENT_READ, pid)
                else:
                    _, status = os.waitpid(key.data, 0)
                    selector.unregister(key.fd)
                    place, connection = running.pop(key.data)
                    os.close(place)
                    with contextlib.suppress(OSError):  # the caller gave up
                        connection.sendall(f"{os.waitstatus_to_exitcode(status)}\n".encode())
                    connection.close()


def _become(connection: socket.socket) -> NoReturn:
    """Be the program that was asked for, in this forked process."""
    size, streams, _, _ = socket.recv_fds(connection, 8, 4)
    data = b""
    while len(data) < int.from_bytes(size, "big"):
        part = connection.recv(1 << 20)
        if not part:
            break
        data += part
    connection.close()
    if not size or len(data) < int.from_bytes(size, "big"):
        os._exit(1)  # the caller is gone: it was killed before it said what it wants
    request = json.loads(data)
    for number, stream in enumerate(streams[:3]):
        os.dup2(stream, number)
        os.close(stream)
    os.environb.clear()
    for name, value in request["env"].items():
        os.environb[bytes.fromhex(name)] = bytes.fromhex(value)
    time.tzset()
    os.umask(request["umask"])
    os.chdir(bytes.fromhex(request["cwd"]))
    words = [os.fsdecode(bytes.fromhex(one)) for one in request["arguments"]]
    sys.argv = ["-c", *words, *(str(one) for one in streams[3:])]
    code = 1
    try:
        exec(compile(request["program"], "<call>", "exec"), {"__name__": "__main__"})
        code = 0
    except SystemExit as stop:
        if isinstance(stop.code, str):
            print(stop.code, file=sys.stderr)
        else:
            code = stop.code or 0
    except BaseException:
        import traceback

        traceback.print_exc()
    finally:
        _leave(code)


def _leave(code: int) -> NoReturn:
    threading._shutdown()  # type: ignore[attr-defined]
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except OSError:
            code = code or 1
    os._exit(code)


def main() -> None:
    """Import what is named, then serve on the descriptors that are given."""
    listening, owner = socket.socket(fileno=int(sys.argv[1])), int(sys.argv[2])
    names = sys.argv[3:]
    for name in names:
        wanted = _below(name.removesuffix(".*")) if name.endswith(".*") else [name]
        for one in wanted:
            if f"-{one}" not in names and not one.startswith("-"):
                with contextlib.suppress(ImportError):
                    importlib.import_module(one)
    gc.freeze()  # what was imported is no work for the collector of any fork
    signal.signal(signal.SIGHUP, signal.SIG_DFL)  # a run under nohup ignores it, and what it tries shall not
    serve(listening, owner)


def _below(package: str) -> list[str]:
    """Return the modules of a package that are no programs."""
    found = importlib.import_module(package)
    walked = pkgutil.walk_packages(found.__path__, f"{package}.")
    return [
        one.name for one in walked if not one.name.endswith("__main__") and ".migrations." not in one.name
    ]


if __name__ == "__main__":
    sys.path.pop(0)  # this file's directory
    main()
