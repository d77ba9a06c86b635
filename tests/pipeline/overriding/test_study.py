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


def asked(study: Study) -> Trial:
    trial = study.ask()
    assert trial is not None
    return trial


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
            trial = asked(study)
            seen.append(loss(trial))
            study.tell(trial.number, seen[-1])
    best = Study(file, SPACE, "loss", "minimize", seed=3).best()
    assert best is not None
    assert best.value == min(seen)
    assert best.shared_count == seen.count(best.value)
    assert set(best.values) == {"params.yaml:lr", "other.yaml:n", "params.yaml:k"}
    drawn = [loss(Trial(0, one)) for one in draw_overrides(SPACE, 15, 3)]
    assert sum(seen[-15:]) < sum(drawn)  # chosen, not drawn
    assert len(set(seen[:15]) & set(seen[15:30])) < 15  # begun again with other draws


def test_what_a_kill_left_under_way_is_asked_again_and_failures_count(tmp_path: Path) -> None:
    file = tmp_path / "st.journal"
    study = Study(file, SPACE, "loss", "maximize", seed=0)
    assert study.best() is None
    lost = [asked(study), asked(study)]  # and the process is gone
    again = Study(file, SPACE, "loss", "maximize", seed=0)
    assert again.done_count == 0
    assert [asked(again).overrides for _ in range(2)] == [one.overrides for one in lost]
    again.tell(2, None)
    again.tell(3, math.nan)
    assert again.done_count == 2
    assert again.best() is None
    for space, metric, direction in ((SPACE[:2], "loss", "maximize"), (SPACE, "auc", "maximize")):
        with pytest.raises(Conflict, match="begun with other values"):
            Study(file, space, metric, direction, seed=0)  # type: ignore[arg-type]
    with pytest.raises(Conflict):
        Study(file, SPACE, "loss", "minimize", seed=0)


@pytest.mark.parametrize("seed", range(4))
def test_nothing_is_tried_twice_and_its_end_is_told(tmp_path: Path, seed: int) -> None:
    """Three of twelve end in another process, and one fails."""
    space = [parse_dimension(text) for text in ("n=interval(1,4)", "k=a,b,c", "fixed=x")]
    seen: set[tuple[str, ...]] = set()
    for count in (3, 9):
        study = Study(tmp_path / "st.journal", space, "loss", "minimize", seed=seed)
        assert study.done_count == len(seen)
        for _ in range(count):
            trial = asked(study)
            texts = tuple(one.text for one in trial.overrides)
            assert texts not in seen
            seen.add(texts)
            study.tell(trial.number, None if len(seen) == 2 else float(len(seen)))
    assert study.ask() is None and study.repeated_count > 0
    assert study.done_count == len(seen) == 12
    again = Study(tmp_path / "st.journal", space, "loss", "minimize", seed=seed)
    assert again.ask() is None and again.done_count == 12
    best = again.best()
    assert best is not None and best.value == 1.0


def test_of_many_numbers_none_is_said_to_be_the_last(tmp_path: Path) -> None:
    study = Study(
        tmp_path / "st.journal", [parse_dimension("x=interval(0.0,0.1)")], "loss", "minimize", seed=0
    )
    seen = set()
    for _ in range(60):
        trial = asked(study)
        seen.add(trial.overrides[0].value)
        study.tell(trial.number, trial.overrides[0].value)
    assert len(seen) == 60
