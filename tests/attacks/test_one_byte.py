"""One byte changed in a verdict, an approval, a model file or a gate's code: every door says no, or never sees it.

The table says for each byte what each door answers. A serve process asks less: what it loads was asked when it was
deployed, and a gate written since must not end what production runs (decision 14); the bytes that it loads it checks.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import sqlalchemy as sa

from attacks.test_forged_verdicts import refusals
from flows.models.test_asked_models import judged
from penstock.base.store.events import events
from penstock.flows.models.evidence.approving import decide_approval
from penstock.project.project import Project
from penstock.registry.tables import verdicts
from penstock.registry.versions import get_version
from penstock.workspace import open_workspace
from projects import Sample

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
        *((one, lambda one=one: flip(root / one), stale, "open") for one in (*CODE, "schema.json")),
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
