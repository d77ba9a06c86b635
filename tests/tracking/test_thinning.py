"""Curves of several runs, read together: each has the points that it has when it is read alone."""

from __future__ import annotations

from pathlib import Path

from penstock.project.opening import open_server_project
from penstock.tracking.entities import MetricPoint, Run
from penstock.tracking.metrics import RunReference, list_thinned, log_points
from penstock.tracking.runs import create_run
from penstock.tracking.thinning import list_thinned_curves


def test_runs_that_are_read_together_have_the_points_that_they_have_alone(tmp_path: Path) -> None:
    project = open_server_project(tmp_path, {})
    curves = {
        "a" * 32: range(5_000), "b" * 32: range(5_000), "c" * 32: range(150), "d" * 32: [0, *range(4_000, 4_999)],
        "e" * 32: [step // 2_500 * 4_999 for step in range(5_000)], "f" * 32: [3],
    }  # fmt: skip
    with project.database.write() as connection:
        for run_id, steps in curves.items():
            create_run(connection, Run(id=run_id, experiment="x", name="long", status="RUNNING", start_ms=1))
            points = [MetricPoint("loss", float(at), at, step) for at, step in enumerate(steps)]
            log_points(connection, RunReference(run_id, 0), points)
        create_run(connection, Run(id="0" * 32, experiment="x", name="none", status="RUNNING", start_ms=1))
    with project.database.read() as connection:
        found = list_thinned_curves(connection, [*curves, "0" * 32], ["loss", "none"], 100)
        assert found == {(run_id, "loss"): list_thinned(connection, run_id, "loss", 100) for run_id in curves}
        assert list_thinned_curves(connection, [], ["loss"], 100) == {}
        assert list_thinned_curves(connection, list(curves), ["none"], 100) == {}


def test_a_curve_that_is_crowded_takes_no_points_from_those_that_are_read_with_it(tmp_path: Path) -> None:
    project = open_server_project(tmp_path, {})
    with project.database.write() as connection:
        for run_id, of_step in (("a" * 32, 1), ("b" * 32, 300)):
            create_run(connection, Run(id=run_id, experiment="x", name="n", status="RUNNING", start_ms=1))
            for key in ("loss", "score"):
                points = [
                    MetricPoint(key, float(at), at, step)
                    for step in range(0, 101, 10)
                    for at in range(of_step)
                ]
                log_points(connection, RunReference(run_id, 0), points)
    with project.database.read() as connection:
        found = list_thinned_curves(connection, ["a" * 32, "b" * 32], ["score", "loss"], 10)
        assert found == {
            (run_id, key): list_thinned(connection, run_id, key, 10)
            for run_id in ("a" * 32, "b" * 32)
            for key in ("loss", "score")
        }
        assert [point[3] for point in found["a" * 32, "loss"]] == list(range(0, 101, 10))
    project.close()
