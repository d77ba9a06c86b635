"""A version's documents for readers outside: written into a folder, and checked there without any network.

provenance.intoto.json    SLSA provenance, signed when the version was registered
verification.intoto.json  the newest verdict, an SLSA verification summary
bom.cdx.json              CycloneDX 1.6: model, data, packages
README.md                 model card with Hugging Face's front matter
model.sig                 OpenSSF's signature of the model's files, with a key of its own
model/                    the files themselves, when asked for
documents.intoto.json     a signed list of the digests of all of them
"""

from __future__ import annotations

import json
import os
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib import metadata as packages
from pathlib import Path
from typing import Any

import msgspec

from penstock.base.clock import now_ms
from penstock.base.digest import digest_file
from penstock.base.errors import Conflict, Corrupt, Invalid, NotFound, PenstockError
from penstock.base.files import write_atomic
from penstock.base.numbers import counted
from penstock.base.replacing import appearing
from penstock.base.signing import PublicKey, open_envelope, parse_envelope, seal
from penstock.flows.models.folders import fetch_model, require_files, write_model
from penstock.project.project import Project
from penstock.registry.cards import get_card
from penstock.registry.documents import slsa
from penstock.registry.documents.card import render_card
from penstock.registry.documents.cyclonedx import bill_of_materials
from penstock.registry.documents.facts import VersionFacts
from penstock.registry.documents.openssf import sign_folder, verify_folder
from penstock.registry.entities import ModelVersion
from penstock.registry.package import describe_model, scan_model
from penstock.registry.proof import PREDICATE as VERIFICATION
from penstock.registry.proof import STATEMENT
from penstock.registry.references import resolve_version
from penstock.registry.verdicts import find_verdict

PROVENANCE_FILE, VERDICT_FILE = "provenance.intoto.json", "verification.intoto.json"
BOM_FILE, CARD_FILE, SIGNATURE_FILE = "bom.cdx.json", "README.md", "model.sig"
LIST_FILE, MODEL_FOLDER = "documents.intoto.json", "model"
NAMES = {PROVENANCE_FILE, VERDICT_FILE, BOM_FILE, CARD_FILE, SIGNATURE_FILE, LIST_FILE, MODEL_FOLDER}
LIST = "urn:penstock:documents:v1"


@dataclass(frozen=True)
class Exported:
    """A version's documents: where, the names of the files, and what a reader should know."""

    version: ModelVersion
    folder: Path
    files: tuple[str, ...]
    notes: tuple[str, ...] = ()


class Finding(msgspec.Struct, frozen=True):
    """What was found of one document; `holds` is None where it could not be checked."""

    what: str
    holds: bool | None
    sentence: str


def export_documents(
    project: Project,
    reference: str,
    folder: Path,
    *,
    private_key: Path | None = None,
    with_model: bool = False,
    force: bool = False,
) -> Exported:
    """Write a version's documents into a new folder, in one step.

    Args:
        force: replace a folder that an earlier call wrote.
        private_key: of an elliptic curve, in PEM: the model's files are signed with it in OpenSSF's format too.

    Raises:
        NotFound: there is no such version.
        Conflict: the folder exists and `force` was not given, or it is not one of documents.
        Refused: the version's files are not kept here.
        Unavailable, Invalid: the model cannot be signed.
    """
    if force and os.path.lexists(folder):
        _require_documents(folder)
    with project.database.read() as connection:
        version = resolve_version(connection, reference)
        verdict = find_verdict(connection, version.model, version.digest)
        aliases = get_card(connection, version.model, version.number).aliases
    require_files(version)
    notes = []
    kept = fetch_model(project, version)
    description = describe_model(kept)
    settings = next((one for one in project.settings.all_models if one.name == version.model), None)
    facts = VersionFacts(
        version=version,
        project=project.settings.project,
        flavours={name: _library_version(options) for name, options in description.flavours.items()},
        signature=description.signature,
        aliases=aliases,
        verdict=verdict,
        test=settings.test if settings else None,
    )
    if version.provenance.statement is None:
        notes.append(f"the origin of {version.ref} was not signed when it was registered: it is signed now")
    texts = {
        PROVENANCE_FILE: load_statement(project, version) or _seal_now(project, version),
        BOM_FILE: json.dumps(bill_of_materials(facts, packages.version("penstock")), indent=2) + "\n",
        CARD_FILE: render_card(facts),
    }
    if verdict is not None and verdict.envelope is not None:
        texts[VERDICT_FILE] = verdict.envelope
    else:
        notes.append(f"{version.ref} has no signed verdict: penstock gate run {shlex.quote(version.ref)}")
    with appearing(folder, force=force) as temporary:
        temporary.mkdir(parents=True)
        for name, text in texts.items():
            write_atomic(temporary / name, text.encode())
        if private_key is not None:
            sign_folder(kept, temporary / SIGNATURE_FILE, private_key)
        listed = _seal_list(project, version, temporary)
        if with_model:
            write_model(project, version, temporary / MODEL_FOLDER)
        write_atomic(temporary / LIST_FILE, listed.encode())
    files = tuple(sorted(path.name for path in folder.iterdir()))
    return Exported(version, folder, files, tuple(notes))


def _require_documents(folder: Path) -> None:
    """Refuse a folder that holds anything but a version's documents."""
    present = (
        {path.name for path in folder.iterdir()} if folder.is_dir() and not folder.is_symlink() else set()
    )
    other = sorted(present - NAMES)
    if LIST_FILE not in present or other:
        told = f"it holds {other[0]}" if other else f"it has no {LIST_FILE}"
        raise Conflict(
            f"{folder} is not only of documents: {told}",
            code="model.not_documents",
            hint="name another folder",
        )


def load_statement(project: Project, version: ModelVersion) -> str | None:
    """Return the signed statement of where a version came from; None where there is none.

    Raises:
        NotFound, Corrupt: it is not in the artifact store, or was changed there.
    """
    digest = version.provenance.statement
    return project.artifacts.get(digest).decode(errors="replace") if digest is not None else None


def verify_documents(
    keys: Mapping[str, PublicKey],
    folder: Path,
    version: ModelVersion | None = None,
    *,
    public_key: Path | None = None,
) -> list[Finding]:
    """Check a folder of documents: who signed them, that each is what was listed, that all are of one model.

    Args:
        keys: the trusted keys, by their ids.
        version: the version that they must be of.
        public_key: the key of the model's own signature.

    Raises:
        NotFound: there is no such folder.
    """
    if not folder.is_dir():
        raise NotFound(
            f"there is no folder {folder}", code="model.no_documents", hint="penstock model export-provenance"
        )
    return list(_findings(keys, folder, version, public_key))


def _findings(
    keys: Mapping[str, PublicKey], folder: Path, version: ModelVersion | None, public_key: Path | None
) -> Iterator[Finding]:
    try:
        listed = _open(keys, folder / LIST_FILE, LIST)
        digests = {str(one["name"]): str(one["digest"]["sha256"]) for one in listed["subject"]}
        model, digest = str(listed["predicate"]["model"]), str(listed["predicate"]["digest"])
    except (PenstockError, KeyError, TypeError) as error:
        message = error.message if isinstance(error, PenstockError) else "it lists nothing"
        yield Finding(LIST_FILE, False, message)
        return
    yield Finding(LIST_FILE, True, f"{counted(len(digests), 'document')} of {model}")
    if version is not None and version.digest != digest:
        yield Finding("model", False, f"the documents are of another content than {version.ref}")
    elif version is not None and version.ref != model:
        yield Finding("model", False, f"the documents are of {model}, not of {version.ref}")
    present = {path.name for path in folder.iterdir()} - {LIST_FILE, MODEL_FOLDER}
    for name in sorted(present | digests.keys()):
        problem = _difference(folder / name, digests.get(name))
        yield Finding(name, problem is None, problem or "it is what was listed")
    statement = None
    for name, kind in ((PROVENANCE_FILE, slsa.PREDICATE), (VERDICT_FILE, VERIFICATION)):
        if name not in digests:
            yield Finding(name, None, "there is none")
            continue
        try:
            opened = _open(keys, folder / name, kind)
            if digest not in {one["digest"].get("sha256") for one in opened["subject"]}:
                yield Finding(name, False, "it is of another model")
            elif kind == slsa.PREDICATE:
                statement = opened
        except (PenstockError, KeyError, TypeError) as error:
            yield Finding(
                name, False, error.message if isinstance(error, PenstockError) else "it cannot be read"
            )
    yield from _model(folder, model, statement)
    yield from _signature(folder, public_key)


def _model(folder: Path, model: str, statement: dict[str, Any] | None) -> Iterator[Finding]:
    place = folder / MODEL_FOLDER
    if statement is None or not place.is_dir():
        return
    signed = {one["name"]: one["digest"].get("sha256") for one in statement["subject"]}
    name = str(statement["subject"][0]["name"])
    wanted = {path.removeprefix(f"{name}/"): sha for path, sha in signed.items() if path != name}
    try:
        found = {file.path: file.sha256 for file in scan_model(place).files}
    except PenstockError as error:
        yield Finding(MODEL_FOLDER, False, error.message)
        return
    other = sorted(path for path in wanted.keys() | found.keys() if wanted.get(path) != found.get(path))
    if other:
        yield Finding(MODEL_FOLDER, False, f"{other[0]} is not what was registered")
    else:
        yield Finding(
            MODEL_FOLDER, True, f"{counted(len(found), 'file is', 'files are')} those that were registered"
        )


def _signature(folder: Path, public_key: Path | None) -> Iterator[Finding]:
    signature, model = folder / SIGNATURE_FILE, folder / MODEL_FOLDER
    if not signature.is_file():
        return
    if public_key is None or not model.is_dir():
        what = "its public key (--model-key)" if public_key is None else "the model's files (--with-model)"
        yield Finding("OpenSSF signature", None, f"not checked: it takes {what}")
        return
    try:
        verify_folder(model, signature, public_key)
        yield Finding("OpenSSF signature", True, "the model's files are those that were signed")
    except PenstockError as error:
        yield Finding(
            "OpenSSF signature", None if error.code == "signing.not_installed" else False, error.message
        )


def _open(keys: Mapping[str, PublicKey], path: Path, kind: str) -> dict[str, Any]:
    """Return a statement that a trusted key signed."""
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise NotFound(f"there is no {path.name}", code="model.no_documents") from None
    except (OSError, UnicodeDecodeError):
        raise Corrupt(f"{path.name} cannot be read", code="signing.damaged") from None
    envelope = parse_envelope(text)
    opened = open_envelope(envelope, keys)
    if opened is None:
        raise Invalid(
            f"{path.name} is signed by the key {envelope.signatures[0].keyid[:16]}, which is not trusted here",
            code="signing.untrusted",
            hint="penstock key show, where it was signed, into `trusted_keys:` of penstock.yaml",
        )
    statement = opened[0]
    if (statement.get("_type"), statement.get("predicateType")) != (STATEMENT, kind):
        raise Corrupt(f"{path.name} is a statement of another kind", code="signing.damaged")
    return statement


def _difference(path: Path, listed: str | None) -> str | None:
    if listed is None:
        return "it is not among the listed documents"
    if not path.is_file() or path.is_symlink():
        return "it is missing"
    return None if digest_file(path) == listed else "it was changed after it was listed"


def _seal_list(project: Project, version: ModelVersion, folder: Path) -> str:
    subjects = [
        {"name": path.name, "digest": {"sha256": digest_file(path)}} for path in sorted(folder.iterdir())
    ]
    statement = {
        "_type": STATEMENT,
        "subject": subjects,
        "predicateType": LIST,
        "predicate": {"model": version.ref, "digest": version.digest},
    }
    return seal(statement, project.keys.signing_key())


def _seal_now(project: Project, version: ModelVersion) -> str:
    return slsa.seal_provenance(version, project.settings.project, now_ms(), project.keys.signing_key())


def _library_version(options: Mapping[str, Any]) -> str | None:
    return next((str(value) for key, value in options.items() if key.endswith("version")), None)
