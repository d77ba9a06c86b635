"""`penstock feedback`: what is no label is refused by the command, with its place and the reason; the others are sent."""

from __future__ import annotations

import json
from pathlib import Path
from subprocess import CompletedProcess

import pytest

from flows.production.endpoints import World
from penstock.base.clock import now_ms
from penstock.serving.predictions.ids import PredictionId
from servers.forking import run_penstock


@pytest.fixture
def world(tmp_path: Path) -> World:
    """A store with one endpoint, whose predictions come later: labels wait for them."""
    made = World(tmp_path / "world")
    made.version(1)
    made.policy()
    made.deploy(1)
    (made.root / "penstock.yaml").write_text("project: world\n")
    return made


def send(world: World, text: str) -> CompletedProcess[str]:
    (world.root / "labels.jsonl").write_text(text)
    return run_penstock(world.root, "feedback", "delay", "--file", "labels.jsonl")


def entry(world: World, counter: int, label: object = 1) -> str:
    made = PredictionId(now_ms(), world.current().endpoint_id, 1, "stable", 5, counter).encode()
    return json.dumps({"prediction_id": made, "label": label})


@pytest.mark.parametrize("label", ["NaN", "1e999", "-Infinity", "[1, NaN]"])
def test_a_label_that_is_no_finite_number_is_refused_with_that_reason(tmp_path: Path, label: str) -> None:
    done = run_penstock(tmp_path, "feedback", "prices", "--prediction", "x", "--label", label)
    assert done.returncode == 1
    assert "a number that is not finite" in done.stderr
    assert "URL" not in done.stderr


def test_bad_lines_are_named_and_the_good_ones_are_sent(world: World) -> None:
    missing, odd = '{"label": 1}', '{"prediction_id": 7, "label": 1}'
    lines = [
        entry(world, 1), entry(world, 2, float("nan")), "", '{"prediction_id": "x", ', missing, odd, "[1]",
        entry(world, 3, [1, float("inf")]), entry(world, 4),
    ]  # fmt: skip
    done = send(world, "\n".join(lines))
    assert done.returncode == 1, done.stdout + done.stderr
    assert done.stdout.startswith("2 waiting, 6 rejected\n")
    assert (
        "rejected line 2: NaN is no number and no label; where the truth is not known leave the"
        in done.stdout
    )
    assert (
        "rejected line 4: it is no JSON: Expecting property name enclosed in double quotes (column "
        in done.stdout
    )
    assert "rejected line 8: Infinity is no number" in done.stdout
    assert "rejected line 5: Object missing required field prediction_id" in done.stdout
    assert "rejected line 6: Expected str, got int at prediction_id" in done.stdout
    assert "URL" not in done.stdout + done.stderr
    again = send(world, f"[{', '.join(lines[:2])}]")
    assert again.stdout.startswith("1 waiting, 1 rejected\nrejected entry 2: NaN is no number"), (
        again.stdout + again.stderr
    )


def test_what_is_no_list_is_told_with_its_line_and_an_empty_file_as_that(world: World) -> None:
    broken = send(world, '[\n{"label": 1},\n{]')
    assert broken.returncode == 1
    assert "labels.jsonl cannot be read as labels: Expecting property name" in broken.stderr
    assert "(line 3, column 2)" in broken.stderr
    empty = send(world, "\n")
    assert (empty.returncode, empty.stdout) == (0, "the file is empty: there was no label to send\n")


def test_lines_that_are_refused_here_are_told_though_the_server_refuses_all_others(world: World) -> None:
    done = send(world, '{"prediction_id": "x", "label": 1}\nnot json\n')
    assert done.returncode == 1
    assert "rejected line 2: it is no JSON" in done.stderr


def test_a_number_beyond_every_output_is_told_by_its_place(world: World) -> None:
    done = send(world, f"{entry(world, 7, 10**400)}\n{entry(world, 8)}")
    assert done.stdout.startswith("1 waiting, 1 rejected\nrejected line 1: a label is a whole number beyond")


def test_a_number_of_five_thousand_digits_is_told_by_its_place(world: World) -> None:
    huge = f'{{"prediction_id": "x", "label": {"1" * 5000}}}'
    done = send(world, f"{huge}\n{entry(world, 9)}")
    assert "rejected line 1: it is no JSON: one of its numbers has too many digits" in done.stdout, (
        done.stderr
    )
    listed = send(world, f"[{huge}]")
    assert "labels.jsonl cannot be read as labels: one of its numbers has too many digits" in listed.stderr
    assert "defect" not in done.stderr + listed.stderr


def test_a_store_that_is_away_is_what_is_told(tmp_path: Path) -> None:
    store = {"PENSTOCK_STORE": f"postgresql://penstock@/p?host={tmp_path}"}
    done = run_penstock(tmp_path, "feedback", "delay", "--prediction", "x", "--label", "1", **store)
    assert done.returncode == 5
    assert "the store postgresql://penstock@/p" in done.stderr
    assert "did not answer" in done.stderr
    assert "8080" not in done.stderr
    assert "penstock serve" not in done.stderr


def test_who_named_no_place_is_not_told_to_start_what_nobody_needs(tmp_path: Path) -> None:
    done = run_penstock(tmp_path, "feedback", "delay", "--prediction", "x", "--label", "1")
    assert done.returncode == 5
    assert "nobody is known here that takes labels for delay: no store here has this endpoint" in done.stderr
    assert "name a serve process with --url" in done.stderr
