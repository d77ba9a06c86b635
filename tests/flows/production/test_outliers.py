from __future__ import annotations

import numpy as np
from click.testing import CliRunner

from flows.production.endpoints import World
from flows.production.rows import ask, learned, table
from penstock.base.clock import now_ms
from penstock.cli.main import cli
from penstock.flows.chain.lineage import explain
from penstock.flows.models.folders import RegistrySource
from penstock.flows.production.live.recording import LiveRecorder
from penstock.flows.production.watching import observe
from penstock.monitoring.settings import MonitorSettings
from penstock.serving.classes import Served
from penstock.serving.predictions.ids import PredictionId
from penstock.serving.recorder import Exchange

POLICY = """\
model: m@champion
monitor: {window_s: 60, windows: 5, feature_ratio: 1.0}
guardrails:
  - outliers: {max_ratio: 0.05, min_rows: 100}
"""


def answered(world: World, features: dict[str, np.ndarray], counter: int) -> Exchange:
    revision = world.current()
    time_ms = now_ms()
    return Exchange(
        id=PredictionId(time_ms, revision.endpoint_id, revision.number, "stable", 5, counter).encode(),
        endpoint=revision.endpoint,
        revision=revision.number,
        version=revision.stable,
        route="stable",
        counter=counter,
        time_ms=time_ms,
        latency_s=0.001,
        inputs=features,
        outputs={"prediction": np.zeros(1)},
        row_count=1,
    )


def test_the_recorder_scores_rows_and_a_share_above_the_limit_is_told_with_the_prediction_that_is_one(
    world: World,
) -> None:
    rng = np.random.default_rng(1)
    world.version(4, profile=learned(table(rng, 4000)))
    world.policy(POLICY)
    world.deploy(4)
    recorder = LiveRecorder(
        world.project.database, 5, {"delay": MonitorSettings(feature_ratio=1.0)}, flush_s=60
    )
    try:
        revision = world.current()
        recorder.mark(Served("delay", revision.number, 4), RegistrySource(world.project).edges("m", 4))
        odd = ""
        for counter in range(300):
            row = table(rng, 1)
            if counter % 3 == 0:
                row["gust"] = row["wind"] + 9.0
            one = answered(world, row, counter)
            odd = one.id if counter % 3 == 0 else odd
            recorder.record(one)
        recorder.flush()
    finally:
        recorder.close()
    (found,) = observe(world.project, "delay").findings
    assert (found.kind, found.name, found.state, found.count) == (
        "outliers",
        "outlier_ratio",
        "breached",
        300,
    )
    assert 0.3 < found.observed < 0.4, found.sentence
    (first, *_) = explain(world.project, odd).links
    assert first.details["outlier"].startswith("yes: farther than 99.5% of the reference's rows, mostly in ")
    assert "gust" in first.details["outlier"]
    (world.root / "penstock.yaml").write_text("project: world\n")
    told = CliRunner().invoke(cli, ["-C", str(world.root), "why", odd])
    assert "outlier yes: farther than 99.5% of the reference's rows" in told.output, told.output
    shown = [line for line in told.output.splitlines() if " feature " in line]
    assert len(shown) == min(len(first.details["features"]), 8)
    assert any("feature gust" in line for line in shown), told.output


def test_a_version_that_learned_nothing_of_outliers_says_so(world: World) -> None:
    world.policy(POLICY)
    world.deploy(1)
    (found,) = observe(world.project, "delay").findings
    assert (found.unjudged, found.is_waiting) == ("no_reference", False)
    rng = np.random.default_rng(2)
    world.version(4, profile=learned(table(rng, 200)))
    world.deploy(4)
    ask(world, table(rng, 1))
    (again,) = observe(world.project, "delay").findings
    assert "nothing was learned of outliers: register it from a new commit" in again.sentence
