from __future__ import annotations

import numpy as np

from flows.production.endpoints import World
from flows.production.rows import ask, learned, table
from penstock.flows.production.checking import check_guardrails
from penstock.flows.production.overview import overview
from penstock.flows.production.watching import observe
from penstock.monitoring.profile import Profile

POLICY = """\
model: m@champion
monitor: {window_s: 60, windows: 5, feature_ratio: FEATURES}
guardrails:
  - multivariate: {auc_max: 0.65, min_rows: 200}
on_breach: [rollback, alert]
"""


def test_rows_that_no_longer_go_together_are_told_once_in_status_and_never_rolled_back(world: World) -> None:
    rng = np.random.default_rng(1)
    world.version(4, profile=learned(table(rng, 8000)))
    world.policy(POLICY.replace("FEATURES", "0.1"))
    world.deploy(1)
    world.deploy(4)
    (waiting,) = observe(world.project, "delay").findings
    assert (waiting.kind, waiting.name, waiting.unjudged) == ("multivariate", "auc", "too_few")
    assert "the features of 0 of 200 rows kept yet" in waiting.sentence
    ask(world, table(rng, 250), ago_s=4000)  # too long ago to count
    (still,) = observe(world.project, "delay").findings
    assert still.unjudged == "too_few"
    ask(world, table(rng, 250))
    (held,) = observe(world.project, "delay").findings
    assert (held.state, held.count) == ("held", 250), held.sentence
    drifted = table(rng, 1000)
    rng.shuffle(drifted["gust"])
    ask(world, drifted, ago_s=1)
    world.controller.tick()
    (view,) = overview(world.project)
    (told,) = view.findings
    assert (told.state, told.action) == ("breached", "alert")
    assert "gust" in told.sentence and "wind" in told.sentence
    assert [one.labels["kind"] for one in world.open_alerts()] == ["multivariate"]
    world.controller.tick()
    assert len(world.open_alerts()) == 1
    assert world.current().stable == 4


def test_what_cannot_be_judged_on_rows_says_what_to_do(world: World) -> None:
    rng = np.random.default_rng(2)
    columns = table(rng, 1000)
    world.version(4, profile=Profile.of(columns))
    world.version(5, profile=learned(columns))
    for number, ratio, reason, words in (
        (1, "0.1", "no_reference", "registered without a reference profile"),
        (4, "0.1", "no_reference", "model.reference_rows"),
        (5, "0.0", "not_kept", "set monitor.feature_ratio above 0"),
    ):
        world.policy(POLICY.replace("FEATURES", ratio))
        world.deploy(number)
        seen = observe(world.project, "delay")
        (found,) = seen.findings
        assert (found.unjudged, found.is_waiting) == (reason, False)
        assert words in found.sentence
        said = check_guardrails(world.project, "delay", seen.settings, seen.version)
        assert any(words in one for one in said)
