"""Points of long curves: of millions only those are read that are drawn, whatever the steps are."""

from __future__ import annotations

import math
from pathlib import Path

from penstock.project.opening import open_server_project
from penstock.tracking.entities import MetricPoint, Run
from penstock.tracking.metrics import RunReference, list_thinned, log_points
from penstock.tracking.runs import create_run

RUN = "c" * 32


def test_a_long_curve_is_thinned_with_its_ends_and_a_short_one_is_whole(tmp_path: Path) -> None:
    project = open_server_project(tmp_path, {})
    curves = {
        "short": [(step, 0.5) for step in range(150)],
        "even": [(step, float(step)) for step in range(5_000)],
        "tens": [(7 + 10 * step, float(step)) for step in range(5_000)],
        "late": [(0, 1.0), *((10**9 + step, 2.0) for step in range(4_000))],
        "odd": [(step * step, float(step)) for step in range(3_000)],
        "one": [(3, 1.0)],
        "same": [(0, float(at)) for at in range(300)],
        "crowded": [(step % 2, float(step)) for step in range(5_000)],
        "nan": [(step, math.nan) for step in range(1_000)],
    }
    with project.database.write() as connection:
        create_run(connection, Run(id=RUN, experiment="x", name="long", status="RUNNING", start_ms=1))
        for key, points in curves.items():
            log_points(
                connection,
                RunReference(RUN, 0),
                [MetricPoint(key, value, at, step) for at, (step, value) in enumerate(points)],
            )
    with project.database.read() as connection:
        for key, points in curves.items():
            found = list_thinned(connection, RUN, key, 100)
            steps = [one[3] for one in found]
            assert steps == sorted(steps), key
            assert {one[0] for one in found} == {key}
            assert set(steps) <= {step for step, _ in points}
            if len(points) <= 300:
                assert len(found) == len(points), key
            else:
                assert 25 <= len(found) <= (2_000 if key == "crowded" else 410), (key, len(found))
                assert steps[-1] >= points[-1][0] * 0.95, key
        assert list_thinned(connection, RUN, "none", 100) == []
        assert all(one[4] for one in list_thinned(connection, RUN, "nan", 100))
    project.close()
