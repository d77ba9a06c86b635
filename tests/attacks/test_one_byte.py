"""One byte changed in a verdict, an approval, a model file or a gate's code: every door says no, or never sees it.

The table says for each byte what each door answers. A serve process asks less: what people say was asked at deployment,
and a gate changed since must not end what production runs (decision 14). What never answered it does not begin to serve.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import sqlalchemy as sa

from attacks.test_forged_verdicts import refusals
from flows.models.test_asked_models import judged
from penstock.base.store.events import events
from penstock.flows.models.admitting import admit_version, gate_code
from penstock.flows.models.evidence.approving import decide_approval
from penstock.flows.models.folders import RegistrySource
from penstock.flows.production.deploying import plan_deployment
from penstock.flows.production.revising import apply_deployment
from penstock.http.inference.app import build_inference_app
from penstock.processes.serve import ServeProcess
from penstock.processes.serve_options import ServeOptions
from penstock.project.project import Project
from penstock.registry.tables import verdicts
from penstock.registry.versions import get_version
from penstock.serving.workers import list_workers, worker_revisions
from penstock.workspace import open_workspace
from projects import Sample
from servers.forking import run_penstock
from stories.live import wait_until

ASKED = """\
gates:
  - python: {check: 'gates/mine.py:check', files: [gates/limit.py]}
  - command: {run: sh gates/check.sh, files: [gates/check.sh]}
  - pytest: {tests: [gates/test_mine.py]}
  - schema: {table: data/train.csv, schema: schema.json}
  - approval: {people: 1}
"""
CODE = {
    "gates/mine.py": "from gates.limit import LIMIT\ndef check(evidence): return evidence.metrics['roc_auc'] > LIMIT\n",
    "gates/limit.py": "LIMIT = 0.6\n",
    "gates/check.sh": "exit 0\n",
    "gates/test_mine.py": "def test_it(): pass\n",
}
ASKING = ("promote", "alias set", "MLflow", "client", "deploy")


def flip(path: Path) -> None:
    """Change the last byte of a file that others may share by a link."""
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.unlink()
    path.write_bytes(bytes(data))


def flip_text(project: Project, table: sa.Table, column: str, where: sa.ColumnElement[bool]) -> None:
    """Change the case of one letter in a column's text."""
    with project.database.write() as connection:
        text = connection.execute(
            sa.text(
                f"SELECT {column} FROM {table.name} WHERE {where.compile(compile_kwargs={'literal_binds': True})}"
            )
        ).scalar_one()
        at = next(index for index, one in enumerate(text) if one.isalpha() and index > len(text) // 2)
        changed = text[:at] + text[at].swapcase() + text[at + 1 :]
        connection.execute(
            sa.text(
                f"UPDATE {table.name} SET {column} = :new WHERE {where.compile(compile_kwargs={'literal_binds': True})}"
            ),
            {"new": changed},
        )


@pytest.fixture
def project(released: Sample) -> Project:
    for name, text in CODE.items():
        (released.root / name).parent.mkdir(exist_ok=True)
        (released.root / name).write_text(text)
    assert judged(released, ASKED).passed
    project = open_workspace(released.root, {"USER": "ada"})
    with project.database.read() as connection:
        version = get_version(connection, "late", 1)
    decide_approval(project, version, "person:bob")
    assert set(refusals(project).values()) == {"open"}
    return project


def test_one_byte_changed_is_refused_at_every_door(project: Project) -> None:
    root, home = project.root, project.home
    with project.database.read() as connection:
        version = get_version(connection, "late", 1)
        newest = (
            connection.execute(sa.select(verdicts.c.id).order_by(verdicts.c.created_ms.desc()))
            .scalars()
            .first()
        )
    file = max(version.manifest.files, key=lambda one: one.size)
    stored = Path(project.places.artifacts_url) / "objects" / file.sha256[:2] / file.sha256[2:]
    copies = [
        one for one in (home / "models").rglob("*") if one.is_file() and one.name == Path(file.path).name
    ]
    assert copies, "a serve process loads from a copy"
    saved = root.parent / "saved"

    def loses_copies(change: Callable[[], None]) -> Callable[[], None]:
        def done() -> None:
            change()
            shutil.rmtree(home / "models")

        return done

    of_newest, of_bob = verdicts.c.id == newest, events.c.actor == "person:bob"
    damaged, stale = "gate.verdict_damaged", "gate.no_passing_verdict"
    table: list[tuple[str, Callable[[], None], str, str]] = [
        *((f"a verdict's {one}", lambda one=one: flip_text(project, verdicts, one, of_newest), damaged, damaged)
          for one in ("checks", "actor", "envelope")),
        ("an approval's envelope", lambda: flip_text(project, events, "cause", of_bob), "gate.not_approved", "open"),
        ("an approval's actor", lambda: flip_text(project, events, "actor", of_bob), "gate.not_approved", "open"),
        ("a stored model file", loses_copies(lambda: flip(stored)), "registry.files_changed", "artifacts.corrupt"),
        *((one, lambda one=one: flip(root / one), stale, "gate.code_changed") for one in (*CODE, "schema.json")),
    ]  # fmt: skip
    for name, change, asked, served in table:
        shutil.copytree(root, saved, symlinks=True)
        try:
            change()
            said = refusals(project)
            expected = dict.fromkeys(ASKING, asked)
            if name == "a stored model file":
                assert said.pop("serve") != "open", said
            else:
                expected["serve"] = served
            assert said == expected, name
        finally:
            project.close()
            shutil.rmtree(root)
            os.rename(saved, root)
            project = open_workspace(root, {"USER": "ada"})
        assert set(refusals(project).values()) == {"open"}, name
    project.close()


def serving(project: Project) -> ServeProcess:
    options = ServeOptions(port=0, poll_s=0.02, flush_s=0.1)
    return ServeProcess(project.database, RegistrySource(project), build_inference_app, options)


def state(project: Project, process: ServeProcess, revision: int) -> tuple[str, str]:
    """What a serve process says of a revision of the endpoint `delay`."""
    with project.database.read() as connection:
        worker = next(one for one in list_workers(connection, 0) if one.id == process.worker)
    said = worker.state_of("delay", revision)
    return (said.state, said.message) if said else ("", "")


def test_a_running_server_begins_no_version_whose_gates_code_changed_and_what_answers_goes_on(
    project: Project,
) -> None:
    limit = project.root / "gates" / "limit.py"
    as_judged = limit.read_bytes()
    process = serving(project)
    process.start()
    apply_deployment(project, plan_deployment(project, "delay", "late/1"))
    wait_until(lambda: state(project, process, 1) == ("ready", ""))
    try:
        plan = plan_deployment(project, "other", "late/1")  # asked while all was as judged
        limit.write_bytes(as_judged + b"\n")
        process.stop()
        process = serving(project)
        process.start()  # what answered before does so after a restart
        wait_until(lambda: state(project, process, 1)[0] == "ready")
        told = state(project, process, 1)[1]
        assert told.startswith("the gates of late/1 changed here since it was judged: gates/limit.py"), told
        shown = json.loads(run_penstock(project.root, "--json", "endpoint", "show", "delay").stdout)
        assert shown["gate_code"][0]["changed"] == ["gates/limit.py"]
        assert told in shown["servers"][0]["message"]
        apply_deployment(project, plan)  # late/1 answered elsewhere: it is no new version
        wait_until(lambda: "other" in process.dataplane.repository.served)
    finally:
        process.stop()
    with project.database.write() as connection:
        connection.execute(worker_revisions.delete())
    process = serving(project)
    process.start()
    try:
        wait_until(lambda: state(project, process, 1)[0] == "hindered")
        assert "late/1 does not begin to answer: the gates of late/1 changed" in state(project, process, 1)[1]
        assert not process.dataplane.repository.served
        limit.write_bytes(as_judged)
        process.load("delay")
        assert process.dataplane.repository.served["delay"].revision.number == 1
    finally:
        process.stop()
        project.close()


def test_a_host_without_the_gates_says_that_the_signed_verdict_alone_tells_of_them(project: Project) -> None:
    with project.database.read() as connection:
        version = get_version(connection, "late", 1)
    settings = (project.root / "penstock.yaml").read_text()
    key = "".join(f"trusted_keys: ['{one.text}']\n" for one in project.keys.trusted.values())
    project.close()
    (project.root / "penstock.yaml").write_text(f"project: sample\n{key}")
    bare = open_workspace(project.root, {"USER": "ada"})
    (project.root / "gates" / "limit.py").write_text("LIMIT = 0.7\n")
    with bare.database.read() as connection:
        found = gate_code(bare, connection, version)
        told = admit_version(bare, connection, version)
    assert (found.is_compared, found.changed) == (False, ())
    assert told == ("no gates are set here: what late/1 was judged by stands in its signed verdict alone")
    bare.close()
    (project.root / "penstock.yaml").write_text(settings)
    (project.root / "gates" / "limit.py").unlink()
    partly = open_workspace(project.root, {"USER": "ada"})
    assert "is not here to compare" in RegistrySource(partly).admit("late", 1)
    partly.close()


def test_a_changed_copy_of_a_model_is_not_what_is_loaded(project: Project) -> None:
    with project.database.read() as connection:
        version = get_version(connection, "late", 1)
    of = {Path(one.path).name: one for one in version.manifest.files}
    copies = [one for one in (project.home / "models").rglob("*") if one.is_file() and one.name in of]
    largest = max(copies, key=lambda one: one.stat().st_size)
    flip(largest)
    said = refusals(project)
    if said["serve"] == "open":  # then it was fetched anew
        from penstock.base.digest import digest_file

        assert digest_file(largest) == of[largest.name].sha256
    project.close()
