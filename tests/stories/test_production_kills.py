"""Killed controllers and serve processes leave whole decisions; `make bench-kills` does this a hundred times."""

from __future__ import annotations

from pathlib import Path

import pytest

from servers.receiver import run_receiver
from stories.production_kills import Production


@pytest.mark.slow
def test_every_decision_is_there_once_and_whole_whatever_is_killed(tmp_path: Path) -> None:
    with run_receiver() as receiver:
        outcome = Production(tmp_path / "sample", receiver, seed=3).run(kills=6)
    assert outcome.faults == []
    assert outcome.kills.total() == 6
    assert outcome.counts["revisions_rolled_back"] and outcome.counts["revisions_promoted"]
