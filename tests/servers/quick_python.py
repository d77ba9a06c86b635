"""Programs to be called as `python SCRIPT…` and `penstock …`: each runs in a fork of a process that has imported what it needs.

So does the process in which a version is tried before it is served (`penstock.serving.faults`); `serving/test_faults.py` tries
versions in an interpreter of their own.

Stages of sample pipelines train small models: three seconds of imports for a tenth of work. The fork has the caller's
directory, variables and streams; it ends when the caller does. Other calls (`-c`, other `-m`), calls with other variables of the
interpreter's start, and calls after the run's end are those of the interpreter itself.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import sharing
from penstock.serving import faults
from servers.forking import AT_START, LATER, MODEL_IMPORTS, penstock_server

FOLLOW = """
import os, select, signal, sys, threading
def follow(place):
    select.select([place], [], [])
    os.kill(os.getpid(), signal.SIGKILL)
threading.Thread(target=follow, args=(os.pidfd_open(int(sys.argv[1])),), daemon=True).start()
"""
real_command = faults._command
SCRIPT = f"""
{FOLLOW}
import runpy
sys.argv = sys.argv[2:]
sys.path.insert(0, os.path.dirname(os.path.abspath(sys.argv[0])))
runpy.run_path(sys.argv[0], run_name="__main__")
"""
COMMAND = f"""
{FOLLOW}
sys.argv = ["penstock", *sys.argv[2:]]
from penstock.cli.main import main
main()
"""
TRIAL = f"""
{FOLLOW}
sys.argv = ["penstock.serving.faults", sys.argv[2]]
from penstock.serving.faults import main
main()
"""
MODULE = ["-m", "penstock.cli"]
TRIED = ["-P", "-m", "penstock.serving.faults"]
CALLER = """\
#!{python} -IS
import json, os, signal, socket, sys
REAL, SOCKET, STARTS = {real!r}, {path!r}, {starts!r}
words, program, streams = sys.argv[1:], {program!r}, [0, 1, 2]
starts = {{name: value for name, value in os.environ.items() if name.startswith({at_start!r}) and name not in {later!r}}}
try:
    if {is_python} and words[:2] == {module!r}:
        words, program = words[2:], "import sys; sys.executable = %r\\n" % sys.argv[0] + {command!r}
    elif {is_python} and words[:3] == {tried!r}:
        streams.append(int(words[3]))  # its number there comes after all words
        words, program = [], {trial!r}
    elif not words or {is_python} and words[0].startswith("-"):
        raise OSError
    if starts != STARTS:
        raise OSError
    connection = socket.socket(socket.AF_UNIX)
    connection.connect(SOCKET)
except OSError:
    os.execv(REAL, [REAL, *sys.argv[1:]])
hexed = lambda text: os.fsencode(text).hex()
umask = os.umask(0o22)
os.umask(umask)
data = json.dumps({{
    "program": program, "arguments": [hexed(one) for one in (str(os.getpid()), *words)], "cwd": hexed(os.getcwd()),
    "env": {{hexed(name): hexed(value) for name, value in os.environ.items()}}, "umask": umask,
}}).encode()
socket.send_fds(connection, [len(data).to_bytes(8, "big")], streams)
connection.sendall(data)
told = connection.makefile("rb")
pid = int(told.readline())
def forward(number, _):
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        pass
for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
    if signal.getsignal(number) != signal.SIG_IGN:
        signal.signal(number, forward)
code = int(told.readline())
if code < 0:
    signal.signal(-code, signal.SIG_DFL) if -code != signal.SIGKILL else None
    os.kill(os.getpid(), -code)
sys.exit(code)
"""


def quick_programs() -> Path:
    """Return the folder of both programs, which the first process of the run makes."""

    def make(place: Path) -> None:
        place.mkdir()
        starts = {
            name: value
            for name, value in os.environ.items()
            if name.startswith(AT_START) and name not in LATER
        }
        python = Path(sys.executable)
        for real, program in ((python, SCRIPT), (python.with_name("penstock"), COMMAND)):
            path = place / ("python" if real is python else real.name)
            path.write_text(
                CALLER.format(
                    python=python,
                    real=str(real),
                    is_python=real is python,
                    path=penstock_server(*MODEL_IMPORTS).address(),
                    starts=starts,
                    at_start=AT_START,
                    later=LATER,
                    program=program,
                    module=MODULE,
                    tried=TRIED,
                    trial=TRIAL,
                    command=COMMAND,
                )
            )
            path.chmod(0o755)

    return sharing.made("quick-programs", make)


def quick_python() -> str:
    """Return the path of the `python` among them."""
    return str(quick_programs() / "python")


def use_quick_trials() -> None:
    """Let this process try versions in forks."""

    def command(tells: int) -> list[str]:
        return [quick_python(), *real_command(tells)[1:]]

    faults._command = command
