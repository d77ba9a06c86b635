"""A study chooses within what was given, learns, and is found again as it was left."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from penstock.base.errors import Conflict
from penstock.pipeline.overriding.drawing import draw_overrides, parse_dimension
from penstock.pipeline.overriding.study import Study, Trial

pytest.importorskip("optuna")
TEXTS = ["lr=tag(log, interval(0.0001,0.1))", "other.yaml:+n=interval(2,5)", "k=a,b,c", "fixed=x"]
SPACE = [parse_dimension(text) for text in TEXTS]


def loss(trial: Trial) -> float:
    rate, n, kind, fixed = trial.overrides
    assert 0.0001 <= rate.value <= 0.1
    assert (n.file, n.key, n.action) == ("other.yaml", "n", "add")
    assert n.value in (2, 3, 4, 5)
    assert kind.value in "abc"
    assert fixed.value == "x"
    return float((math.log10(rate.value) + 2) ** 2 + abs(n.value - 3) + (kind.value != "b"))


def test_a_study_learns_and_goes_on_where_it_was_left(tmp_path: Path) -> None:
    file = tmp_path / "st.journal"
    seen = []
    for part in range(3):
        study = Study(file, SPACE, "loss", "minimize", seed=3)
        assert study.done_count == part * 15
        for _ in range(15):
            trial = study.ask()
            seen.append(loss(trial))
            study.tell(trial.number, seen[-1])
    best = Study(file, SPACE, "loss", "minimize", seed=3).best()
    assert best is not None
    assert best.value == min(seen)
    assert best.shared_count == seen.count(best.value)
    assert set(best.values) == {"params.yaml:lr", "other.yaml:n", "params.yaml:k"}
    drawn = [loss(Trial(0, one)) for one in draw_overrides(TEXTS, 15, 3)]
    assert sum(seen[-15:]) < sum(drawn)  # chosen, not drawn
    assert len(set(seen[:15]) & set(seen[15:30])) < 15  # begun again with other draws


def test_what_a_kill_left_under_way_is_asked_again_and_failures_count(tmp_path: Path) -> None:
    file = tmp_path / "st.journal"
    study = Study(file, SPACE, "loss", "maximize", seed=0)
    assert study.best() is None
    lost = [study.ask(), study.ask()]  # and the process is gone
    again = Study(file, SPACE, "loss", "maximize", seed=0)
    assert again.done_count == 0
    assert [again.ask().overrides for _ in range(2)] == [one.overrides for one in lost]
    again.tell(2, None)
    again.tell(3, math.nan)
    assert again.done_count == 2
    assert again.best() is None
    for space, metric, direction in ((SPACE[:2], "loss", "maximize"), (SPACE, "auc", "maximize")):
        with pytest.raises(Conflict, match="begun with other values"):
            Study(file, space, metric, direction, seed=0)  # type: ignore[arg-type]
    with pytest.raises(Conflict):
        Study(file, SPACE, "loss", "minimize", seed=0)
