"""What programs that are started find, and that they end when what began them is gone, however that ended."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from patience import PATIENCE_S
from penstock.base.process import Guard, inherited, with_own_programs
from penstock.base.running import is_running
from stories.live import wait_until


def test_a_command_finds_penstock_wherever_it_was_started_from_and_what_is_in_path_first(
    tmp_path: Path,
) -> None:
    own = Path(sys.executable).parent
    for path, expected in (
        ({"PATH": "/usr/bin:/bin"}, f"/usr/bin:/bin:{own}"),
        ({}, f":/usr/bin:{own}"),
        ({"PATH": ""}, f"/usr/local/bin:/usr/bin:/bin:{own}"),
    ):
        command = with_own_programs(["/bin/sh", "-c", 'echo "$PATH"; command -v penstock; echo $$; exit 3'])
        process = subprocess.Popen(command, env=path, stdout=subprocess.PIPE, text=True)
        found, penstock, number = process.communicate()[0].split()
        if not path:
            assert found.startswith("/usr")
            found = f":/usr/bin:{found.rpartition(':')[2]}"
        assert (found, penstock) == (expected, str(own / "penstock"))
        assert int(number) == process.pid  # it became the command: who ends it ends the command
        assert process.returncode == 3
    first = tmp_path / "penstock"
    first.write_text("#!/bin/sh\n")
    first.chmod(0o755)
    told = subprocess.run(
        with_own_programs(["/bin/sh", "-c", "command -v penstock"]),
        env={"PATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert told.stdout.strip() == str(first)


def test_words_of_a_command_stay_words() -> None:
    words = ["a b", "$HOME", "'", '"', ""]
    told = subprocess.run(
        with_own_programs(["/usr/bin/printf", "<%s>", *words]), capture_output=True, text=True, check=True
    )
    assert told.stdout == "".join(f"<{one}>" for one in words)


def test_what_a_program_inherits_is_all_but_what_is_kept_from_it(monkeypatch: pytest.MonkeyPatch) -> None:
    own = str(Path(sys.executable).parent)
    for name, text in {"SECRET": "s", "A": "other", "BASH_FUNC_f%%": "() { :; }", "PATH": ""}.items():
        monkeypatch.setenv(name, text)
    given = {"A": "1 2", "B_1": "$x'\"", "odd.name": "3"}
    found = inherited(given, without=("SECRET",))
    assert {name: found.get(name) for name in (*given, "SECRET")} == {**given, "SECRET": None}
    assert found["BASH_FUNC_f%%"] == "() { :; }" and found["HOME"] == os.environ["HOME"]
    assert found["PATH"] == f"/usr/local/bin:/usr/bin:/bin:{own}"
    monkeypatch.setenv("PATH", "/x")
    assert inherited({})["PATH"] == f"/x:{own}"
    assert inherited({"PATH": "/y"})["PATH"] == "/y"


BEGINS = """\
import os, signal, subprocess, sys
from penstock.base.process import GUARD, guarded
def begin(words):
    return subprocess.Popen(words, start_new_session=True, stdout=subprocess.DEVNULL)
kept, let_go = begin(["sh", "-c", "trap '' TERM; sleep 100 & wait"]), begin(["sleep", "100"])
GUARD.begin(kept.pid)
with guarded(let_go.pid):
    pass
if os.fork() == 0:  # a fork has a guard of its own, and holds nobody's
    own = begin(["sleep", "100"])
    GUARD.begin(own.pid)
    print(own.pid, flush=True)
    os._exit(0)
os.wait()
print(kept.pid, let_go.pid, flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_what_is_guarded_ends_with_a_killed_process_and_nothing_else() -> None:
    done = subprocess.run([sys.executable, "-c", BEGINS], stdout=subprocess.PIPE, text=True, check=False)
    assert done.returncode == -signal.SIGKILL
    own, kept, let_go = map(int, done.stdout.split())
    try:
        wait_until(lambda: not is_running(own))
        wait_until(lambda: not is_running(kept))  # it ignores SIGTERM: forced
        assert is_running(let_go)
    finally:
        os.kill(let_go, signal.SIGKILL)


def test_a_guard_that_somebody_ended_is_begun_anew_with_what_it_guarded() -> None:
    guard = Guard()
    with subprocess.Popen(["sleep", "100"], start_new_session=True) as one:
        guard.begin(one.pid)
        first = guard.pid
        assert first is not None
        os.kill(first, signal.SIGKILL)
        wait_until(lambda: not is_running(first))
        guard.prepare()
        second = guard.pid
        assert second is not None and second != first
        guard.forget()  # as a fork does: the pipe is closed
        assert one.wait(timeout=PATIENCE_S) == -signal.SIGTERM
