"""A signal that comes in the middle of recording: the run is KILLED, what was logged is kept, nothing hangs."""

from __future__ import annotations

import signal

import pytest

from client.scripts import forked, found
from penstock.project.project import Project

WHILE_A_LOCK_IS_HELD = """
import os, penstock, signal
from penstock.client import buffer

class Struck(list):
    def extend(self, points):
        super().extend(points)
        if points and points[0].step == 5:
            os.kill(os.getpid(), {number})

class Batch(buffer.Batch):
    def __post_init__(self):
        self.metrics = Struck(self.metrics)

buffer.Batch = Batch
{start}
step = 0
while True:
    {log}("m", step, step=step)
    step += 1
"""
WHILE_IT_ENDS = """
import os, penstock, signal
from penstock.client.embedded import StoreSink
original = StoreSink.finish
def finish(self, *arguments):
    os.kill(os.getpid(), signal.SIGTERM)
    os.kill(os.getpid(), signal.SIGTERM)
    original(self, *arguments)
run = penstock.start_run(system_metrics=False)
penstock.log_metric("before", 1)
run.flush()
StoreSink.finish = finish
penstock.log_metric("m", 1)
run.end()
raise AssertionError("goes on")
"""


@pytest.mark.parametrize(
    ("start", "log", "number"),
    [
        ("run = penstock.start_run(system_metrics=False)", "run.log_metric", signal.SIGTERM),
        ("", "penstock.log_metric", signal.SIGHUP),
    ],
)
def test_a_signal_while_a_point_is_added(
    project: Project, start: str, log: str, number: signal.Signals
) -> None:
    done = forked(project.root, WHILE_A_LOCK_IS_HELD.format(number=int(number), start=start, log=log))
    assert (done.returncode, done.stderr) == (-number, "")
    (run,) = found(project)
    assert run.status == "KILLED"
    assert run.metrics["m"] >= 5


def test_two_signals_while_the_run_ends(project: Project) -> None:
    done = forked(project.root, WHILE_IT_ENDS)
    assert (done.returncode, done.stderr) == (-signal.SIGTERM, "")
    (run,) = found(project)
    assert (run.status, run.metrics) == ("FINISHED", {"before": 1.0, "m": 1.0})
