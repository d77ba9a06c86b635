"""Model versions as folders on the local disk, verified, and as what the serving part loads."""

from __future__ import annotations

import os
import secrets
import shlex
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import cast

import numpy as np
import numpy.typing as npt

from penstock.base.errors import Corrupt, Invalid, NotFound, PenstockError, Refused, Unavailable
from penstock.flows.models.admitting import admit_version
from penstock.flows.models.proving import VerdictRule, require_unbroken
from penstock.monitoring.profile import Profile
from penstock.monitoring.rowwise.outliers import Marking
from penstock.project.project import Project
from penstock.records.flavours import choose_flavour
from penstock.records.signature import Signature
from penstock.registry.entities import Manifest, ModelVersion
from penstock.registry.package import MODEL_FILE, describe_model, parse_description, verify_model
from penstock.registry.states import require_not_rolled_back
from penstock.registry.versions import get_version
from penstock.serving.loaders import ModelFiles
from penstock.serving.loaders.model import Rows


def store_model(project: Project, folder: Path, manifest: Manifest) -> None:
    """Put every file of a model folder into the artifact store."""
    for file in manifest.files:
        project.artifacts.put_file(folder / file.path, file.sha256)


def keep_stored(project: Project, manifest: Manifest, store: Callable[[], object]) -> None:
    """Store the files of a version that was just written again where one is missing. Cost: one look at each.

    A purge removes an object only while no version has it and none can be written. So an object that was there when
    it was stored may be gone when the version is written, but not later; storing it once more after that is enough.
    """
    if any(project.artifacts.size(file.sha256) != file.size for file in manifest.files):
        store()


def fetch_model(project: Project, version: ModelVersion) -> Path:
    """Return the folder of a version under `.penstock/models`, fetching what is not there.

    Every file is checked against the manifest each time; a damaged copy is fetched anew.

    Raises:
        NotFound: an artifact is missing.
        Corrupt: an artifact does not match its digest.
        Refused: the version's files are elsewhere.
    """
    require_files(version)
    folder = project.home / "models" / version.digest
    if folder.exists():
        try:
            verify_model(folder, version.manifest)
            return folder
        except Corrupt:
            shutil.rmtree(folder)
    write_model(project, version, folder)
    return folder


def require_files(version: ModelVersion) -> None:
    """Check that a version's files are kept here.

    Raises:
        Refused: they are at a place that only clients open.
    """
    if not version.digest:
        raise Refused(
            f"the files of {version.ref} are not kept here but at {version.source or 'an unknown place'}",
            code="registry.files_elsewhere",
            hint="log the model to a run of this server and register it from there",
            model=version.model,
            version=version.number,
        )


def write_model(project: Project, version: ModelVersion, folder: Path) -> None:
    """Write a version's files into a new folder, in one step.

    Raises:
        NotFound: an artifact is missing.
        Corrupt: an artifact does not match its digest.
        Refused: the version's files are elsewhere.
    """
    require_files(version)
    folder.parent.mkdir(parents=True, exist_ok=True)
    temporary = folder.parent / f".{secrets.token_hex(8)}.tmp"
    try:
        for file in version.manifest.files:
            target = temporary / file.path
            if not target.resolve().is_relative_to(temporary.resolve()):
                raise Invalid(
                    f"{version.ref} names a file outside its folder: {file.path}", code="registry.bad_path"
                )
            try:
                project.artifacts.fetch(file.sha256, target)
            except (Corrupt, NotFound) as error:
                error.message = f"{file.path} of {version.ref} cannot be had: {error.message}"
                error.hint = (
                    f"penstock model verify {shlex.quote(version.ref)} tells all that it lacks; {error.hint}"
                )
                raise
        try:
            os.replace(temporary, folder)
        except OSError:
            if not folder.exists():
                raise
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def files_of_folder(folder: Path, name: str, number: int, digest: str) -> ModelFiles:
    """Return what the serving part needs to load the model in `folder`.

    Raises:
        Invalid: the folder's description cannot be used, or none of its flavours can be served.
        Unavailable: the package that would serve it is not installed.
    """
    description = describe_model(folder)
    try:
        flavour = choose_flavour(description.flavours)
    except (Invalid, Unavailable) as error:
        raise type(error)(
            f"model {name} cannot be served here: {error.message}", code=error.code, hint=error.hint
        ) from None
    return ModelFiles(
        path=folder,
        name=name,
        version=number,
        digest=digest,
        flavour=flavour,
        options=description.flavours[flavour],
        signature=description.signature,
        example=description.example,
        rows=cast("Rows", description.rows),
    )


def find_signature(project: Project, model: str, version: int) -> Signature | None:
    """Return a version's signature, or None where its files are elsewhere or say nothing of it.

    Raises:
        NotFound: there is no such version.
        Unavailable: the store cannot be reached.
    """
    with project.database.read() as connection:
        found = get_version(connection, model, version, deleted=True)
    digest = next((file.sha256 for file in found.manifest.files if file.path == MODEL_FILE), None)
    if digest is None:
        return None
    try:
        return project.artifacts.load(digest, parse_description)
    except PenstockError:
        return None


class RegistrySource:
    """Model files for the serving part, out of the registry. Thread-safe."""

    def __init__(self, project: Project) -> None:
        self.project = project

    def fetch(self, model: str, version: int) -> ModelFiles:
        """Return a version's verified files.

        Raises:
            NotFound, Corrupt, Invalid: as `fetch_model` and `files_of_folder`.
            Refused: its verdict was changed.
        """
        with self.project.database.read() as connection:
            found = get_version(connection, model, version, deleted=True)
            require_unbroken(self.project, connection, found)
        return files_of_folder(fetch_model(self.project, found), model, version, found.digest)

    def allow(self, model: str, version: int) -> None:
        """Make sure that a version may be asked for by number: under the rule by which it could be deployed.

        Raises:
            NotFound: there is no such version.
            Refused: it has no passing verdict that is proof though the project has gates, it was rolled back, or
                penstock.yaml cannot be read.
            Unavailable: the store cannot be reached.
        """
        with self.project.database.read() as connection:
            found = get_version(connection, model, version)
            try:
                rule = VerdictRule.of(self.project)
            except Invalid as error:
                raise Refused(
                    f"{found.ref} cannot be asked for: {error.message}", code=error.code, hint=error.hint
                ) from None
            require_not_rolled_back(connection, found, "asked for")
            rule.let_out(connection, found, "be asked for")

    def admit(self, model: str, version: int, new: tuple[str, int] | None = None) -> str:
        """Let a version answer, in the endpoint's revision `new` if it is; return what there is to tell of its gates' code.

        Raises:
            NotFound: there is no such version.
            Refused: as `admit_version`.
            Unavailable: the store cannot be reached.
        """
        with self.project.database.read() as connection:
            found = get_version(connection, model, version, deleted=True)
            return admit_version(self.project, connection, found, new)

    def edges(self, model: str, version: int) -> dict[str, npt.NDArray[np.float64]]:
        """Return the edges of a version's reference, at which live values are counted; empty without one.

        They are a `Marking`, which has what tells the reference's outliers too.

        Raises:
            NotFound, Corrupt, Unavailable: the reference cannot be had now.
        """
        with self.project.database.read() as connection:
            digest = get_version(connection, model, version, deleted=True).profile_digest
        return {} if digest is None else Marking.of(self.project.artifacts.load(digest, Profile.from_bytes))
