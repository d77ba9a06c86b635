"""A version's documents: real programs accept them, and one changed byte of any is refused."""

from __future__ import annotations

import base64
import json
import os
import subprocess
from pathlib import Path
from typing import Any

import msgspec
import pytest

from penstock.base.errors import Conflict
from penstock.flows.models.documents import Finding, export_documents, verify_documents
from penstock.flows.models.verifying import verify_versions
from penstock.registry.entities import ModelVersion
from penstock.registry.references import resolve_version
from penstock.registry.tables import versions
from projects import Sample
from servers.forking import run_penstock

CHECKERS = os.environ.get("PENSTOCK_PROVENANCE_PYTHON")
CHECK = Path(__file__).with_name("check_documents.py")
pytest.importorskip("model_signing")


def make_keys(folder: Path) -> tuple[Path, Path]:
    private, public = folder / "private.pem", folder / "public.pem"
    make = ["openssl", "ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", str(private)]
    subprocess.run(make, check=True, capture_output=True)
    read = ["openssl", "ec", "-in", str(private), "-pubout", "-out", str(public)]
    subprocess.run(read, check=True, capture_output=True)
    return private, public


@pytest.fixture
def exported(released: Sample, tmp_path: Path) -> Path:
    private, _ = make_keys(tmp_path)
    folder = tmp_path / "documents"
    done = export_documents(released.project, "late/1", folder, private_key=private, with_model=True)
    assert not done.notes
    return folder


@pytest.mark.slow
@pytest.mark.skipif(CHECKERS is None, reason="make test installs the programs")
def test_the_real_programs_accept_them(released: Sample, exported: Path) -> None:
    raw = released.project.keys.signing_key().public.raw.hex()
    command = [str(CHECKERS), str(CHECK), str(exported), raw]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "checked\n"), done.stdout + done.stderr


def test_one_changed_byte_of_any_document_or_file_is_refused(released: Sample, exported: Path) -> None:
    keys, public = released.project.keys.trusted, exported.parent / "public.pem"
    with released.project.database.read() as connection:
        version = resolve_version(connection, "late/1")

    def found(**options: Path) -> list[Finding]:
        return verify_documents(keys, exported, version, **options)

    assert all(one.holds for one in found(public_key=public))
    files = sorted(path for path in exported.rglob("*") if path.is_file())
    assert len(files) > 8
    for path in files:
        whole = path.read_bytes()
        path.write_bytes(whole[:-2] + bytes([whole[-2] ^ 1]) + whole[-1:])
        assert any(one.holds is False for one in found()), path.name
        path.write_bytes(whole)
    for path in files:
        if path.name != "MLmodel":
            aside = path.rename(exported.parent / "aside")
            assert any(one.holds is False for one in found()), path.name
            aside.rename(path)
    more = exported / "more.json"
    more.write_text("{}")
    assert [one.what for one in found() if one.holds is False] == ["more.json"]
    more.unlink()
    added = exported / "model/added"
    added.write_text("1")
    wrong = {one.what for one in found(public_key=public) if one.holds is False}
    assert wrong == {"model", "OpenSSF signature"}
    added.unlink()
    assert all(one.holds for one in found(public_key=public))
    assert [one.what for one in verify_documents({}, exported) if one.holds is False] == [
        "documents.intoto.json"
    ]


def test_documents_of_another_version_and_anothers_key_are_told(released: Sample, exported: Path) -> None:
    name = str(exported)
    done = run_penstock(released.root, "model", "verify", "late/1", "--documents", name)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "OpenSSF signature: not checked: it takes its public key" in done.stdout
    card = exported / "README.md"
    card.write_text(card.read_text().replace("passed", "excelled"))
    done = run_penstock(released.root, "model", "verify", "--documents", name)
    assert (done.returncode, "DAMAGED README.md" in done.stdout) == (1, True)
    done = run_penstock(released.root, "model", "export-provenance", "late/1", name)
    assert (done.returncode, "exists" in done.stderr) == (4, True)
    with pytest.raises(Conflict):
        export_documents(released.project, "late/1", exported)
    export_documents(released.project, "late/1", exported, force=True)
    keys = released.project.keys.trusted
    with released.project.database.read() as connection:
        version = resolve_version(connection, "late/1")
    assert all(one.holds is not False for one in verify_documents(keys, exported, version))
    other = msgspec.structs.replace(version, number=3)
    wrong = [one.sentence for one in verify_documents(keys, exported, other) if one.holds is False]
    assert wrong == ["the documents are of late/1, not of late/3"]
    (exported / "mine.txt").write_text("1")
    for folder in (exported, released.root / "data"):
        with pytest.raises(Conflict, match="not only of documents"):
            export_documents(released.project, "late/1", folder, force=True)


def test_an_origin_that_was_changed_in_the_store_is_damage(released: Sample) -> None:
    project = released.project
    assert [(one.damages, one.origin) for one in verify_versions(project)] == [((), None)]
    with project.database.read() as connection:
        before = resolve_version(connection, "late/1")
    for changed in (
        {"provenance": {"commit": "0" * 40}},
        {"provenance": {"data": {"data/raw.csv": "md5:" + "0" * 32}}},
        {"provenance": {"statement": "0" * 64}},
        {"metrics": {"roc_auc": 0.999}},
        {"actor": "person:eve"},
    ):
        origin = project_document(before)
        values: dict[str, Any] = dict(changed)
        if "provenance" in changed:
            values["provenance"] = {**origin, **values["provenance"]}
        with project.database.write() as connection:
            connection.execute(versions.update().values(**values))
        (report,) = verify_versions(project)
        assert [one.what for one in report.damages] == ["origin"], changed
        with project.database.write() as connection:
            connection.execute(
                versions.update().values(provenance=origin, metrics=before.metrics, actor=before.actor)
            )
    origin = {**project_document(before), "statement": None}
    with project.database.write() as connection:
        connection.execute(versions.update().values(provenance=origin))
    (report,) = verify_versions(project)
    assert (report.damages, report.origin) == ((), "where it came from is not signed")


def project_document(version: ModelVersion) -> dict[str, Any]:
    document: dict[str, Any] = msgspec.to_builtins(version.provenance)
    return document


def test_the_statement_says_what_the_model_was_made_from(released: Sample, exported: Path) -> None:
    envelope = json.loads((exported / "provenance.intoto.json").read_text())
    statement = json.loads(base64.b64decode(envelope["payload"]))
    made = statement["predicate"]["buildDefinition"]
    names = [one["name"] for one in made["resolvedDependencies"]]
    assert names == ["commit", "dvc.lock", "data/raw.csv"]
    assert made["resolvedDependencies"][0]["digest"] == {"gitCommit": released.git.head()}
    bom = json.loads((exported / "bom.cdx.json").read_text())
    packages = {one["name"]: one["version"] for one in bom["components"] if one["type"] == "library"}
    assert packages["scikit-learn"] == made["internalParameters"]["environment"]["scikit-learn"]
