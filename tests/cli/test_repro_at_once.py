"""`repro -j` as a user sees it: whose line is whose, and nothing that is left behind by an interruption."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

from patience import PATIENCE_S
from stories.live import is_running, wait_until

from .conftest import IDENTITY, Desk

BOTH = "stages:\n" + "".join(
    f"  {name}: {{cmd: 'echo $$ > {name}.pid; echo hello; sleep 100', deps: [in], outs: [{name}.out]}}\n"
    for name in "ab"
)


def hear_hangups() -> None:
    """Undo what nohup around a test run does to all that it starts."""
    signal.signal(signal.SIGHUP, signal.SIG_DFL)


def test_an_interruption_or_a_signal_ends_every_stage(desk: Desk) -> None:
    desk.put({"in": "1", "dvc.yaml": BOTH})
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        process = subprocess.Popen(
            [sys.executable, "-m", "penstock.cli", "repro", "-j", "2"],
            cwd=desk.root,
            env={**os.environ, **IDENTITY, "HOME": str(desk.home)},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
            preexec_fn=hear_hangups,  # noqa: PLW1509 - before any thread
        )
        files = [desk.root / f"{name}.pid" for name in "ab"]
        wait_until(lambda files=files: all(one.exists() and one.read_text() for one in files))  # type: ignore[misc]
        pids = [int(one.read_text()) for one in files]
        process.send_signal(number)
        assert process.wait(timeout=PATIENCE_S) == 130
        assert not any(map(is_running, pids))
        assert (desk.root / ".dvc/tmp/rwlock").read_text() == "{}"
        for one in files:
            one.unlink()
    assert {one["status"] for one in desk.json("run", "list")} == {"KILLED"}


def test_lines_name_their_stage_and_a_failure_its_log(desk: Desk) -> None:
    failing = BOTH.replace("sleep 100", "exit 3").replace(
        "outs: [b.out]", "outs: [b.out], meta: {penstock: {retries: 1}}"
    )
    desk.put({"in": "1", "dvc.yaml": failing})
    done = desk.run("repro", "-j", "2", "-k", code=1)
    assert done.stderr.count("a | hello") == 1 and done.stderr.count("b | hello") == 2
    assert "trying again" in done.stderr
    assert ".dvc/tmp/penstock-logs/" in done.stderr and "penstock repro -s " in done.stderr
    assert (desk.root / ".dvc/tmp/penstock-logs/a.log").read_text() == "hello\n"
    assert "git" not in done.stderr
    assert desk.error("repro", "-i", "-j", "2", code=2)
    assert "there is no executor called 'x'" in desk.error("repro", "--executor", "x")
