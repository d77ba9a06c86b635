"""Pages of the documentation as something that can be done: their commands, files and outputs.

A block ```` ```console ```` holds commands after `$ ` and what they print. A block of another language after a
line that ends with `` `NAME`: `` is the file NAME, or what is added to it where the line begins with "Add". In
outputs `…` stands for anything, and lines may be left out.
"""

from __future__ import annotations

import contextlib
import io
import os
import re
import shlex
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from queue import Empty, Queue

import click
import yaml

from patience import PATIENCE_S
from penstock.cli.main import cli, run
from servers.forking import Forked, start_penstock
from servers.quick_python import quick_programs

FENCE = re.compile(r"^( *)```(\w*)\n(.*?)^ *```$", re.MULTILINE | re.DOTALL)
FILE = re.compile(r"`([\w./-]+)`:\s*$")
SHELL = re.compile(r"[|&;<>$`*(){}]|^\s*\w+=")
URL = re.compile(r"http://127\.0\.0\.1:\d+")
LOOKING = ("penstock monitor status", "penstock run list", "curl ")


@dataclass(frozen=True)
class Step:
    """A command with the lines that the page shows after it, or a file to write."""

    command: str = ""
    shown: tuple[str, ...] = ()
    path: str = ""
    text: str = ""
    is_added: bool = False


def steps_of(page: str) -> Iterator[Step]:
    """Yield what a page tells its reader to do, in order."""
    for found in FENCE.finditer(page):
        language, text = found[2], found[3]
        if language == "console":
            for part in re.split(r"^\$ ", text, flags=re.MULTILINE)[1:]:
                command, _, shown = part.replace("\\\n", "").partition("\n")
                yield Step(command.strip(), tuple(line for line in shown.splitlines() if line.strip()))
            continue
        before = page[: found.start()].rstrip().rpartition("\n")[2]
        if (named := FILE.search(before)) is not None:
            yield Step(path=named[1], text=text, is_added="Add" in before)


def commands_of(page: str) -> Iterator[str]:
    """Yield every line of a page's code that calls penstock, without prompt, comment and what a shell does."""
    for line in page.splitlines():
        code = (
            line.removeprefix("$ ") if line.startswith("$ ") else line[4:] if line.startswith("    ") else ""
        )
        for part in re.split(r"&&|\|\||[|;]", re.sub(r"\s#\s.*", "", code)):
            words = re.split(r"[<>]|&\s*$", part)[0].strip()
            if re.match(r"(?:\.venv/bin/)?penstock\s", words):
                yield words


class Unreadable(Exception):
    """A command that the command line does not take."""


def check_command(line: str) -> None:
    """Read a line as the command line does, without running it; a file it names need not exist.

    Raises:
        Unreadable: there is no such command or option.
    """
    words = shlex.split(line)[1:]
    try:
        context = cli.make_context("penstock", words)
        command: click.Command = cli
        while isinstance(command, click.Group):
            rest = [*context._protected_args, *context.args]
            if not rest:
                return
            name, found, rest = command.resolve_command(context, rest)
            assert found is not None
            command, context = found, found.make_context(name, rest, parent=context)
    except click.exceptions.Exit:
        return
    except click.BadParameter as error:
        if "does not exist" not in error.message and "No such file" not in error.message:
            raise Unreadable(f"{line}: {error.format_message()}") from None
    except click.UsageError as error:
        raise Unreadable(f"{line}: {error.format_message()}") from None


@dataclass
class Reader:
    """Somebody who does what a page says, in a directory, with variables of his own.

    `replaced` are texts of the page that mean something else here, such as the address of a server.
    """

    directory: Path
    variables: dict[str, str]
    replaced: dict[str, str] = field(default_factory=dict)
    servers: list[Forked] = field(default_factory=list)

    def follow(self, page: str) -> None:
        """Do every step; a command that fails, or prints something else, fails the test."""
        for step in steps_of(page):
            if step.path:
                self._write(step)
            elif step.command.endswith("&"):
                self._start(self._meant(step.command).removesuffix("&").strip())
            else:
                self._do(step)

    def _do(self, step: Step) -> None:
        """Run a command; one that looks is repeated until it shows what was written meanwhile."""
        deadline, pause_s = time.monotonic() + PATIENCE_S, 0.1
        while True:
            code, printed = self._run(self._meant(step.command))
            is_told = any(line.startswith("error:") or "refused" in line for line in step.shown)
            try:
                assert code == 0 or is_told, f"{step.command} ended with {code}:\n{printed}"
                check_printed(step.command, tuple(self._meant(line) for line in step.shown), printed)
            except AssertionError:
                if not step.command.startswith(LOOKING) or time.monotonic() > deadline:
                    raise
                time.sleep(pause_s)
                pause_s = min(pause_s * 1.5, 1.0)  # a look costs more than what it waits for
            else:
                return

    def close(self) -> None:
        """End the servers that were started."""
        for server in self.servers:
            server.terminate()
        for server in self.servers:
            server.wait(PATIENCE_S)

    def _meant(self, text: str) -> str:
        for shown, real in self.replaced.items():
            text = text.replace(shown, real)
        return text

    def _write(self, step: Step) -> None:
        path = self.directory / step.path
        path.parent.mkdir(parents=True, exist_ok=True)
        text = self._meant(step.text)
        if step.is_added and path.suffix == ".yaml":
            text = yaml.safe_dump(yaml.safe_load(path.read_text()) | yaml.safe_load(text), sort_keys=False)
        elif step.is_added:
            text = path.read_text() + text
        path.unlink(missing_ok=True)
        path.write_text(text)

    def _run(self, command: str) -> tuple[int, str]:
        if command.startswith("cd "):
            self.directory = (self.directory / shlex.split(command)[1]).resolve()
            return 0, ""
        if command.startswith("export "):
            name, _, value = command.removeprefix("export ").partition("=")
            self.variables[name] = value.strip("'\"")
            return 0, ""
        if command.startswith("penstock ") and not SHELL.search(command):
            return self._penstock(shlex.split(command)[1:])
        done = subprocess.run(
            ["bash", "-c", f"set -euo pipefail; {command}"],
            cwd=self.directory,
            env=self._environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        return done.returncode, done.stdout

    def _penstock(self, words: list[str]) -> tuple[int, str]:
        """Run a command in this process, which costs no start."""
        printed = io.StringIO()
        with (
            contextlib.chdir(self.directory),
            changed_environment(self._environment()),
            contextlib.redirect_stdout(printed),
            contextlib.redirect_stderr(printed),
        ):
            code = run(words)
        return code, printed.getvalue()

    def _environment(self) -> dict[str, str]:
        """Return the variables of a command; `python` and `penstock` are those whose start costs nothing."""
        programs = str(quick_programs()), str(Path(sys.executable).parent)
        path = os.pathsep.join([*programs, os.environ["PATH"]])
        return {**os.environ, "PATH": path, **self.variables}

    def _start(self, command: str) -> None:
        """Start a server on a free port, wait until it says where, and take that for the page's address."""
        words = shlex.split(command)
        expected = {"server": ("5000",), "serve": ("8080",), "up": ("5000", "8080")}[words[1]]
        ports = ["--port", "0", "--serve-port", "0"][: 2 * len(expected)]
        reading, writing = os.pipe()
        self.servers.append(
            start_penstock([*words[1:], *ports], self.directory, writing, **self._environment())
        )
        os.close(writing)
        lines: Queue[str] = Queue()

        def read() -> None:
            with open(reading) as told:
                for line in told:
                    lines.put(line)

        threading.Thread(target=read, daemon=True).start()
        said = ""
        while not all(f"http://127.0.0.1:{port}" in self.replaced for port in expected):
            try:
                line = lines.get(timeout=PATIENCE_S)
            except Empty:
                raise AssertionError(f"{command} did not say where it listens:\n{said}") from None
            said += line
            if (url := URL.search(line)) is not None:
                port = "8080" if "serving on" in line else "5000"
                self.replaced[f"http://127.0.0.1:{port}"] = url[0]


def check_printed(command: str, shown: tuple[str, ...], printed: str) -> None:
    """Check that the lines of a page are among what was printed, in their order; `…` stands for anything."""
    rest = iter(printed.splitlines())
    for line in shown:
        if line.strip() == "…":
            continue
        pattern = re.compile(r"\s+".join(re.escape(word).replace("…", ".*") for word in line.split()))
        assert any(pattern.fullmatch(one.strip()) for one in rest), (
            f"{command}: no line is\n{line}\nin\n{printed}"
        )


@contextlib.contextmanager
def changed_environment(variables: Mapping[str, str]) -> Iterator[None]:
    """Run in another environment, and put the old one back."""
    before = dict(os.environ)
    os.environ.clear()
    os.environ.update(variables)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)
