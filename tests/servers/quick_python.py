"""A program to be called as `python SCRIPT…`: the script runs in a fork of a process that has imported what scripts need.

Stages of sample pipelines train small models: three seconds of imports for a tenth of work. The fork has the caller's
directory, variables and streams; it ends when the caller does. Other calls (`-c`, `-m`), calls with other variables of the
interpreter's start, and calls after the run's end are those of the interpreter itself.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import sharing
from servers.forking import AT_START, penstock_server

PROGRAM = """
import os, runpy, select, signal, sys, threading
def follow(place):
    select.select([place], [], [])
    os.kill(os.getpid(), signal.SIGTERM)
threading.Thread(target=follow, args=(os.pidfd_open(int(sys.argv[1])),), daemon=True).start()
sys.argv = sys.argv[2:]
sys.path.insert(0, os.path.dirname(os.path.abspath(sys.argv[0])))
runpy.run_path(sys.argv[0], run_name="__main__")
"""
CALLER = """\
#!{python} -IS
import json, os, socket, sys
PYTHON, SOCKET, STARTS, PROGRAM = {python!r}, {path!r}, {starts!r}, {program!r}
words = sys.argv[1:]
starts = {{name: value for name, value in os.environ.items() if name.startswith({at_start!r})}}
try:
    if not words or words[0].startswith("-") or starts != STARTS:
        raise OSError
    connection = socket.socket(socket.AF_UNIX)
    connection.connect(SOCKET)
except OSError:
    os.execv(PYTHON, [PYTHON, *words])
hexed = lambda text: os.fsencode(text).hex()
umask = os.umask(0o22)
os.umask(umask)
data = json.dumps({{
    "program": PROGRAM, "arguments": [hexed(one) for one in (str(os.getpid()), *words)], "cwd": hexed(os.getcwd()),
    "env": {{hexed(name): hexed(value) for name, value in os.environ.items()}}, "umask": umask,
}}).encode()
socket.send_fds(connection, [len(data).to_bytes(8, "big")], [0, 1, 2])
connection.sendall(data)
told = connection.makefile("rb").read().split()
code = int(told[1])
if code < 0:
    os.kill(os.getpid(), -code)
sys.exit(code)
"""


def quick_python() -> str:
    """Return the path of the program, which the first process of the run makes."""

    def make(place: Path) -> None:
        place.mkdir()
        text = CALLER.format(
            python=sys.executable,
            path=penstock_server().address(),
            starts={name: value for name, value in os.environ.items() if name.startswith(AT_START)},
            at_start=AT_START,
            program=PROGRAM,
        )
        (place / "python").write_text(text)
        (place / "python").chmod(0o755)

    return str(sharing.made("quick-python", make) / "python")
