"""Tables scored by a registered model: every row once, with its id, recorded, and found again by its label."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import numpy as np
import polars as pl
import pytest
from click.testing import CliRunner

from flows.production.scoring.bench import Bench, bench, read
from penstock.base.errors import Conflict, Invalid, NotFound, PenstockError
from penstock.cli.main import cli
from penstock.flows.chain.lineage import explain
from penstock.flows.models.folders import RegistrySource
from penstock.flows.production.live.ingesting import Ingest
from penstock.flows.production.live.summarising import RowsSummary, ScoredRows
from penstock.flows.production.overview import overview
from penstock.flows.production.scoring.answering import answer
from penstock.flows.production.scoring.scoring import Request, score_batch
from penstock.monitoring.settings import MonitorSettings
from penstock.monitoring.windows import WindowKey
from penstock.serving.predictions.ids import parse_prediction_id
from penstock.serving.predictions.stored import delete_predictions
from penstock.serving.recorder import Label
from servers.forking import run_penstock
from serving.fixtures import released_root

__all__ = ["bench", "released_root"]


def test_each_format_is_read_and_written_with_one_answer_and_one_id_a_row(bench: Bench) -> None:
    table = pl.read_csv(bench.folder / "in.csv").with_row_index("key")
    table.write_csv(bench.folder / "in.csv")
    table.write_parquet(bench.folder / "in.parquet")
    table.write_ndjson(bench.folder / "in.jsonl")
    seen: set[str] = set()
    expected = bench.expected
    for source, target in (
        ("in.csv", "out.parquet"), ("in.parquet", "out.csv"), ("in.jsonl", "parts"), ("in.jsonl", "out.jsonl"),
        ("in.csv", "out.jsonl"),
    ):  # fmt: skip
        done = bench(source, target, columns=("key", "late"), overwrite=True)
        assert (done.rows, done.answered, done.bad, done.parts) == (1000, 1000, 0, 4)
        found = read(bench.folder / target)
        assert found.columns[:3] == ["prediction_id", "key", "late"], (source, target)
        assert found["key"].cast(pl.Int64).to_list() == list(range(1000))
        np.testing.assert_allclose(found["probability"].to_numpy(), expected)
        assert not seen.intersection(found["prediction_id"].to_list())
        seen.update(found["prediction_id"].to_list())
    assert len(seen) == 5000
    assert (bench.folder / "parts" / "_SUCCESS").exists()
    assert not list(bench.folder.glob("*.parts"))


def test_a_directory_of_tables_of_several_formats_is_one_table(bench: Bench) -> None:
    whole = pl.read_csv(bench.folder / "in.csv")
    folder = bench.folder / "many"
    folder.mkdir()
    whole[:450].write_csv(folder / "a.csv")
    whole[450:451].write_parquet(folder / "b.parquet")
    whole[451:].write_ndjson(folder / "c.ndjson")
    (folder / "README.md").write_text("no table")
    (folder / "_hidden.csv").write_text("nothing")
    done = bench("many")
    assert (done.tables, done.rows, done.parts) == (3, 1000, 5)
    assert done.notes == ("not read, as no tables: 1 file of many",)
    np.testing.assert_allclose(read(bench.folder / "out.parquet")["probability"].to_numpy(), bench.expected)


def test_what_was_scored_is_recorded_and_judged_like_live_traffic_and_labels_find_their_rows(
    bench: Bench,
) -> None:
    bench()
    window = bench.window()
    assert (window.request_count, window.row_count, window.error_count) == (1000, 1000, 0)
    assert set(window.features.column_names) == {"hour", "wind", "carrier"}
    out, table = read(bench.folder / "out.parquet"), pl.read_csv(bench.folder / "in.csv")
    project = bench.sample.project
    labels = [
        Label(parse_prediction_id(one), one, [truth])
        for one, truth in zip(out["prediction_id"], table["late"], strict=True)
    ]
    ingest = Ingest(project)
    counts = ingest.add_labels("late", labels[::2])
    assert (counts.accepted, counts.unknown, counts.misfit) == (500, 0, 0)
    assert ingest.add_labels("late", labels[:4]).duplicate == 2
    view = next(one for one in overview(project) if one.name == "late")
    batch = next(one for one in view.routes if one.route == "batch")
    assert batch.label_count == 502
    assert batch.quality["roc_auc"] > 0.6
    estimated = batch.estimated
    assert estimated is not None
    assert estimated.calibration != "unchecked"
    assert abs(estimated.metrics["roc_auc"][0] - batch.quality["roc_auc"]) < 0.05
    status = run_penstock(bench.sample.project.root, "monitor", "status", "late")
    assert f"est.    batch: {estimated.sentence}" in status.stdout
    told = explain(project, out["prediction_id"][777]).links[0].details
    assert told["outputs"]["probability"] == [out["probability"][777]]
    assert "label" not in told
    beyond = msgspec.structs.replace(labels[-1].id, counter=1000)
    assert ingest.add_labels("late", [Label(beyond, beyond.encode(), [1])]).waiting == 1
    with project.database.write() as connection:
        assert delete_predictions(connection, 1 << 46) == (4, 1000, 502)
    forgotten = explain(project, out["prediction_id"][777]).links[0].text
    assert "late#1, stable route, or in a batch" in forgotten
    assert ingest.add_labels("late", labels[:1]).waiting == 1


def test_rows_that_cannot_be_asked_about_are_told_by_number_and_reason_and_keep_their_place(
    bench: Bench,
) -> None:
    lines = (bench.folder / "in.csv").read_text().splitlines()
    lines[4] = ",10,AA,0"
    lines[500] = "7,wet,AA,0"
    lines[600] = "7,inf,AA,1"
    (bench.folder / "in.csv").write_text("\n".join(lines) + "\n")
    done = bench()
    found = {one.row: one.reason for one in done.bad_rows}
    assert found == {
        4: "hour is missing",
        500: "wind is no number",
        600: "wind is not finite",
    }
    out = read(bench.folder / "out.parquet")
    assert out.height == 1000
    bad = out.filter(pl.col("error").is_not_null())
    assert bad["error"].to_list() == list(found.values())
    assert bad["prediction_id"].null_count() == bad["probability"].null_count() == len(found)
    assert out["prediction_id"].n_unique() == 1000 - len(found) + 1
    assert bench.window().request_count == 1000 - len(found)


def test_the_command_exits_1_for_rows_without_an_answer_unless_they_are_allowed(bench: Bench) -> None:
    (bench.folder / "in.csv").write_text("hour,wind,carrier\n7,10,AA\n8,,AA\n")
    root, places = (
        str(bench.sample.project.root),
        [str(bench.folder / name) for name in ("in.csv", "out.csv")],
    )
    command = ["score-batch", "late/1", *places]
    done = CliRunner().invoke(cli, ["-C", root, *command])
    assert done.exit_code == 1, done.stderr
    assert "1 of 2 rows answered by late/1" in done.stdout
    assert "row 2: wind is missing" in done.stdout
    allowed = CliRunner().invoke(cli, ["-C", root, "--json", *command, "--overwrite", "--allow-bad-rows"])
    assert allowed.exit_code == 0, allowed.stderr
    assert json.loads(allowed.stdout)["bad_rows"][0]["row"] == 2


def test_rows_that_the_model_fails_for_are_found_and_count_as_errors(bench: Bench) -> None:
    class Picky:
        """Fails for every hour 13."""

        def predict(self, columns: dict[str, Any], count: int) -> dict[str, Any]:
            if (columns["hour"] == 13).any():
                raise ValueError("thirteen")
            return {"probability": columns["hour"] / 24}

    hours = np.array([1.0, 13, 2, 13, 13, 3, 4, 13])
    found = answer(Picky(), {"hour": hours}, 8, "picky")  # type: ignore[arg-type]
    assert found.rows.tolist() == [0, 2, 5, 6]
    assert found.outputs["probability"].tolist() == [1 / 24, 2 / 24, 3 / 24, 4 / 24]
    assert found.failed[1] == "the model failed: ValueError: thirteen"
    with pytest.raises(Invalid, match="fails for each of the first 200 rows"):
        answer(Picky(), {"hour": np.full(1000, 13.0)}, 1000, "picky")  # type: ignore[arg-type]
    scored = ScoredRows({"hour": hours}, found.outputs, found.rows, 8, 0.8)
    summary = RowsSummary(MonitorSettings(), None)
    for times in (1, 2):
        summary.add(scored)
        window = summary.window(WindowKey("late", 0, 1, 1, "stable"))
        counts = (window.request_count, window.error_count, window.error_run_count)
        assert counts == (8 * times, 4 * times, 3 * times)
        assert window.outputs.row_count == 4 * times
        assert window.latency.quantile_s(0.5) == pytest.approx(0.1, rel=0.2)


def test_lines_that_are_no_json_are_bad_rows(bench: Bench) -> None:
    good = json.dumps({"hour": 7, "wind": 10.0, "carrier": "AA"})
    absent = json.dumps({"hour": 7, "wind": 10.0})
    (bench.folder / "in.jsonl").write_text("\n".join([good, "{broken", good, "[1]", absent, "", good]) + "\n")
    done = bench("in.jsonl", "out.jsonl")
    assert (done.rows, done.answered) == (6, 3)
    assert [one.row for one in done.bad_rows] == [2, 4, 5]
    assert "no JSON object" in done.bad_rows[0].reason
    assert done.bad_rows[2].reason == "carrier is missing"


def test_without_an_endpoint_the_table_is_scored_without_ids_and_it_is_told(bench: Bench) -> None:
    folder = RegistrySource(bench.sample.project).fetch("late", 1).path
    done = score_batch(bench.sample.project, Request(str(folder), "in.csv", "out.csv", bench.folder))
    assert done.endpoint is None
    assert "not registered" in done.notes[0]
    assert "prediction_id" not in read(bench.folder / "out.csv").columns
    with pytest.raises(NotFound, match="no endpoint 'nightly'") as caught:
        bench(endpoint="nightly")
    assert caught.value.hint == "penstock deploy nightly --model late/1"
    with pytest.raises(Invalid, match="is not registered"):
        score_batch(
            bench.sample.project, Request(str(folder), "in.csv", "x.csv", bench.folder, endpoint="late")
        )


def test_what_cannot_be_scored_is_refused_before_anything_is_written(bench: Bench) -> None:
    folder = bench.folder
    (folder / "other.csv").write_text("a,b\n1,2\n")
    (folder / "part.csv").write_text("hour,wind\n1,2\n")
    (folder / "empty.csv").write_text("hour,wind,carrier\n")
    (folder / "broken.parquet").write_text("no parquet")
    (folder / "numbers.parquet").write_bytes(b"")
    pl.DataFrame({"hour": [1], "wind": [2.0], "carrier": [3]}).write_parquet(folder / "numbers.parquet")
    (folder / "notes").mkdir()
    (folder / "notes" / "a.txt").write_text("x")
    refused: dict[str, tuple[str, dict[str, Any]]] = {
        "absent.csv": ("batch.no_input", {}),
        "other.csv": ("data.no_column", {}),
        "part.csv": ("data.no_column", {}),
        "empty.csv": ("batch.no_rows", {}),
        "broken.parquet": ("data.bad_table", {}),
        "numbers.parquet": ("batch.other_kind", {}),
        "notes": ("batch.no_table", {}),
        "in.csv": ("data.no_column", {"columns": ("nosuch",)}),
    }
    for source, (code, more) in refused.items():
        with pytest.raises(PenstockError) as caught:
            bench(source, restart=True, **more)
        assert caught.value.code == code, (source, caught.value.message)
        assert not (folder / "out.parquet").exists()
    for target in ("x.xlsx", "out.csv.gz", "scores.feather"):
        with pytest.raises(Invalid, match="no format that is written") as unwritten:
            bench("in.csv", target)
        assert ".parquet, .csv, .jsonl or .ndjson" in str(unwritten.value.hint)
        assert not (folder / target).exists()
    with pytest.raises(Invalid, match="Ray cluster"):
        bench("in.csv", address="foo:1")
    assert bench("in.csv", "day.2026.11", restart=True).answered == 1000
    assert bench("in.csv", "scores.v2/", restart=True).answered == 1000
    with pytest.raises(Invalid, match="overlap"):
        bench("in.csv", "in.csv")
    with pytest.raises(NotFound):
        score_batch(bench.sample.project, Request("nosuch/1", "in.csv", "out.csv", folder))
    bench(restart=True)
    with pytest.raises(Conflict, match="exists already"):
        bench()
