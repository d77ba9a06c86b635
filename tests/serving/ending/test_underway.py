"""What a process was about when it ended is found by the next one, once."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import httpx

from penstock.processes.cut_off import exchanges_of
from penstock.processes.serve import ServeProcess
from penstock.serving.ending.underway import CALLERS, LOADING, SHADOWS, Cut, Underway, note_end, was_cut_off
from penstock.serving.predictions.ids import parse_prediction_id

PROGRAM = """
import os, sys
from penstock.serving.ending.underway import Underway
about = Underway(sys.argv[1])
about.predicting("delay", 2, is_shadow=False)[0] += 3
about.predicting("delay", 3, is_shadow=True)[0] += 1
for number in range(1000):
    done = about.predicting(f"other-{number}", 1, is_shadow=False)
    done[0] += 1
    done[0] -= 1
    with about.loading("delay", number):
        pass
with about.loading("delay", 7), about.loading("x" * 200, 1):
    print(os.getpid(), flush=True)
    os._exit(9)
"""


def test_what_an_ended_process_was_about_is_found_by_one_other(tmp_path: Path) -> None:
    mine = Underway(str(tmp_path))
    mine.predicting("delay", 1, is_shadow=False)[0] += 1
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(tmp_path)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 9, done.stderr
    assert was_cut_off(str(tmp_path), int(done.stdout)) and not was_cut_off(str(tmp_path), 1)
    assert mine.take_over() == [], "who supervises it has not yet said how it ended"
    note_end(str(tmp_path), int(done.stdout), 9 << 8)
    [end] = mine.take_over()
    assert not end.was_killed and os.WEXITSTATUS(end.status) == 9
    assert sorted(end.cuts, key=lambda one: one.kind) == [
        Cut(kind=CALLERS, endpoint="delay", number=2, count=3),
        Cut(kind=SHADOWS, endpoint="delay", number=3, count=1),
        Cut(kind=LOADING, endpoint="delay", number=7, count=1),
    ]
    assert mine.take_over() == []
    mine.close()
    assert list(tmp_path.iterdir()) == [], "who ends in order leaves nothing behind"
    assert Underway(None).take_over() == []


def test_what_was_cut_off_is_told_as_failures_on_the_routes_that_versions_have(server: ServeProcess) -> None:
    revision = server.dataplane.repository.served["delay"].revision
    cuts = [
        Cut(kind=CALLERS, endpoint="delay", number=1, count=2),
        Cut(kind=CALLERS, endpoint="delay", number=9, count=1),
        Cut(kind=SHADOWS, endpoint="delay", number=3, count=1),
        Cut(kind=LOADING, endpoint="delay", number=1, count=1),
        Cut(kind=CALLERS, endpoint="gone", number=1, count=1),
    ]
    found = exchanges_of(cuts, {"delay": revision}, worker=5)
    assert [(one.version, one.revision, one.route, one.error) for one in found] == [
        (1, 1, "stable", "process_ended"),
        (1, 1, "stable", "process_ended"),
        (9, 0, "direct", "process_ended"),
        (3, 1, "shadow", "process_ended"),
    ]
    assert len({parse_prediction_id(one.id).counter for one in found}) == 4
    for one in found:
        server._count_cut_off(one)
    told = httpx.get(f"{server.url}/metrics").text
    series = 'penstock_prediction_errors_total{endpoint="delay",kind="process_ended",route="stable",version="1"} 2.0'
    assert series in told
    assert 'penstock_requests_total{endpoint="delay",outcome="error"} 3.0' in told
