"""A CI run that is killed, at whatever moment, leaves production as it was or wholly switched; run again it ends as if nothing was."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from penstock.flows.ci.continuous import UNFINISHED
from projects import Sample, rows
from stories.office import Office

DRIVER = Path(__file__).with_name("ci_kills.py")
BEFORE = 1
"""The version that is champion and served before."""


@pytest.mark.slow
def test_a_run_killed_at_each_of_its_steps_and_run_again_releases_once(
    released: Sample, tmp_path: Path
) -> None:
    office = Office.open(released, tmp_path)
    settings = office.at_work.root / "penstock.yaml"
    settings.write_text(settings.read_text().replace("deploy: rollout", "deploy: full"))
    office.data(rows(1600, seed=0))
    office.push("More flights, in a trial", branch="trial")  # trained once; the run cache has it from here on
    line = office.send("More flights")
    office.hook_git("fetch", "--quiet", str(office.bare), "main")
    office.accept()
    commit = line.split()[1]
    done = subprocess.run(
        [sys.executable, str(DRIVER), str(office.home), commit, str(office.bare)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    looks = [json.loads(one) for one in done.stdout.splitlines()]
    assert [one["code"] for one in looks] == [-signal.SIGKILL] * (len(looks) - 1) + [0], done.stderr
    assert len(looks) > 8
    is_switched = False
    for one in looks:
        new = max(one["versions"], default=0)
        production = (one["champion"], one["stable"])
        assert production in {(BEFORE, BEFORE), (new, new)}, one
        assert len(one["versions"]) <= 1, "the same commit is registered once"
        assert not (is_switched and production == (BEFORE, BEFORE)), "what was switched stays so"
        is_switched = production != (BEFORE, BEFORE)
        if one["code"] < 0 and not one["passed"]:
            assert one["steps"] == [f"failed run: {UNFINISHED.sentence}"], one
        assert not one["passed"] or is_switched
    last = looks[-1]
    assert (last["passed"], last["held"], last["trees"]) == (True, None, []), last
    assert is_switched
    assert last["steps"][-1].startswith("passed deploy: ")
    assert (last["moves"], last["revisions"]) == (looks[0]["moves"] + 1, looks[0]["revisions"] + 1)
