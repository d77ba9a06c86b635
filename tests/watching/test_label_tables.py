"""Labels as a table: joined with what a service told, or refused with the reason."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

import penstock
from flows.production.endpoints import World
from patience import PATIENCE_S
from penstock.base.errors import PenstockError
from penstock.flows.production.live.label_tables import read_labels
from penstock.serving.predictions.ids import PredictionId
from penstock.watching.engine import Engine
from servers.forking import run_penstock
from watching.seen import wait_until, whole


@pytest.mark.slow
def test_labels_of_a_table_are_joined_in_the_store_where_nothing_serves(
    world: World, engine: Engine, tmp_path: Path
) -> None:
    infer: Callable[..., Any] = penstock.watch(endpoint="delay", model="m/1")(lambda rows: np.array([1, 0]))
    wait_until(lambda: all(one.standing.endpoint_id for one in engine.watched.values()))
    ids = []
    for _ in range(3):
        infer([{"hour": 1}, {"hour": 2}])
        ids.append(penstock.last_prediction_id())
    assert engine.drain(PATIENCE_S)
    table = pl.DataFrame(
        {"prediction_id": [one for one in ids for _ in range(2)], "label": [1, 0, 1, None, 0, 0]}
    )
    table.write_parquet(tmp_path / "labels.parquet")
    table.write_csv(tmp_path / "again.csv")
    done = [
        run_penstock(world.root, "--json", "feedback", "delay", "--table", tmp_path / name)
        for name in ("labels.parquet", "again.csv")
    ]
    assert [one.returncode for one in done] == [0, 0], done[0].stderr + done[1].stderr
    assert [json.loads(one.stdout)["accepted"] for one in done] == [3, 0]
    assert whole(world).quality.label_count == 5
    both = run_penstock(
        world.root, "feedback", "delay", "--table", tmp_path / "again.csv", "--prediction", "x"
    )
    assert both.returncode == 2
    (tmp_path / "odd.csv").write_text(f"prediction_id,label\n{ids[0]},1\n{ids[0]},1\nnone,1\n{ids[1]},1\n")
    odd = run_penstock(world.root, "feedback", "delay", "--table", tmp_path / "odd.csv")
    assert odd.returncode == 1
    assert "rejected row 3: " in odd.stdout
    assert f"misfit {ids[1]} (row 4): " in odd.stdout
    foreign = PredictionId(1, 77, 1, "stable", 1, 1).encode()
    unknown = run_penstock(world.root, "feedback", "delay", "--prediction", foreign, "--label", "1")
    assert unknown.returncode == 1
    assert f"prediction {foreign} is unknown: it was not made by endpoint delay" in unknown.stderr


def test_what_is_no_table_of_labels_is_refused_with_the_reason(tmp_path: Path) -> None:
    files = {
        "none.csv": None,
        "labels.txt": "prediction_id,label\n",
        "other.csv": "id,label\nx,1\n",
        "broken.parquet": "not parquet",
        "numbers.csv": "prediction_id,label\n1,1\n",
        "gaps.csv": "prediction_id,label\nx,1\n,1\n",
        "twice.csv": "prediction_id,label,label\nx,1,0\n",
        "ragged.csv": "prediction_id,label\nx,1\ny,1,5\n",
        "odd.csv": "prediction_id,label\n" + "x,1\n" * 200 + "x,yes\n",
    }
    reasons = {}
    for name, text in files.items():
        if text is not None:
            (tmp_path / name).write_text(text)
        with pytest.raises(PenstockError) as caught:
            read_labels(tmp_path / name)
        reasons[name] = caught.value.message
    assert "there is no file" in reasons["none.csv"]
    assert "neither .parquet nor .csv" in reasons["labels.txt"]
    assert "no column 'prediction_id'" in reasons["other.csv"]
    assert "is no text" in reasons["numbers.csv"]
    assert "row 2: the value of 'prediction_id' is no text" in reasons["gaps.csv"]
    assert "the column 'label' twice" in reasons["twice.csv"]
    assert "row 2 has 3 fields of 2" in reasons["ragged.csv"]
    assert "row 201: the label 'yes' is no number" in reasons["odd.csv"]


def test_labels_of_a_csv_are_of_one_kind(tmp_path: Path) -> None:
    told: dict[str, list[object]] = {
        "1\n0\n": [1, 0], "1.5\n2\n": [1.5, 2.0], "true\nfalse\n": [True, False], "a\n7\n": ["a", "7"],
        "1\n\"\"\n": [1, None], "\"\"\n\"\"\n": [None, None],
    }  # fmt: skip
    for text, labels in told.items():
        lines = [f"{name},{one}" for name, one in zip("xy", text.split(), strict=True)]
        (tmp_path / "labels.csv").write_text(
            "prediction_id,label\n" + "\n".join(lines).replace('""', "") + "\n"
        )
        entries, rows = read_labels(tmp_path / "labels.csv")
        assert [one["label"] for one in entries] == labels
        assert [type(one["label"]) for one in entries] == [type(one) for one in labels]
        assert rows == [1, 2]


def test_a_table_without_rows_says_so_and_is_no_failure(world: World, tmp_path: Path) -> None:
    world.deploy(1)
    (tmp_path / "labels.csv").write_text("prediction_id,label\n")
    done = run_penstock(world.root, "feedback", "delay", "--table", tmp_path / "labels.csv")
    assert done.returncode == 0, done.stderr
    assert "labels.csv has a heading and no rows: there was no label to send" in done.stdout
