"""What a retraining made goes out or is refused, and what keeps one from beginning is told once: the endpoint is judged all the same."""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from flows.production.retrained import FALLING, Bench
from patience import wait_until
from penstock.base.errors import Unavailable
from penstock.flows.production.controlling import sending_out
from penstock.flows.production.controlling.responding import Controller
from penstock.flows.production.controlling.retraining import FRUITLESS
from penstock.flows.production.overview import overview
from penstock.flows.production.revising import DeploymentPlan
from penstock.monitoring.alerts import alerts
from penstock.serving.deployments import Canary, RevisionDraft

UNTIL_GO = "until [ -e go ]; do sleep 0.02; done"


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    made = Bench(tmp_path / "world")
    yield made
    made.world.controller.retraining.stop()
    made.world.project.close()


def _tick_until(bench: Bench, kind: str) -> None:
    """Tick until an event was told."""

    def is_told() -> bool:
        bench.world.controller.tick()
        return bool(bench.world.events(kind))

    wait_until(is_told)


def _alert_names(bench: Bench) -> Counter[str]:
    with bench.world.project.database.read() as connection:
        return Counter(connection.execute(sa.select(alerts.c.name)).scalars())


def _make(bench: Bench, number: int = 2) -> None:
    """Let a retraining begin, and register what it makes."""
    bench.let_quality_fall(UNTIL_GO)
    bench.world.controller.tick()
    running = bench.world.controller.retraining.running
    assert running is not None
    bench.add_version(number, passed=True, retraining=str(running.path))


def _plan(bench: Bench, number: int) -> DeploymentPlan:
    """Return the plan of a canary of a version, which has no files to look at."""
    before = bench.world.current()
    draft = RevisionDraft(
        model="m", stable=before.stable, canary=Canary(number, 20.0), actor="controller", reason="retrained", kind="canary"
    )  # fmt: skip
    return DeploymentPlan("delay", draft, before, "endpoint.canary", "goes out")


def _retraining_shown(bench: Bench) -> str | None:
    (view,) = overview(bench.world.project)
    return view.retraining.sentence if view.retraining else None


def test_a_revision_that_git_does_not_know_is_told_once_and_the_endpoint_counts_as_judged(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sending_out, "RETRY_S", 0.0)
    bench.let_quality_fall("true", rev="release")
    controller = bench.world.controller
    for _ in range(4):
        controller.tick()
        assert dict(controller.problems) == {}
    assert bench.told() == ["retrain.hindered"]
    assert bench.world.events("endpoint.not_judged") == bench.world.events("alert.resolved") == []
    assert _alert_names(bench)[FRUITLESS] == 1
    (told,) = bench.world.events("retrain.hindered")
    assert told.summary.startswith("no retraining could begin: git knows no revision 'release'")
    assert told.summary in (_retraining_shown(bench) or "")
    Controller(bench.world.project).tick()
    assert len(bench.world.events("retrain.hindered")) == 1, "another controller tells it no second time"

    bench.world.policy(FALLING.format(command="true", rev="prod"))
    controller.tick()
    assert bench.told() == ["retrain.hindered"] * 2, "another reason is news"
    bench.git.run("branch", "prod")
    controller.tick()
    assert bench.told()[2:] == ["retrain.started"]
    assert "no retraining could begin" not in (_retraining_shown(bench) or "")


def test_a_log_that_cannot_be_written_is_told_once_and_tried_again(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sending_out, "RETRY_S", 0.0)
    folder = bench.world.root / ".penstock" / "retrain"
    folder.write_text("in the way")
    bench.let_quality_fall("true")
    for _ in range(3):
        bench.world.controller.tick()
    assert bench.told() == ["retrain.hindered"]
    assert str(folder) in bench.world.events("retrain.hindered")[0].summary
    folder.unlink()
    bench.world.controller.tick()
    assert bench.told() == ["retrain.hindered", "retrain.started"]


def test_what_was_made_goes_out_though_somebody_deploys_at_that_moment(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    planned: list[str] = []

    def plan(_project: Any, _endpoint: str, reference: str, **_how: Any) -> DeploymentPlan:
        planned.append(reference)
        made = _plan(bench, 2)
        if len(planned) == 1:
            bench.world.deploy(1)
        return made

    monkeypatch.setattr(sending_out, "plan_deployment", plan)
    _make(bench)
    (bench.world.root / "go").touch()
    _tick_until(bench, "endpoint.canary")
    assert planned == ["m/2", "m/2"]
    canary = bench.world.current().canary
    assert canary is not None
    assert canary.version == 2
    assert bench.told() == ["retrain.started", "retrain.finished"]
    assert bench.world.controller.retraining.made == {}


def test_what_cannot_go_out_now_is_told_once_and_kept_also_by_the_next_controller(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sending_out, "RETRY_S", 0.0)
    is_away = [True]

    def plan(_project: Any, _endpoint: str, _reference: str, **_how: Any) -> DeploymentPlan:
        if is_away[0]:
            raise Unavailable("the bucket does not answer", code="artifacts.away")
        return _plan(bench, 2)

    monkeypatch.setattr(sending_out, "plan_deployment", plan)
    _make(bench)
    (bench.world.root / "go").touch()
    _tick_until(bench, "retrain.hindered")
    for _ in range(3):
        bench.world.controller.tick()
    assert bench.told() == ["retrain.started", "retrain.finished", "retrain.hindered"]
    words = "m/2, which the retraining made, waits to go out: the bucket does not answer"
    assert _retraining_shown(bench) == words
    bench.world.controller.close()
    is_away[0] = False
    after = Controller(bench.world.project)
    after.tick()
    canary = bench.world.current().canary
    assert canary is not None
    assert canary.version == 2
    assert _retraining_shown(bench) is None
    after.close()


def test_what_is_refused_is_told_with_an_alert_and_given_up(bench: Bench) -> None:
    _make(bench)
    (bench.world.root / "go").touch()
    _tick_until(bench, "retrain.refused")
    for _ in range(2):
        bench.world.controller.tick()
    assert bench.told() == ["retrain.started", "retrain.finished", "retrain.refused"]
    assert bench.world.events("retrain.refused")[0].summary.startswith(
        "m/2, which the retraining made, does not go out: "
    )
    assert _alert_names(bench)[FRUITLESS] == 1
    assert _retraining_shown(bench) is None


def test_a_retraining_whose_log_was_deleted_ends_as_any_other(bench: Bench) -> None:
    bench.let_quality_fall(f"{UNTIL_GO}; exit 3")
    bench.world.controller.tick()
    shutil.rmtree(bench.world.root / ".penstock" / "retrain")
    (bench.world.root / "go").touch()
    _tick_until(bench, "retrain.failed")
    (failed,) = bench.world.events("retrain.failed")
    assert failed.summary == "the retraining ended with 3: no output"
    assert bench.world.events("endpoint.not_judged") == []
    assert _retraining_shown(bench) is None


def test_an_end_that_the_store_does_not_take_is_told_when_it_does(bench: Bench) -> None:
    _make(bench)
    retraining = bench.world.controller.retraining
    running = retraining.running
    assert running is not None
    (bench.world.root / "go").touch()
    running.process.wait()
    with bench.world.project.database.write() as connection:
        connection.execute(sa.text("ALTER TABLE events RENAME TO away"))
    with pytest.raises(Exception, match="events"):
        retraining.follow()
    with bench.world.project.database.write() as connection:
        connection.execute(sa.text("ALTER TABLE away RENAME TO events"))
    retraining.follow()
    assert bench.told() == ["retrain.started", "retrain.finished"]
    assert retraining.running is None
    assert retraining.made["delay"].ref == "m/2"


def test_a_canary_that_somebody_deploys_hides_no_end_and_what_was_made_goes_out_after_it(
    bench: Bench,
) -> None:
    world = bench.world
    world.deploy(1, endpoint="other")
    _make(bench, 2)
    bench.let_quality_fall("touch other-ran", endpoint="other")
    bench.add_version(3)
    world.deploy(1, 3, steps=())
    (world.root / "go").touch()
    _tick_until(bench, "retrain.finished")
    wait_until((world.root / "other-ran").exists)
    views = {one.name: one.retraining for one in overview(world.project)}
    shown = views["delay"]
    assert shown is not None
    assert shown.sentence == "m/2, which the retraining made, waits to go out until the canary m/3 has ended"
    assert world.events("retrain.refused") == []
    world.deploy(1)
    world.controller.tick()
    assert len(world.events("retrain.refused")) == 1, "it was tried then, and has no files"


def test_stopped_after_its_command_had_ended_it_is_told_as_it_ended(bench: Bench) -> None:
    _make(bench)
    running = bench.world.controller.retraining.running
    assert running is not None
    (bench.world.root / "go").touch()
    running.process.wait()
    bench.world.controller.close()
    assert bench.told() == ["retrain.started", "retrain.finished"]


def test_what_a_person_sent_out_meanwhile_is_not_sent_out_again(bench: Bench) -> None:
    _make(bench)
    bench.world.deploy(2)
    (bench.world.root / "go").touch()
    _tick_until(bench, "retrain.finished")
    bench.world.controller.tick()
    assert bench.told() == ["retrain.started", "retrain.finished"]
    assert bench.world.controller.retraining.made == {}


def test_what_others_registered_meanwhile_is_not_taken_for_what_it_made(bench: Bench) -> None:
    _make(bench, 2)
    bench.add_version(3, passed=True)
    (bench.world.root / "go").touch()
    _tick_until(bench, "retrain.finished")
    (finished,) = bench.world.events("retrain.finished")
    assert finished.summary == "the retraining made m/2"
    assert (finished.cause["version"], finished.cause["doubt"]) == ("m/2", "")


def test_where_nothing_says_which_version_it_made_the_event_says_so(bench: Bench) -> None:
    bench.let_quality_fall(UNTIL_GO)
    bench.world.controller.tick()
    for number in (2, 3):
        bench.add_version(number, passed=True)
    (bench.world.root / "go").touch()
    _tick_until(bench, "retrain.finished")
    (finished,) = bench.world.events("retrain.finished")
    assert finished.summary == (
        "the retraining made m/3; nothing says that the retraining registered it; m/2 came meanwhile too"
    )


def test_its_own_version_that_gates_refused_gives_way_to_no_other(bench: Bench) -> None:
    bench.let_quality_fall(UNTIL_GO)
    bench.world.controller.tick()
    running = bench.world.controller.retraining.running
    assert running is not None
    bench.add_version(2, passed=False, retraining=str(running.path))
    bench.add_version(3, passed=True)
    (bench.world.root / "go").touch()
    _tick_until(bench, "retrain.nothing")
