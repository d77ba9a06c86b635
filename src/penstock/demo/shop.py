"""The demo's surroundings: its directory, the commands it runs as a user would, its servers."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import sysconfig
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from penstock.base.errors import Conflict, NotFound, Refused, Unavailable
from penstock.base.web.calls import Reply, WebConnection

READY_S = 300.0
POLL_S = 0.25
ANSWER_S = 120.0
"""So long its servers may take to answer: a limit, not a pause, on a machine that has other work."""
_SERVER = re.compile(r"^tracking, pages and controller on http://127\.0\.0\.1:(\d+);", re.MULTILINE)
_SERVE = re.compile(r"^serving on http://127\.0\.0\.1:(\d+) ", re.MULTILINE)
"""What `penstock server` and `penstock serve` say of where they listen."""


class Shop:
    """A directory with the demo's repository, remote and deliveries, and the processes started in it.

    `environment` is what commands run in; this interpreter's programs come first in its PATH.
    """

    def __init__(self, folder: Path, environment: Mapping[str, str]) -> None:
        self.folder = folder
        self.repository = folder / "flights"
        self.remote = folder / "remote"
        scripts = sysconfig.get_path("scripts")
        self.environment = {
            # a training beside live traffic: threads that wait for others leave their processor to the servers
            "OMP_WAIT_POLICY": "passive",
            **environment,
            "PATH": os.pathsep.join(
                [scripts, str(Path(sys.executable).parent), environment.get("PATH", os.defpath)]
            ),
            "GIT_CONFIG_NOSYSTEM": "1",
        }
        self._up: subprocess.Popen[bytes] | None = None
        self.server_port = 0
        self.serve_port = 0

    def prepare(self, example: Path, *, force: bool) -> None:
        """Make the directory from the example folder.

        Raises:
            Conflict: the directory exists and is not empty, and `force` was not given.
        """
        if self.folder.exists() and any(self.folder.iterdir()):
            if not (force and (self.folder / ".penstock-demo").exists()):
                hint = "name another directory" + (
                    ", or use --force" if (self.folder / ".penstock-demo").exists() else ""
                )
                raise Conflict(
                    f"{self.folder} exists and is not empty", code="demo.directory_exists", hint=hint
                )
            shutil.rmtree(self.folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        (self.folder / ".penstock-demo").touch()
        ignore = shutil.ignore_patterns("__pycache__", ".pytest_cache", "*.pyc")
        shutil.copytree(example, self.repository, ignore=ignore)
        self.git("init", "--quiet", "--initial-branch", "main")
        self.git("config", "user.name", "Ada")
        self.git("config", "user.email", "ada@example.org")

    def git(self, *arguments: str) -> str:
        """Run git in the repository."""
        return self._run(["git", *arguments], {0})

    def commit(self, message: str) -> str:
        """Commit everything and return the commit's id."""
        self.git("add", "--all")
        self.git("commit", "--quiet", "--message", message)
        return self.git("rev-parse", "HEAD").strip()

    def penstock(self, *arguments: str, codes: frozenset[int] = frozenset({0})) -> Any:
        """Run a penstock command with `--json` and return its document."""
        output = self._run([sys.executable, "-m", "penstock.cli", "--json", *arguments], set(codes))
        return json.loads(output)

    def _run(self, command: list[str], codes: set[int]) -> str:
        done = subprocess.run(
            command, cwd=self.repository, env=self.environment, capture_output=True, text=True, check=False
        )
        if done.returncode not in codes:
            said = (done.stdout.strip() + "\n" + done.stderr.strip()).strip().splitlines()
            raise Refused(
                f"`{' '.join(command[-4:])}` ended with {done.returncode}: {' | '.join(said[-4:])}",
                code="demo.command_failed",
                hint=f"look at {self.repository}",
            )
        return done.stdout

    def start(self) -> None:
        """Run `penstock up` on ports that the system gives, which its log tells, and wait until both servers answer.

        Raises:
            Unavailable: they did not within `READY_S`.
        """
        log = self._log.open("ab")
        begin = log.tell()
        self._up = subprocess.Popen(
            [sys.executable, "-m", "penstock.cli", "up", "--port", "0", "--serve-port", "0"],
            cwd=self.repository,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        log.close()
        self.wait(lambda: self._finds_ports(begin), "the servers listen", READY_S)
        self.wait(
            lambda: (
                self._answers(self.server_port, "/health")
                and self._answers(self.serve_port, "/v2/health/live")
            ),
            "the servers answer",
            READY_S,
        )

    @property
    def _log(self) -> Path:
        """What the servers say."""
        return self.folder / "up.log"

    def _finds_ports(self, begin: int) -> bool:
        """Read from the servers' log, from a place on, where they listen; whether both said so."""
        said = self._log.read_bytes()[begin:].decode(errors="replace")
        server, serve = (one.search(said) for one in (_SERVER, _SERVE))
        if server is None or serve is None:
            return False
        self.server_port, self.serve_port = int(server[1]), int(serve[1])
        return True

    def stop(self) -> None:
        """End the servers, giving them time to finish."""
        if self._up is not None and self._up.poll() is None:
            self._up.send_signal(signal.SIGTERM)
            try:
                self._up.wait(READY_S)
            except subprocess.TimeoutExpired:
                os.killpg(self._up.pid, signal.SIGKILL)
                self._up.wait()
        self._up = None

    def wait(self, condition: Callable[[], bool], what: str, timeout_s: float) -> None:
        """Wait until a condition holds.

        Raises:
            Unavailable: it did not within `timeout_s`, or the servers ended.
        """
        deadline = time.monotonic() + timeout_s
        while not condition():
            if self._up is not None and self._up.poll() is not None:
                problem = "the servers ended"
            elif time.monotonic() > deadline:
                problem = f"{timeout_s:g} s passed"
            else:
                time.sleep(POLL_S)
                continue
            raise Unavailable(
                f"{problem} before {what}", code="demo.waited", hint=f"look at {self.folder / 'up.log'}"
            )

    def ask(self, path: str) -> Any:
        """Return a document of the server's API.

        Raises:
            Unavailable: it does not answer, or refuses.
        """
        try:
            reply = self._get(self.server_port, path, timeout_s=ANSWER_S)
        except Unavailable as error:
            raise Unavailable(
                f"the demo's own server did not answer GET {path}: {error.message}",
                code="demo.no_answer",
                hint=f"look at {self.folder / 'up.log'}",
            ) from error
        if reply.has_failed:
            raise Unavailable(f"{path}: {reply.status}", code="demo.refused", hint=f"look at {self.folder}")
        return reply.json()

    def _answers(self, port: int, path: str) -> bool:
        try:
            return self._get(port, path, timeout_s=2).status == 200
        except Unavailable:
            return False

    def _get(self, port: int, path: str, *, timeout_s: float) -> Reply:
        connection = WebConnection(f"http://127.0.0.1:{port}", timeout_s=timeout_s)
        try:
            return connection.request("GET", path)
        finally:
            connection.close()


def find_example() -> Path:
    """Return the folder the demo's repository is made from: of the checkout, or as installed.

    Raises:
        NotFound: neither is there.
    """
    relative = Path("examples") / "flights"
    candidates = (Path(__file__).parents[3] / relative, Path(sys.prefix) / "share" / "penstock" / relative)
    for folder in candidates:
        if (folder / "dvc.yaml").is_file():
            return folder
    raise NotFound(
        "the example folder examples/flights was not found", code="demo.no_example", hint="reinstall penstock"
    )
