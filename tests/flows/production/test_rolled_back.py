"""A version that was rolled back stays so until a gate or a person speaks for it."""

from __future__ import annotations

import dataclasses
import re

import msgspec
import pytest
import sqlalchemy as sa
from click.testing import CliRunner

from flows.production.endpoints import POLICY, World
from penstock.base.clock import now_ms
from penstock.base.errors import NotFound, Refused
from penstock.cli.main import cli
from penstock.flows.models.aliases import apply_promotion, plan_promotion
from penstock.flows.models.evidence.refusals import answer_for
from penstock.flows.production.overview import view_endpoint
from penstock.flows.production.revising import ROLLED_BACK, apply_deployment
from penstock.flows.production.traffic.rolling_back import plan_rollback
from penstock.flows.production.traffic.straying import strays_from
from penstock.monitoring.alerts import alerts
from penstock.project.project import Project
from penstock.registry.aliases import list_alias_moves
from penstock.registry.entities import FileDigest, Manifest, Verdict
from penstock.registry.states import list_rolled_back, require_not_rolled_back
from penstock.registry.tables import verdicts, versions
from penstock.registry.verdicts import add_verdict
from penstock.registry.versions import get_version


def rolled_back(world: World) -> list[int]:
    with world.project.database.read() as connection:
        return [number for _, number in list_rolled_back(connection)]


def lose_files(world: World, number: int) -> None:
    """Let a version have a file, which is then taken from the artifacts."""
    store = world.project.artifacts
    sha = store.put(b"a model")
    files = Manifest((FileDigest("model.pkl", 7, sha),))
    with world.project.database.write() as connection:
        of_it = versions.c.model == "m", versions.c.number == number
        connection.execute(versions.update().where(*of_it).values(manifest=msgspec.to_builtins(files)))
    for entry in list(store.backend.list("")):
        if sha[2:] in entry.key.replace("/", ""):
            store.backend.delete(entry.key)


def test_a_leaky_champion_that_is_rolled_back_gives_its_alias_back_and_history_names_the_cause(
    world: World,
) -> None:
    world.policy()
    world.alias(1)
    world.deploy(1)
    world.deploy(2, kind="promoted")
    world.alias(2)
    world.traffic("stable", 200, 150)
    world.controller.tick()
    assert (world.current().stable, world.champion(), rolled_back(world)) == (1, 1, [2])
    with world.project.database.read() as connection:
        last = list_alias_moves(connection, "m", "champion")[-1]
    assert last.cause is not None
    assert last.cause["rollback"]["endpoint"] == "delay"
    assert "m@champion goes along to m/1" in world.events("endpoint.rolled_back")[0].summary


def test_an_alias_that_stays_is_said_to_stay(world: World) -> None:
    world.policy(POLICY.replace("hold_s: 0", "hold_s: 0, alias: stay"))
    world.alias(2)
    world.deploy(1)
    world.deploy(1, 2)
    world.traffic("canary", 200, 150)
    world.controller.tick()
    assert world.champion() == 2
    assert "m@champion stays at m/2" in world.events("endpoint.rolled_back")[0].summary


def test_promote_refuses_it_until_a_person_gives_a_reason(world: World) -> None:
    world.policy()
    world.alias(1)
    world.deploy(1)
    world.deploy(2)
    apply_deployment(world.project, plan_rollback(world.project, "delay", reason="it smells"))
    with pytest.raises(Refused, match=r"was rolled back .* it smells") as caught:
        plan_promotion(world.project, "m/2")
    assert caught.value.code == "registry.rolled_back"
    assert plan_promotion(world.project, "m/2", "challenger").version.number == 2
    plan = plan_promotion(world.project, "m/2", force_reason="the feature store was at fault")
    apply_promotion(world.project, plan)
    assert (world.champion(), rolled_back(world)) == (2, [])
    assert world.events("model.cleared")[0].summary.endswith("the feature store was at fault")


def test_no_verdict_speaks_for_it(world: World) -> None:
    world.policy()
    world.deploy(1)
    world.deploy(2)

    def judge(name: str, time_ms: int, *, gates: str = "s", passed: bool = True) -> None:
        with world.project.database.write() as connection:
            version = get_version(connection, "m", 2)
            verdict = Verdict(
                id=name, model="m", model_digest=version.digest, settings_digest=gates, data={}, passed=passed,
                checks=(), created_ms=time_ms, actor="ci",
            )  # fmt: skip
            add_verdict(connection, verdict)

    judge("old", now_ms() - 1000)
    apply_deployment(world.project, plan_rollback(world.project, "delay"))
    judge("failed", now_ms() + 1000, passed=False)
    assert rolled_back(world) == [2]
    judge("again", now_ms() + 1000)
    assert rolled_back(world) == [2], "the same gates on the same data say nothing new"
    judge("new", now_ms() + 1000, gates="others")
    assert rolled_back(world) == [2], "production refused what gates had passed"
    assert not world.events("model.cleared")


def test_the_same_content_under_another_number_is_the_same_version(world: World) -> None:
    world.policy()
    world.deploy(1)
    world.deploy(2)
    apply_deployment(world.project, plan_rollback(world.project, "delay"))
    with world.project.database.read() as connection:
        two = get_version(connection, "m", 2)
        from msgspec.structs import replace

        with pytest.raises(Refused):
            require_not_rolled_back(connection, replace(two, number=9), "deployed")


def test_a_rollback_by_hand_is_as_whole_as_one_by_the_controller(world: World) -> None:
    world.policy()
    world.alias(2)
    world.deploy(1)
    world.deploy(1, 2)
    apply_deployment(world.project, plan_rollback(world.project, "delay"))
    assert (world.champion(), rolled_back(world), world.current().kind) == (1, [2], "rolled_back")


def test_a_rollback_says_which_shadows_it_ends(world: World) -> None:
    world.policy()
    world.deploy(1)
    world.deploy(1, shadows=(2,))
    world.deploy(2)
    assert not plan_rollback(world.project, "delay").warnings
    world.deploy(1, 2, shadows=(3,))
    plan = plan_rollback(world.project, "delay")
    assert plan.warnings == ("m/3 is a shadow no more; penstock deploy delay --shadow m/3 puts it back",)
    world.deploy(2, shadows=(1,))
    assert not plan_rollback(world.project, "delay", to=1).warnings


def test_a_second_rollback_does_not_bring_back_what_the_first_took_away(world: World) -> None:
    world.policy()
    world.deploy(1)
    world.deploy(2)
    apply_deployment(world.project, plan_rollback(world.project, "delay"))
    with pytest.raises(Refused, match="every other version that delay served was rolled back"):
        plan_rollback(world.project, "delay")
    with pytest.raises(Refused, match=r"m/2 cannot be gone back to: it was rolled back on .* by ") as caught:
        plan_rollback(world.project, "delay", to=2)
    assert caught.value.code == "registry.rolled_back"
    assert "a rollback --to with them" in (caught.value.hint or "")


def test_a_person_answers_for_going_back_to_what_was_rolled_back(world: World) -> None:
    """The endpoint served, and the alias named, a version that no deployment took since it counted as rolled back."""
    world.policy()
    world.alias(2)
    world.deploy(1)
    world.deploy(2)
    apply_deployment(world.project, plan_rollback(world.project, "delay", reason="it smells"))
    penstock = ["-C", str(world.project.root), "rollback", "delay", "--no-wait"]
    refused = CliRunner().invoke(cli, [*penstock, "--to", "2"])
    dry = CliRunner().invoke(cli, [*penstock, "--to", "2", "--dry-run"])
    assert refused.exit_code == dry.exit_code != 0
    assert str(refused.exception).startswith("m/2 cannot be gone back to: it was rolled back")
    assert str(refused.exception) == str(dry.exception)
    for flags, words in (
        (["--to", "2", "--force"], "--force needs a reason"),
        (["--force", "--reason", "no"], "--force goes with --to"),
    ):
        assert words in str(CliRunner().invoke(cli, [*penstock, *flags]).exception)
    forced = [*penstock, "--to", "2", "--force", "--reason", "the feature store was at fault"]
    cleared = r"m/2 counts as rolled back no more, though it was rolled back on .*: it smells"
    told = CliRunner().invoke(cli, [*forced, "--dry-run"])
    assert re.search(cleared, told.output), told.output
    assert (rolled_back(world), world.current().stable) == ([2], 1)
    done = CliRunner().invoke(cli, forced)
    assert done.exit_code == 0, done.output
    assert re.search(cleared, done.output), done.output
    assert (rolled_back(world), world.current().stable) == ([1], 2)
    assert world.events("model.cleared")[0].summary.endswith("the feature store was at fault")
    with world.project.database.read() as connection:
        require_not_rolled_back(connection, get_version(connection, "m", 2), "deployed")


def test_no_rollback_brings_back_the_files_of_what_was_rolled_back(world: World) -> None:
    """They are the same version: a person was asked for the one number, and the controller took the other."""
    world.version(4)
    with world.project.database.write() as connection:
        four = get_version(connection, "m", 4)
        of_three = versions.c.model == "m", versions.c.number == 3
        connection.execute(versions.update().where(*of_three).values(digest=four.digest))
    for endpoint, numbers in (("other", (1, 4)), ("delay", (1, 3, 2))):
        world.policy(POLICY, endpoint)
        for number in numbers:
            world.deploy(number, endpoint=endpoint)
    apply_deployment(world.project, plan_rollback(world.project, "other", reason="it smells"))
    assert plan_rollback(world.project, "delay").draft.stable == 1
    with pytest.raises(Refused, match=r"m/3 cannot be gone back to: it has the files of m/4, which was"):
        plan_rollback(world.project, "delay", to=2)
    world.traffic("stable", 200, 150)
    world.controller.tick()
    now = world.current()
    assert (now.stable, now.kind) == (1, "rolled_back")


def test_going_back_to_the_canary_marks_the_version_that_gives_way(world: World) -> None:
    world.policy()
    world.deploy(2)
    world.deploy(1)
    world.deploy(1, 2)
    plan = plan_rollback(world.project, "delay", to=1)
    assert (plan.draft.stable, plan.out) == (2, 1)


def test_a_rollback_that_takes_nothing_back_says_so_and_tells_nobody_otherwise(world: World) -> None:
    world.policy()
    world.deploy(1)
    world.deploy(1, shadows=(2,))
    plan = plan_rollback(world.project, "delay", to=1)
    assert plan.summary == "delay serves m/1 already: no version is taken back"
    assert plan.warnings[0].startswith("m/2 is a shadow no more")
    dry = CliRunner().invoke(
        cli, ["-C", str(world.project.root), "rollback", "delay", "--to", "1", "--dry-run"]
    )
    assert "Would: delay serves m/1 already: no version is taken back." in dry.output
    apply_deployment(world.project, plan)
    assert rolled_back(world) == []
    with world.project.database.read() as connection:
        assert not connection.execute(sa.select(alerts).where(alerts.c.name == ROLLED_BACK)).all()


def test_a_rollback_by_hand_passes_over_what_cannot_be_served_again(world: World) -> None:
    """A version whose files are gone was made the stable one, and no process could load it."""
    world.policy()
    for number in (1, 2, 3):
        world.deploy(number)
    assert plan_rollback(world.project, "delay").draft.stable == 2
    lose_files(world, 2)
    plan = plan_rollback(world.project, "delay")
    assert plan.draft.stable == 1
    assert plan.summary == "delay is back at m/1, since m/2 cannot be served again"
    with pytest.raises(
        NotFound, match=r"m/2 cannot be served again: its file model\.pkl is not among the artifacts"
    ):
        plan_rollback(world.project, "delay", to=2)


def test_the_controller_names_what_it_passed_over_and_the_note_what_can_work(world: World) -> None:
    world.policy()
    for number in (1, 2, 3):
        world.deploy(number)
    world.alias(2)
    lose_files(world, 2)
    world.traffic("stable", 200, 150)
    world.controller.tick()
    now = world.current()
    assert (now.stable, now.kind) == (1, "rolled_back")
    (event,) = world.events("endpoint.rolled_back")
    assert event.summary.startswith("delay is back at m/1, since m/2 cannot be served again (revision 4)")
    assert "its file model.pkl is not among the artifacts" in event.cause["passed_over"]["m/2"]
    assert now.reason.startswith("stable breached its errors guardrail: ")
    assert now.reason.endswith("(m/2 passed over)")
    with world.project.database.read() as connection:
        told = connection.execute(
            sa.select(alerts.c.summary).where(alerts.c.name == ROLLED_BACK)
        ).scalar_one()
    assert "since m/2 cannot be served again" in told
    assert view_endpoint(world.project, "delay").notes == (
        "it is declared with m@champion, which is m/2, and serves m/1; m/2 cannot be served again: "
        "penstock promote m/1 points the alias at what is served",
    )
    apply_promotion(world.project, plan_promotion(world.project, "m/1"))
    assert view_endpoint(world.project, "delay").notes == ()


def test_a_page_asks_no_artifacts_and_a_promotion_does(world: World) -> None:
    """An object store that hangs would hold the page and its connection to the store."""
    world.policy()
    for number in (1, 2, 3):
        world.deploy(number)
    world.alias(2)
    lose_files(world, 2)
    places = dataclasses.replace(world.project.places, artifacts_url="nosuch://nowhere")
    away = Project(places, world.project.settings, "controller")
    strays = "it is declared with m@champion, which is m/2, and serves m/3"
    assert view_endpoint(away, "delay").notes == (f"{strays}: penstock deploy delay --model m@champion",)
    away.close()
    with world.project.database.read() as connection:
        (told,) = strays_from(connection, world.project.artifacts, ("m", "champion"), 2)
    assert told.startswith(f"endpoint delay: {strays}; m/2 cannot be served again: ")


def test_no_note_names_a_deployment_of_what_was_rolled_back(world: World) -> None:
    world.policy(POLICY.replace("hold_s: 0", "hold_s: 0, alias: stay"))
    world.alias(2)
    world.deploy(1)
    world.deploy(2)
    world.traffic("stable", 200, 150)
    world.controller.tick()
    assert world.champion() == 2
    (note,) = view_endpoint(world.project, "delay").notes
    assert note.endswith("m/2 was rolled back: penstock promote m/1 points the alias at what is served")


def test_a_verdict_that_cannot_be_read_stops_nobody_who_answers_for_a_version(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    world.policy()
    world.deploy(1)
    world.deploy(2)
    apply_deployment(world.project, plan_rollback(world.project, "delay"))
    with world.project.database.write() as connection:
        version = get_version(connection, "m", 2)
        verdict = Verdict(
            id="damaged", model="other", model_digest=version.digest, settings_digest="", data={}, passed=True,
            checks=(), created_ms=now_ms(), actor="ci",
        )  # fmt: skip
        add_verdict(connection, verdict)
        connection.execute(verdicts.update().where(verdicts.c.id == "damaged").values(checks={"no": "list"}))
        answer_for(connection, version, "person:ada", "the other one is worse")
    assert rolled_back(world) == []
    assert "1 verdict of the files of m/2 cannot be read and is not answered for: damaged" in caplog.text
