"""Alerts whose webhook does not take them, or is another one since."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from flows.production.endpoints import World
from flows.production.test_telling import be_due, receiver
from penstock.base.errors import Invalid
from penstock.cli.main import cli
from penstock.flows.production.controlling.telling import AlertLoop
from penstock.flows.production.overview import overview
from penstock.flows.setup.checking import check_project
from penstock.monitoring.alerts import Subject, close_alert, open_alert
from penstock.monitoring.settings import Webhook
from penstock.project.settings import load_project_settings

SUBJECT = Subject(name="X", endpoint="delay")
NEVER = "http://u:PW@127.0.0.1:9/x"


def fire(world: World, url: str) -> int:
    with world.project.database.write() as connection:
        return open_alert(connection, SUBJECT, "x", (Webhook(url=url),), time_ms=1)


def end(world: World, alert: int, url: str) -> None:
    with world.project.database.write() as connection:
        close_alert(connection, alert, (Webhook(url=url),), time_ms=2)


@pytest.mark.parametrize(
    "url", [NEVER, "ftp://example.com/x", "http://", "example.com/x", "http://example.com/a b"]
)
def test_a_webhook_that_can_never_work_is_refused_where_it_is_written(tmp_path: Path, url: str) -> None:
    (tmp_path / "penstock.yaml").write_text(
        f"project: p\nalerts:\n  webhooks:\n    - {{url: 'http://example.com/x'}}\n    - {{url: '{url}'}}\n"
    )
    with pytest.raises(Invalid, match=r"penstock\.yaml:5: .*webhook") as told:
        load_project_settings(tmp_path)
    assert "PW" not in told.value.message


def test_a_webhook_that_takes_nothing_is_told_without_what_is_secret_in_it(world: World) -> None:
    world.policy(webhooks=(Webhook(url=NEVER),))
    world.deploy(1)
    fire(world, NEVER)
    [view] = overview(world.project)
    assert view.untold == ()
    loop = AlertLoop(world.project)
    loop.send_due()
    assert loop.deliveries.counts == {"taken": 0, "failed": 1, "given_up": 0, "dropped": 0}
    assert loop.deliveries.oldest_ms == 1
    [view] = overview(world.project)
    [told] = view.untold
    assert told.startswith(
        "the alertmanager webhook at 127.0.0.1:9 has not taken what it was posted since 1970-"
    )
    assert "and no user" in told
    assert told.endswith("; 1 alert waiting")
    assert "PW" not in told
    for command in (["monitor", "status"], ["endpoint", "show", "delay"]):
        output = CliRunner().invoke(cli, ["-C", str(world.project.root), *command]).output
        assert told in " ".join(output.split()), output
    assert f"delay: {told}" in {
        one.sentence for one in check_project(world.project, {}) if one.part == "alerts"
    }


def test_what_waits_for_a_webhook_that_is_mended_goes_to_the_new_one(world: World) -> None:
    world.policy(webhooks=(Webhook(url=NEVER),))
    world.deploy(1)
    alert = fire(world, NEVER)
    loop = AlertLoop(world.project)
    loop.send_due()
    with receiver() as got:
        world.policy(webhooks=(Webhook(url=got.url),))
        be_due(world)
        while loop.send_due():
            pass
        assert [one["status"] for one in got.bodies] == ["firing"]
        assert loop.deliveries.counts == {"taken": 1, "failed": 1, "given_up": 0, "dropped": 1}
        [view] = overview(world.project)
        assert view.untold == ()
        assert "is no longer in the policy; it is given up" in world.events("alert.failed")[-1].summary
        end(world, alert, got.url)
        while loop.send_due():
            pass
        assert [one["status"] for one in got.bodies] == ["firing", "resolved"]


def test_that_an_alert_is_over_is_told_to_nobody_who_was_not_told_of_it(world: World) -> None:
    world.policy(webhooks=(Webhook(url=NEVER),))
    world.deploy(1)
    loop = AlertLoop(world.project)
    alert = fire(world, NEVER)
    loop.send_due()
    with receiver() as got:
        end(world, alert, got.url)
        world.policy(webhooks=(Webhook(url=got.url),))
        be_due(world)
        while loop.send_due():
            pass
        assert got.bodies == []
