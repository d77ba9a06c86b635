"""A pipeline runs what changed and nothing else, and a killed run loses only the stage it was in."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from patience import PATIENCE_S
from penstock.base.errors import Invalid, NotFound, Refused
from penstock.flows.pipelines.execution import reproduce_and_record
from penstock.pipeline.lockfile import load_lock
from penstock.pipeline.running.reproducing import ReproduceOptions
from projects import Sample, rows
from stories.live import is_running, wait_until

from .conftest import Line


def actions(sample: Sample, **options: object) -> dict[str, str]:
    done = reproduce_and_record(sample.project, ReproduceOptions(**options))  # type: ignore[arg-type]
    return {item.stage: item.action for item in done.results}


def test_a_second_reproduction_has_nothing_to_do(sample: Sample) -> None:
    assert actions(sample) == {"split": "ran", "train": "ran"}
    assert actions(sample) == {"split": "up to date", "train": "up to date"}


def test_what_changed_runs_and_what_depends_on_it(trained: Sample) -> None:
    trained.write("params.yaml", "features: [hour, wind, carrier]\nstrength: 0.5\n")
    assert actions(trained) == {"split": "up to date", "train": "ran"}
    trained.write("data/raw.csv", rows(1200, seed=5))
    planned = {"data/raw.csv.dvc": "would record", "split": "would run", "train": "would run"}
    assert actions(trained, dry=True) == planned
    assert actions(trained) == {"data/raw.csv.dvc": "recorded", "split": "ran", "train": "ran"}


def test_an_unrelated_parameter_does_not_run_anything(trained: Sample) -> None:
    trained.write("params.yaml", "features: [hour, wind, carrier]\nstrength: 1.0\nother: 3\n")
    assert set(actions(trained).values()) == {"up to date"}


def test_equal_output_stops_the_chain(trained: Sample) -> None:
    trained.write("split.py", (trained.root / "split.py").read_text() + "# a remark\n")
    assert actions(trained) == {"split": "ran", "train": "up to date"}


def test_a_deleted_output_comes_from_the_cache(trained: Sample) -> None:
    (trained.root / "data/train.csv").unlink()
    assert actions(trained) == {"split": "checked out", "train": "up to date"}
    assert (trained.root / "data/train.csv").exists()


def test_a_changed_output_is_made_again(trained: Sample) -> None:
    trained.write("data/train.csv", "spoilt\n")
    assert actions(trained)["split"] == "restored"
    assert (trained.root / "data/train.csv").read_text().startswith("hour,")
    trained.write("data/train.csv", "spoilt\n")
    assert actions(trained, run_cache=False)["split"] == "ran"


def test_a_failing_stage_says_what_it_printed_and_keeps_what_came_before(sample: Sample) -> None:
    sample.write("train.py", "print('on my way')\nraise SystemExit(3)\n")
    with pytest.raises(Refused, match="exited with 3") as caught:
        actions(sample)
    assert caught.value.fields["output"] == ["on my way"]
    assert set(load_lock(sample.root)) == {"split"}


def test_a_stage_that_makes_no_output_is_named(sample: Sample) -> None:
    sample.write("split.py", "pass\n")
    with pytest.raises(Invalid, match=r"stage `split`: its command made no data/test.csv"):
        actions(sample)


def test_a_missing_dependency_is_named_with_the_way_out(sample: Sample) -> None:
    (sample.root / "data/raw.csv").unlink()
    with pytest.raises(
        NotFound, match=r"data/raw\.csv, which data/raw\.csv\.dvc tracks, is missing"
    ) as caught:
        actions(sample)
    assert "penstock pull" in (caught.value.hint or "")
    (sample.root / "data/raw.csv.dvc").unlink()
    with pytest.raises(NotFound, match=r"`split` depends on data/raw\.csv"):
        actions(sample)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (("stages:", "stagess:"), "unknown key `stagess`"),
        (("  split:\n    cmd:", "  split:\n    cmdd:"), "unknown key `cmdd` in `stages.split`"),
        (("      - data/raw.csv", "      - data/train.csv"), "in a circle: split -> split"),
        (("      - models/late\n", "      - data\n"), "inside data, which `train` makes"),
    ],
)
def test_a_wrong_definition_is_explained(sample: Sample, change: tuple[str, str], said: str) -> None:
    text = (sample.root / "dvc.yaml").read_text()
    assert change[0] in text
    sample.write("dvc.yaml", text.replace(*change, 1))
    with pytest.raises(Invalid) as caught:
        actions(sample)
    assert said in caught.value.message


def test_a_killed_reproduction_is_taken_up_again_and_its_children_end(sample: Sample) -> None:
    marker = sample.root / "train.pid"
    sample.write(
        "train.py",
        f"import os, time, pathlib\npathlib.Path({str(marker)!r}).write_text(str(os.getpid()))\ntime.sleep(60)\n",
    )
    process = subprocess.Popen(
        [sys.executable, "-m", "penstock.cli", "repro"],
        cwd=sample.root,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    wait_until(lambda: marker.exists() and marker.read_text() != "")
    process.send_signal(signal.SIGINT)
    assert process.wait(PATIENCE_S) == 130
    child = int(marker.read_text())
    wait_until(lambda: not is_running(child))
    assert set(load_lock(sample.root)) == {"split"}
    sample.write(
        "train.py",
        Path(__file__)
        .parents[1]
        .joinpath("projects.py")
        .read_text()
        .split('TRAIN_PY = """\\\n')[1]
        .split('"""')[0],
    )
    assert actions(sample) == {"split": "up to date", "train": "ran"}


def test_every_reproduction_is_recorded_with_its_inputs(sample: Sample) -> None:
    done = reproduce_and_record(sample.project)
    assert done.run is not None
    assert done.run.status == "FINISHED"
    assert done.run.commit == sample.git.resolve("HEAD")
    assert set(done.run.inputs) == {"data/raw.csv"}
    assert done.run.params["strength"] == "1.0"
    assert 0.6 < done.run.metrics["roc_auc"] < 1
    again = reproduce_and_record(sample.project)
    assert again.run is not None
    assert (again.is_up_to_date, again.run.id) == (True, done.run.id)


def test_an_output_that_is_declared_or_not_any_more_is_not_taken_from_the_lock(line: Line) -> None:
    stage = "stages:\n  s:\n    cmd: cp in a.out && cp in b.out\n    deps: [in]\n    outs: [{outs}]\n"
    line.put(**{"in": "1", "dvc_yaml": stage.format(outs="a.out")})
    assert line.repro() == {"s": "ran"}
    line.put(dvc_yaml=stage.format(outs="a.out, b.out"))
    assert line.repro() == {"s": "ran"}
    assert [one.path for one in load_lock(line.root)["s"].outputs] == ["a.out", "b.out"]
    line.put(dvc_yaml=stage.format(outs="a.out"))
    (line.root / "a.out").unlink()
    (line.root / "a.out").write_text("edited")
    assert line.repro() == {"s": "restored"}
    assert (line.root / "a.out").read_text() == "1"


def test_a_stage_whose_outputs_are_declared_anew_runs_again(trained: Sample) -> None:
    text = (trained.root / "dvc.yaml").read_text()
    trained.write("dvc.yaml", text.replace("- models/late", "- models"))
    trained.git.run("rm", "--quiet", "models/.gitignore")
    assert actions(trained)["train"] == "ran"
