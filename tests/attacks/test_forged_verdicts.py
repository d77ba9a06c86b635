"""Who can write the store cannot let a model pass: what is not signed, or differs by a byte, opens no door."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from msgspec import to_builtins
from msgspec.structs import replace
from starlette.testclient import TestClient

from penstock.base.errors import PenstockError
from penstock.base.signing import make_key
from penstock.cli.main import cli
from penstock.cli.output import EXIT_FAILED
from penstock.client.store_catalogue import StoreCatalogue
from penstock.flows.models.aliases import plan_promotion
from penstock.flows.models.folders import RegistrySource
from penstock.flows.models.judging import run_gate_on
from penstock.flows.models.proving import VerdictRule, adopt_verdict
from penstock.flows.models.registering import register_model
from penstock.flows.models.verifying import verify_versions
from penstock.flows.production.deploying import plan_deployment
from penstock.flows.production.revising import apply_deployment
from penstock.flows.production.traffic.rolling_back import plan_rollback
from penstock.http.app import build_server_app
from penstock.http.mlflow.models.models import SetAlias, set_alias
from penstock.processes.controller import ControllerLoop
from penstock.project.project import Project
from penstock.project.settings import load_project_settings
from penstock.registry.entities import Verdict
from penstock.registry.proof import seal_verdict
from penstock.registry.tables import verdicts, version_states, versions
from penstock.registry.verdicts import add_verdict, find_verdict, glance_verdict
from penstock.registry.versions import get_version
from penstock.serving.loaders import load_model
from penstock.workspace import open_workspace
from projects import Sample


@pytest.fixture
def project(released: Sample) -> Iterator[Project]:
    yield released.project
    released.project.close()


def doors(project: Project) -> dict[str, Callable[[], object]]:
    """Every way to let `late/1` through, but loading."""
    caller: Any = type("Caller", (), {"actor": "client"})
    return {
        "promote": lambda: plan_promotion(project, "late/1"),
        "alias set": lambda: plan_promotion(project, "late/1", "champion"),
        "MLflow": lambda: set_alias(project, SetAlias(name="late", alias="champion", version="1"), caller),
        "client": lambda: StoreCatalogue(project).set_alias("late", "champion", 1),
        "deploy": lambda: plan_deployment(project, "delay", "late/1"),
    }


def refusals(project: Project) -> dict[str, str]:
    """What each door says; `open` where it lets the version through. Serving is that of a version that never answered."""
    said = {}
    for name, door in doors(project).items():
        try:
            door()
        except PenstockError as error:
            said[name] = error.code
        else:
            said[name] = "open"
    try:
        RegistrySource(project).admit("late", 1)
        load_model(RegistrySource(project).fetch("late", 1))
    except PenstockError as error:
        said["serve"] = error.code
    else:
        said["serve"] = "open"
    return said


def newest(project: Project) -> Verdict:
    with project.database.read() as connection:
        found = find_verdict(connection, "late", get_version(connection, "late", 1).digest)
    assert found is not None
    return found


def write(project: Project, **columns: object) -> None:
    with project.database.write() as connection:
        connection.execute(verdicts.update().values(**columns))


def test_what_was_judged_here_opens_every_door(project: Project) -> None:
    assert set(refusals(project).values()) == {"open"}
    (report,) = verify_versions(project)
    assert (report.is_intact, [one.state for one in report.verdicts]) == (True, ["proven"])


def test_a_forged_row_opens_no_door(project: Project) -> None:
    true = newest(project)
    refused = replace(true, id="r" * 32, passed=False, created_ms=true.created_ms + 1)
    with project.database.write() as connection:
        connection.execute(verdicts.delete())
        add_verdict(connection, seal_verdict(replace(refused, envelope=None), project.keys.signing_key()))
    assert set(refusals(project).values()) == {"gate.no_passing_verdict"}
    later = replace(true, id="f" * 32, created_ms=true.created_ms + 2)
    stranger = make_key()
    forged = {
        "gate.verdict_damaged": later,
        "gate.verdict_untrusted": seal_verdict(replace(later, envelope=None), stranger),
    }
    for code, row in forged.items():
        with project.database.write() as connection:
            connection.execute(verdicts.delete().where(verdicts.c.id == "f" * 32))
            add_verdict(connection, row)
        said = refusals(project)
        assert set(said.values()) == {code}, said


def test_a_change_of_any_field_is_noticed_at_every_door(project: Project) -> None:
    true = newest(project)
    checks = to_builtins(true.checks)
    changed: list[dict[str, Any]] = [{**checks[0], "sentence": checks[0]["sentence"] + " "}, *checks[1:]]
    odd = [{**checks[0], "evidence": {**checks[0]["evidence"], "observed": 0.99}}, *checks[1:]]
    envelope = json.loads(true.envelope or "")
    flipped = {**envelope, "payload": envelope["payload"].replace("A", "B", 1)}
    other = {
        **envelope,
        "signatures": [{**envelope["signatures"][0], "sig": "AAAA" + envelope["signatures"][0]["sig"][4:]}],
    }
    cases: list[dict[str, Any]] = [
        {"checks": changed},
        {"checks": odd},
        {"checks": checks[1:]},
        {"checks": [{**checks[0], "status": "fail"}, *checks[1:]]},
        {"created_ms": true.created_ms + 1},
        {"actor": true.actor + "x"},
        {"data": {**true.data, "data/raw.csv": "md5:0"}},
        {"id": "0" * 32},
        {"envelope": json.dumps(flipped)},
        {"envelope": json.dumps(other)},
        {"envelope": "{"},
        {"envelope": json.dumps({**envelope, "payloadType": "text/plain"})},
        {"checks": "no list"},
    ]
    clean = to_builtins(true)
    for case in cases:
        write(project, **case)
        assert set(refusals(project).values()) == {"gate.verdict_damaged"}, case
        (report,) = verify_versions(project)
        assert [one.state for one in report.verdicts] == ["damaged"], case
        assert not report.is_intact
        write(project, **clean)
    assert set(refusals(project).values()) == {"open"}


def test_a_verdict_is_on_one_content_and_one_model(project: Project) -> None:
    true = newest(project)
    rule = VerdictRule.of(project)
    with project.database.read() as connection:
        for other in (
            replace(true, model="other"),
            replace(true, model_digest="0" * 64),
            replace(true, settings_digest="0" * 64),
        ):
            assert rule.examine(connection, other).state == "damaged"


def test_a_verdict_follows_the_new_name_of_its_model(project: Project) -> None:
    from penstock.registry.models import rename_model
    from penstock.registry.tables import aliases

    with project.database.write() as connection:
        connection.execute(aliases.delete())
        rename_model(connection, "late", "later", "me")
        rename_model(connection, "later", "latest-one", "me")
        found = find_verdict(connection, "latest-one", get_version(connection, "latest-one", 1).digest)
        assert found is not None
        assert VerdictRule.of(project).examine(connection, found).state == "proven"


def test_a_changed_model_file_is_not_promoted_and_all_damage_is_listed(project: Project) -> None:
    with project.database.read() as connection:
        version = get_version(connection, "late", 1)
    RegistrySource(project).fetch("late", 1)  # a whole copy on this host hides nothing
    store = Path(project.places.artifacts_url) / "objects"
    files = [one for one in version.manifest.files if one.size > 0]
    for file in files[:2]:
        path = store / file.sha256[:2] / file.sha256[2:]
        path.chmod(0o644)
        data = bytearray(path.read_bytes())
        data[-1] ^= 1
        path.write_bytes(bytes(data))
    said = refusals(project)
    assert {
        name: said[name] for name in ("promote", "alias set", "MLflow", "client", "deploy")
    } == dict.fromkeys(("promote", "alias set", "MLflow", "client", "deploy"), "registry.files_changed")
    (report,) = verify_versions(project)
    assert [one.what for one in report.damages] == [one.path for one in files[:2]]


def test_what_is_brought_back_beside_the_commit_is_looked_at_too(released: Sample) -> None:
    (released.root / "notes.txt").write_text("a\n")
    released.git.run("add", "notes.txt")
    released.git.run("commit", "--quiet", "--message", "Notes")
    (released.root / "notes.txt").write_text("b\n")
    project = open_workspace(released.root, {"USER": "ada"})
    try:
        version, _ = register_model(project, "again", "models/late")
        origin = version.provenance
        objects = {"pipeline's lock": origin.lock_digest, "uncommitted changes": origin.dirty_digest}
        for what, digest in objects.items():
            assert digest is not None
            path = Path(project.places.artifacts_url) / "objects" / digest[:2] / digest[2:]
            whole = path.read_bytes()
            path.chmod(0o644)
            path.write_bytes(whole + b"\n")
            damages = {one.version: [each.what for each in one.damages] for one in verify_versions(project)}
            assert what in damages["again/1"], damages
            path.write_bytes(whole)
        assert all(one.is_intact for one in verify_versions(project))
    finally:
        project.close()


def test_another_list_of_files_is_noticed(project: Project) -> None:
    with project.database.write() as connection:
        manifest = to_builtins(get_version(connection, "late", 1).manifest)
        connection.execute(versions.update().values(manifest={"files": manifest["files"][:-1]}))
    said = refusals(project)
    assert said["promote"] == said["deploy"] == "registry.manifest_changed"
    assert [one.what for one in verify_versions(project)[0].damages] == ["list of files", "origin"]


def test_a_forged_verdict_takes_no_rollback_back(project: Project) -> None:
    true = newest(project)
    with project.database.write() as connection:
        state = {"model": "late", "number": 1, "digest": true.model_digest, "state": "rolled_back"}
        why = {"time_ms": true.created_ms + 5, "actor": "me", "reason": "it erred", "cause": {}}
        connection.execute(version_states.insert().values(**state, **why))
        other = replace(
            true, id="f" * 32, settings_digest="0" * 64, created_ms=true.created_ms + 9, envelope=None
        )
        add_verdict(connection, other)
    said = refusals(project)
    assert said["promote"] == said["MLflow"] == said["deploy"] == "registry.rolled_back"
    assert run_gate_on(project, "late/1").passed
    assert refusals(project)["deploy"] == "registry.rolled_back", "the gates that let it out say nothing new"
    path = project.root / "penstock.yaml"
    assert "min: " in path.read_text()
    path.write_text(path.read_text().replace("min: 0.6", "min: 0.61", 1))
    project.go_by(load_project_settings(project.root))
    assert run_gate_on(project, "late/1").passed
    assert refusals(project)["deploy"] == "registry.rolled_back", "nor do others"


def test_a_verdict_from_before_signing_is_judged_anew_or_vouched_for_by_name(project: Project) -> None:
    write(project, envelope=None)
    said = refusals(project)
    assert said.pop("serve") == "open"
    assert set(said.values()) == {"gate.verdict_unsigned"}
    with project.database.read() as connection:
        version = get_version(connection, "late", 1)
    adopt_verdict(project, version)
    assert set(refusals(project).values()) == {"open"}
    state = verify_versions(project)[0].verdicts[0]
    assert state.state == "proven"
    assert state.sentence.startswith(
        f"unsigned when it was made, before signing; {project.actor} vouched for it on "
    )
    with pytest.raises(PenstockError, match="a verdict that is signed"):
        adopt_verdict(project, version)


def test_a_verdict_whose_signature_was_taken_away_is_damage_and_cannot_be_adopted(project: Project) -> None:
    assert run_gate_on(project, "late/1").passed
    stripped = newest(project)
    with project.database.write() as connection:
        connection.execute(verdicts.update().where(verdicts.c.id == stripped.id).values(envelope=None))
        version = get_version(connection, "late", 1)
    assert set(refusals(project).values()) == {"gate.verdict_damaged"}
    with pytest.raises(PenstockError) as caught:
        plan_promotion(project, "late/1")
    assert "its verdict is no proof: its signature is gone" in caught.value.message
    assert "adopt" not in (caught.value.hint or "")
    with pytest.raises(PenstockError, match="late/1 has nothing to vouch for: its verdict is no proof"):
        adopt_verdict(project, version)
    for command in (["gate", "show", "late/1"], ["model", "verify"]):
        done = CliRunner().invoke(cli, ["-C", str(project.root), *command])
        assert done.exit_code == EXIT_FAILED
        assert "its signature is gone, or it never was judged" in done.output
        assert "adopt" not in done.output
    assert run_gate_on(project, "late/1").passed
    assert set(refusals(project).values()) == {"open"}


def test_an_adopted_verdict_does_not_make_those_beside_it_damage(project: Project) -> None:
    true = newest(project)
    with project.database.write() as connection:
        connection.execute(verdicts.update().values(envelope=None))
        add_verdict(connection, replace(true, id="a" * 32, created_ms=true.created_ms + 1, envelope=None))
        version = get_version(connection, "late", 1)
    adopt_verdict(project, version)
    with project.database.write() as connection:
        add_verdict(connection, replace(true, id="b" * 32, created_ms=true.created_ms + 2, envelope=None))
    assert sorted(one.state for one in verify_versions(project)[0].verdicts) == [
        "proven",
        "unsigned",
        "unsigned",
    ]


def test_what_another_machine_signed_counts_once_its_key_is_trusted(released: Sample) -> None:
    other = make_key()
    project = released.project
    row = seal_verdict(replace(newest(project), envelope=None), other)
    write(project, envelope=row.envelope)
    assert set(refusals(project).values()) == {"gate.verdict_untrusted"}
    told = CliRunner().invoke(cli, ["-C", str(project.root), "model", "verify"])
    assert told.exit_code == 0, told.output
    assert told.output.splitlines()[-1] == "1 version is intact; 1 verdict is unsigned or not trusted here."
    with (released.root / "penstock.yaml").open("a") as file:
        file.write(f"trusted_keys: ['{other.public.text} the CI']\n")
    again = open_workspace(released.root, {"USER": "ada"})
    assert set(refusals(again).values()) == {"open"}
    again.close()


def test_a_verdict_that_cannot_be_read_hides_nothing_else_and_stops_no_rollback(project: Project) -> None:
    apply_deployment(project, plan_deployment(project, "delay", "late/1"))
    apply_deployment(project, plan_deployment(project, "delay", "late/1", reason="again"))
    with project.database.write() as connection:
        connection.exec_driver_sql("UPDATE verdicts SET checks = '[{'")
    assert set(refusals(project).values()) == {"gate.verdict_damaged"}
    with project.database.read() as connection:
        version = get_version(connection, "late", 1)
        assert glance_verdict(connection, "late", version.digest) is None
    for command in (["model", "show", "late/1"], ["model", "list"], ["why", "late/1"]):
        done = CliRunner().invoke(cli, ["-C", str(project.root), *command])
        assert done.exit_code == 0, done.output
    (report,) = verify_versions(project)
    assert [one.state for one in report.verdicts] == ["damaged"]
    apply_deployment(project, plan_rollback(project, "delay", to=1))
    assert run_gate_on(project, "late/1").passed
    assert refusals(project)["promote"] == "open"


def test_show_and_verify_tell_a_change_and_fail(released: Sample) -> None:
    write(released.project, actor="nobody")
    for command in (["gate", "show", "late/1"], ["model", "verify"]):
        done = CliRunner().invoke(cli, ["-C", str(released.root), *command])
        assert done.exit_code == EXIT_FAILED
        assert "its field `actor` was changed after it was signed" in done.output


def test_the_page_and_gate_show_say_what_the_doors_do(project: Project) -> None:
    client = TestClient(build_server_app(project, ControllerLoop(project)), follow_redirects=False)
    settings = project.root / "penstock.yaml"
    meant, true = settings.read_text(), newest(project)
    begin, end = meant.index("gates:"), meant.index("endpoints:")

    def told(expected: str) -> None:
        page = re.sub(r"<[^>]*>", "", client.get("/models/late/1").text)
        assert expected in page, page
        shown = CliRunner().invoke(cli, ["-C", str(project.root), "gate", "show", "late/1"])
        assert expected.partition(": ")[2] in shown.output, shown.output
        assert ("It may not go out" in shown.output) == ("may not go out" in expected), shown.output

    page = client.get("/models/late/1").text
    assert "late/1 may go out: 3 of 3 checks passed." in page
    assert "Its files are read when it is promoted." in page
    write(project, actor="nobody")
    told("late/1 may not go out: its verdict is no proof: its field `actor` was changed after it was signed")
    write(project, actor=true.actor)
    settings.write_text(meant[:begin] + "gates: []\n" + meant[end:])
    judge = open_workspace(project.root, {"USER": "ada"})
    assert run_gate_on(judge, "late/1").passed
    judge.close()
    settings.write_text(meant.replace("min: 0.6", "min: 0.61"))
    fresh = open_workspace(project.root, {"USER": "ada"})
    client = TestClient(build_server_app(fresh, ControllerLoop(fresh)), follow_redirects=False)
    told("late/1 may not go out: the gates changed since it was judged")
    fresh.close()
