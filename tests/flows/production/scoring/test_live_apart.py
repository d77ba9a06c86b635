"""A table that is scored is no live traffic: it neither takes a version back nor lets a canary grow, and is judged by itself."""

from __future__ import annotations

import msgspec
import polars as pl

from flows.production.scoring.bench import Bench, bench, read
from penstock.base.settings import parse_settings
from penstock.flows.chain.lineage import explain
from penstock.flows.production.controlling.responding import Controller
from penstock.flows.production.deploying import plan_deployment
from penstock.flows.production.live.ingesting import Ingest
from penstock.flows.production.overview import overview
from penstock.flows.production.revising import apply_deployment
from penstock.monitoring.policies import PolicyBody, put_policy
from penstock.monitoring.settings import AlertSettings, EndpointSettings
from penstock.serving.deployments import get_revision
from penstock.serving.predictions.ids import parse_prediction_id
from penstock.serving.recorder import Label
from projects import rows
from serving.fixtures import add_version, released_root

__all__ = ["bench", "released_root"]

POLICY = """\
model: late@champion
rollout: {steps: [20, 50, 100], min_requests: 50, hold_s: 0}
monitor: {window_s: 1, windows: 200}
guardrails:
  - errors: {max_ratio: 0.05}
  - latency: {p99_ms: 0.0001}
  - drift: {features: any, psi_max: 0.25, action: rollback}
on_breach: [rollback, alert]
"""


def watch(bench: Bench) -> Controller:
    body = PolicyBody(
        endpoint=parse_settings(POLICY, EndpointSettings, "policy"), alerts=AlertSettings(webhooks=())
    )
    with bench.sample.project.database.write() as connection:
        put_policy(connection, "late", body, "person:ada")
    return Controller(bench.sample.project, remembers=False)


def deploy(bench: Bench, ref: str, canary: float | None = None) -> None:
    project = bench.sample.project
    apply_deployment(project, plan_deployment(project, "late", ref, canary=canary))


def current(bench: Bench) -> tuple[int, int, float | None]:
    with bench.sample.project.database.read() as connection:
        now = get_revision(connection, "late")
    return now.number, now.stable, now.canary.percent if now.canary else None


def test_a_batch_of_bad_rows_or_of_other_data_takes_no_live_version_back(bench: Bench) -> None:
    add_version(bench.sample)
    deploy(bench, "late/2")
    deploy(bench, "late/1")
    controller = watch(bench)
    before = current(bench)
    lines = rows(80, seed=3).splitlines()
    bad = [lines[0], *(f"yesterday,{line.split(',', 1)[1]}" for line in lines[1:])]
    (bench.folder / "bad.csv").write_text("\n".join(bad) + "\n")
    (bench.folder / "odd.csv").write_text(rows(1000, seed=4, wind_unit=9.0))
    assert bench("bad.csv", "bad.parquet").bad == 80
    controller.tick()
    assert current(bench) == before
    bench("odd.csv", "odd.parquet")
    controller.tick()
    assert current(bench) == before
    (view,) = [one for one in overview(bench.sample.project) if one.name == "late"]
    breached = {(one.route, one.kind, one.action) for one in view.findings if one.breached}
    assert breached == {("batch", "drift", "alert")}
    assert [one.route for one in view.routes] == ["stable", "batch"]
    assert view.routes[0].request_count == 0
    first = read(bench.folder / "odd.parquet")["prediction_id"][0]
    assert "in a batch" in explain(bench.sample.project, first).links[0].text


def test_a_batch_lets_no_canary_grow_and_its_labels_do_not_judge_the_live_version(bench: Bench) -> None:
    add_version(bench.sample)
    deploy(bench, "late/2", 20.0)
    controller = watch(bench)
    before = current(bench)
    project = bench.sample.project
    for ref, out in (("late/2", "two.parquet"), ("late/1", "one.parquet")):
        done = bench(target=out, model=ref)
        assert any("no guardrail judges" in one for one in done.notes) == (ref == "late/2")
    controller.tick()
    assert current(bench) == before
    out, table = read(bench.folder / "one.parquet"), pl.read_csv(bench.folder / "in.csv")
    labels = [
        Label(parse_prediction_id(one), one, [truth])
        for one, truth in zip(out["prediction_id"], table["late"], strict=True)
    ]
    assert Ingest(project).add_labels("late", labels).accepted == 1000
    (view,) = [one for one in overview(project) if one.name == "late"]
    assert {one.route: one.label_count for one in view.routes} == {"stable": 0, "canary": 0, "batch": 1000}
    controller.tick()
    assert current(bench) == before
    assert msgspec.to_builtins(controller.looks["late"].routes[2].route) == "batch"
