"""Two tables compared, from files of every kind and from memory, by Python and by command."""

from __future__ import annotations

import json
import struct
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pandas as pd
import polars as pl
import pytest
from click.testing import CliRunner

import penstock
from penstock.base.errors import Invalid
from penstock.cli.main import cli
from penstock.data.formats.batches import BATCH_ROWS, reduce_table
from penstock.flows.observing.tables import TableComparison
from penstock.monitoring.reporting.posters import DRAWN_MAX, tables_poster

SENTENCE = "1 of 4 features changed: x. Not compared, because they hold lists, structures or bytes: list."


def frame(seed: int, rows: int = 3000, shift: float = 0.0) -> pl.DataFrame:
    rng = np.random.default_rng(seed)
    return pl.DataFrame(
        {
            "x": rng.normal(shift, 1, rows),
            "c": rng.choice(["a", "b"], rows),
            "day": pl.Series(np.datetime64("2026-01-01") + rng.integers(0, 90, rows)).cast(pl.Date),
            "flag": rng.random(rows) < 0.5,
            "list": [[1, 2]] * rows,
        }
    )


def write(folder: Path, name: str, table: pl.DataFrame) -> Path:
    place, flat = folder / name, table.drop("list")
    if name.endswith(".parquet"):
        table.write_parquet(place)
    elif name.endswith(".csv"):
        flat.write_csv(place)
    else:
        flat.write_ndjson(place)
    return place


def test_files_of_every_kind_and_frames_give_the_same(tmp_path: Path) -> None:
    before, now = frame(0), frame(1, shift=1.0)
    told = []
    for kind in ("parquet", "csv", "jsonl"):
        pair = (write(tmp_path, f"{name}.{kind}", one) for name, one in (("a", before), ("b", now)))
        told.append(penstock.compare_tables(*map(str, pair)))
    told.append(penstock.compare_tables(before, now))
    held = [
        pd.DataFrame({name: one[name].to_numpy() for name in ("x", "c", "flag")}) for one in (before, now)
    ]
    told.append(penstock.compare_tables(*held))
    told.append(penstock.compare_tables({"x": before["x"].to_numpy()}, {"x": now["x"].to_numpy()}))
    for one in told:
        assert one.changed == ("x",), one.report
        assert one.features[0].psi == pytest.approx(told[0].features[0].psi, abs=0.02)
    assert {one.name for one in told[0].features} == {"x", "c", "day", "flag"}


def test_a_column_that_changes_its_kind_late_in_a_file_is_read_as_what_it_is(tmp_path: Path) -> None:
    place = tmp_path / "late.csv"
    place.write_text("x\n" + "1\n" * 20_000 + "1.5\n" + "many\n")
    counts = reduce_table(place, lambda batches: sum(batch.row_count for batch in batches))
    assert counts == 20_002
    assert penstock.compare_tables(place, place).changed == ()


def test_a_large_file_comes_in_batches(tmp_path: Path) -> None:
    rows = 2 * BATCH_ROWS + 10
    pl.DataFrame({"x": np.zeros(rows)}).write_parquet(tmp_path / "large.parquet")
    sizes = reduce_table(
        tmp_path / "large.parquet", lambda batches: [len(batch.columns["x"]) for batch in batches]
    )
    assert sum(sizes) == rows
    assert max(sizes) <= 2 * BATCH_ROWS


def test_a_notebook_shows_the_page_in_a_frame_and_a_file_holds_it(tmp_path: Path) -> None:
    found = penstock.compare_tables(frame(0), frame(1, shift=1.0), names=("May", "June"))
    assert isinstance(found, TableComparison)
    assert str(found) == SENTENCE
    shown = found._repr_html_()
    assert shown.startswith('<iframe title="1 of 4')
    assert "&lt;svg" in shown
    assert "<svg" not in shown
    page = found.to_html(tmp_path / "out" / "report.html").read_text()
    assert "June against May" in page
    assert found.to_markdown().startswith("# June against May")
    assert found.to_dict()["features"][0]["name"] == "x"


def test_what_is_no_table_is_told(tmp_path: Path) -> None:
    (tmp_path / "odd.parquet").write_text("no table")
    for wrong in (str(tmp_path / "nosuch.csv"), str(tmp_path / "odd.parquet"), np.zeros((3, 2)), 5):
        with pytest.raises(Invalid):
            penstock.compare_tables(wrong, wrong)
    twice = pd.DataFrame([[1, 2]], columns=["a", "a"])
    for odd in (twice, {"x": [10**30]}, {"x": ["\ud800"]}):
        with pytest.raises(Invalid):
            penstock.compare_tables(odd, odd)
    for names in (("x",), None, (1, 2)):
        with pytest.raises(Invalid):
            penstock.compare_tables({"x": [1]}, {"x": [1]}, names=names)  # type: ignore[arg-type]


def test_a_constant_that_became_another_is_said_to_have_changed() -> None:
    [change] = penstock.compare_tables({"k": [1.0] * 500}, {"k": [2.0] * 500}).features
    assert (change.state, change.sentence) == ("drifted", "always 1 before, and a mean of 2 now")


def test_the_command_needs_no_repository_and_prints_markdown_json_or_a_page(tmp_path: Path) -> None:
    before, now = write(tmp_path, "a.csv", frame(0)), write(tmp_path, "b.parquet", frame(1, shift=1.0))
    words = ["-C", str(tmp_path), "monitor", "report", "--reference", str(before), "--current", str(now)]
    run = CliRunner()
    text = run.invoke(cli, words)
    assert text.exit_code == 0, text.output
    assert text.output.startswith("# b.parquet against a.csv")
    document = json.loads(run.invoke(cli, [*words, "--json"]).output)
    assert document["sentence"] == SENTENCE
    page = tmp_path / "report.html"
    assert run.invoke(cli, [*words, "--html", str(page)]).output.strip() == f"{page}: {document['sentence']}"
    assert page.read_text().startswith("<!doctype html>")
    picture = tmp_path / "report.png"
    both = run.invoke(cli, [*words, "--html", str(page), "--png", str(picture), "--json"])
    assert both.exit_code == 0, both.output
    assert [json.loads(both.output)[kind] for kind in ("html", "png")] == [str(page), str(picture)]
    width, height = png_size(picture)
    assert width == 1976
    assert height > 900, "four features, two in a row"


def png_size(path: Path) -> tuple[int, int]:
    data = path.read_bytes()
    assert data[:8] == b"\x89PNG\r\n\x1a\n"
    width, height = struct.unpack(">II", data[16:24])
    return int(width), int(height)


def test_a_picture_holds_names_that_are_odd_and_says_what_it_leaves_out(tmp_path: Path) -> None:
    names = ['<b>&"', "\x00 \x1b[1m", "", *(f"f{index}" for index in range(40))]
    rng = np.random.default_rng(3)
    found = penstock.compare_tables(*({name: rng.normal(size=300) for name in names} for _ in range(2)))
    poster = tables_poster(found.report)
    assert "19 more features are in the whole report." in poster
    assert sum(one.tag.endswith("}svg") for one in ElementTree.fromstring(poster).iter()) == 1 + DRAWN_MAX
    assert png_size(found.to_png(tmp_path / "odd.png"))[0] == 1976


def test_the_command_says_what_does_not_go_together(tmp_path: Path) -> None:
    table = write(tmp_path, "a.csv", frame(0))
    for words in (
        ["--reference", str(table)],
        ["delay", "--reference", str(table), "--current", str(table)],
        ["--since", "yesterday"],
    ):
        done = CliRunner().invoke(cli, ["-C", str(tmp_path), "monitor", "report", *words])
        assert done.exit_code == 2, done.output


def test_columns_that_cannot_be_compared_are_told(tmp_path: Path) -> None:
    frame = pl.DataFrame(
        {"x": [1.0, 2.0], "tags": [["a"], ["b"]], "place": [{"lat": 1.0}, {"lat": 2.0}], "raw": [b"1", b"2"]}
    )
    frame.write_parquet(tmp_path / "a.parquet")
    frame.select("x", "tags").write_parquet(tmp_path / "b.parquet")
    for given in ((frame, frame.select("x", "tags")), (tmp_path / "a.parquet", tmp_path / "b.parquet")):
        found = penstock.compare_tables(*given)
        assert found.report.left_out == ("tags", "place", "raw")
        assert str(found).endswith(
            "Not compared, because they hold lists, structures or bytes: tags, place, raw."
        )
        for told in (found.to_markdown(), found.to_html(tmp_path / "page.html").read_text()):
            assert "tags, place, raw" in told
        assert found.to_dict()["left_out"] == ("tags", "place", "raw")
    assert penstock.compare_tables(frame.select("x"), frame.select("x")).report.left_out == ()
