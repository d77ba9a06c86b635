"""Recorded requests go to the candidate through the real engine; what was not recorded is an error, never a pass."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import polars as pl
from click.testing import CliRunner

from flows.models.test_asked_models import judged
from penstock.base.clock import now_ms
from penstock.cli.main import cli
from penstock.flows.models.evidence.subjects import ModelSubject
from penstock.flows.models.folders import files_of_folder
from penstock.flows.production.deploying import plan_deployment
from penstock.flows.production.payloads.sampling import Hour
from penstock.flows.production.payloads.segments import encode, frame_of
from penstock.flows.production.revising import apply_deployment
from penstock.monitoring.settings import PayloadSettings
from penstock.registry.entities import CheckResult
from penstock.serving.predictions.ids import PredictionId
from penstock.serving.recorder import Exchange
from penstock.storage.resolve import open_backend
from penstock.workspace import open_workspace
from projects import Sample

REPLAY = "replay: {requests: 60, min_requests: 40, max_changed_ratio: 0.3, p95_ms: 5000}"
LATE = "  - replay: {requests: 60, min_requests: 40, p95_ms: 0.0001}\n"


def record(sample: Sample, name: str, count: int, *, moved: int = 0, drop: str = "", **more: Any) -> None:
    """Keep calls of an endpoint as a serve process does; `moved` of them with another answer than the model gives."""
    frame = pl.read_csv(sample.root / "data/test.csv").drop("late").head(count)
    subject = ModelSubject(files_of_folder(sample.root / "models/late", "late", 0, "d"), "it", "late")
    answers = subject.predict(frame)["probability"]
    exchanges, when = [], now_ms() - 100_000
    for index in range(count):
        row = frame.slice(index, 1)
        answer = answers[index : index + 1] + (0.25 + index / 1000 if index < moved else 0.0)
        columns = {key: row[key].to_numpy() for key in row.columns if key != drop}
        exchanges.append(
            Exchange(
                **{
                    "endpoint": "delay", "revision": 1, "version": 1, "route": "stable", "time_ms": when + index,
                    "id": PredictionId(when + index, 1, 1, "stable", 7, index).encode(), "counter": index,
                    "inputs": columns, "outputs": {"probability": answer}, "row_count": 1, "latency_s": 0.01,
                    **more,
                }
            )
        )  # fmt: skip
    project = open_workspace(sample.root, {"USER": "ada"})
    backend = open_backend(project.places.artifacts_url)
    backend.put(Hour.of("delay", when).key(name), encode(frame_of(exchanges, PayloadSettings())))
    backend.close()
    project.close()


def replayed(sample: Sample, text: str = f"  - {REPLAY}\n") -> CheckResult:
    return judged(sample, f"gates:\n{text}").checks[0]


def test_recorded_requests_are_answered_by_the_candidate_and_what_is_missing_is_an_error(
    released: Sample,
) -> None:
    nowhere = replayed(released)
    assert nowhere.status == "error"
    assert judged(released, "gates:\n  - metric: {name: roc_auc, min: 0.1}\n").passed
    project = open_workspace(released.root, {"USER": "ada"})
    apply_deployment(project, plan_deployment(project, "delay", "late/1"))
    project.close()
    off = replayed(released)
    assert (off.status, off.evidence["code"]) == ("error", "gate.no_payloads")
    assert "keeps no payloads" in off.sentence
    record(released, "a", 30)
    few = replayed(released)
    assert (few.status, few.n) == ("error", 30)
    assert "30 recorded requests are too few, 40 are needed" in few.sentence
    # calls that failed, and those of shadows, were answered to nobody
    record(released, "b", 50, error="Timeout", outputs={})
    record(released, "c", 50, route="shadow")
    assert replayed(released).status == "error"
    record(released, "d", 60)
    same = replayed(released)
    assert (same.status, same.observed, same.n) == ("pass", 0.0, 60), same.sentence
    assert same.evidence["errors"] == 0
    assert same.evidence["versions"] == {"1": 60}
    assert same.interval is not None
    assert same.interval[0] == 0.0
    assert 0.04 < float(same.interval[1] or 0) < 0.07
    late = replayed(released, LATE)
    assert (late.status, late.sentence.endswith("; broken: p95_ms")) == ("fail", True), late.sentence


def test_answers_that_changed_are_counted_and_the_largest_are_kept_without_what_was_asked(
    released: Sample,
) -> None:
    project = open_workspace(released.root, {"USER": "ada"})
    apply_deployment(project, plan_deployment(project, "delay", "late/1"))
    project.close()
    record(released, "a", 60, moved=20)
    found = replayed(released)
    assert (found.status, found.observed) == ("fail", 20 / 60), found.sentence
    assert (
        found.evidence["changed_most"][0]["difference"]
        > found.evidence["changed_most"][1]["difference"]
        > 0.2
    )
    told = replayed(released, "  - replay: {requests: 60, min_requests: 40}\n")
    assert told.status == "pass"  # no limit on the share: it is told
    assert "20 of 60 recorded requests are answered otherwise in probability" in told.sentence
    run = ["-C", str(released.root), "gate"]
    assert (
        "kept: replay.json (penstock gate evidence)"
        in CliRunner().invoke(cli, [*run, "show", "late/1"]).output
    )
    assert CliRunner().invoke(cli, [*run, "evidence", "late/1"]).output == "replay.json  replay\n"
    document = json.loads(CliRunner().invoke(cli, [*run, "evidence", "late/1", "replay.json"]).output)
    assert len(document["changed"]) == 20
    assert set(document["changed"][0]) == {
        "prediction_id", "version", "time_ms", "row", "before", "after", "difference"
    }  # fmt: skip
    absent = CliRunner().invoke(cli, [*run, "evidence", "late/1", "nosuch"])
    assert "no check of late/1 kept a file 'nosuch'" in str(absent.exception)


def test_a_column_that_was_not_recorded_lets_nothing_be_asked(released: Sample) -> None:
    project = open_workspace(released.root, {"USER": "ada"})
    apply_deployment(project, plan_deployment(project, "delay", "late/1"))
    project.close()
    record(released, "a", 50, drop="wind")
    found = replayed(released)
    assert found.status == "error"
    assert "answers no recorded request" in found.sentence
    assert "wind" in found.sentence
    record(released, "b", 50, outputs={"other": np.zeros(1)})
    assert replayed(released, "  - replay: {output: third, min_requests: 10}\n").status == "error"
