"""Register a model that a client uploaded: its files become content, with where they came from.

The files are read once where the artifact proxy keeps them and put into the content store; the version is then
the same kind of thing as a pipeline's, and what the client does to its folder later does not change it. A
place that only clients can open is written down as it is: no manifest, no digest, and so no verdict.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field

import msgspec
import sqlalchemy as sa

from penstock.artifacts.files import ArtifactFiles
from penstock.base.errors import NotFound
from penstock.flows.models.folders import keep_stored
from penstock.project.project import Project
from penstock.registry.entities import FileDigest, Manifest, ModelVersion, Provenance
from penstock.registry.models import get_model
from penstock.registry.package import digest_manifest
from penstock.registry.versions import add_version, find_manifest, get_version
from penstock.tracking.datasets import list_datasets
from penstock.tracking.entities import Run
from penstock.tracking.logged_models import VERSIONS_TAG, list_model_metrics, list_models, set_model_tags
from penstock.tracking.runs import get_run, list_rows
from penstock.tracking.tables import logged_model_tags
from penstock.tracking.values import list_pairs

COMMIT_TAG = "mlflow.source.git.commit"
ENVIRONMENT_TAG = "penstock.environment"
"""What a logged model's client had installed, as a JSON object of versions by name."""
_COMMIT = re.compile(r"[0-9a-f]{7,64}\Z")


@dataclass(frozen=True)
class Registration:
    """A version that a client asks for.

    Args:
        source: the place as the client names it.
        folder: the same place in the artifact store, below its prefix; None where the server keeps no files.
        origin: the version that it is another name of, where it is a copy.
    """

    model: str
    source: str
    actor: str
    folder: str | None = None
    origin: ModelVersion | None = None
    run_id: str | None = None
    logged_model_id: str | None = None
    run_link: str | None = None
    description: str | None = None
    tags: Mapping[str, str] = field(default_factory=dict)


def register_uploaded(project: Project, wanted: Registration) -> ModelVersion:
    """Register a version; every call makes one, also of the same content.

    The files are stored first; version, event and the logged model's list of versions are one transaction.

    Raises:
        NotFound: there is no such model, or there are no files in the folder.
        Invalid: a tag cannot be one.
    """
    with project.database.read() as connection:
        get_model(connection, wanted.model)
        draft = _origin_draft(wanted) if wanted.origin else _run_draft(connection, wanted)
    if wanted.folder is not None:
        manifest = store_folder(project, wanted.folder)
        if not manifest.files:
            raise NotFound(
                f"there are no files at {wanted.source}, and a version is fixed once it is made",
                code="artifacts.missing",
                hint="log the model first, then register it",
                uri=wanted.source,
            )
        draft = msgspec.structs.replace(draft, manifest=manifest, digest=digest_manifest(manifest))

    def write(connection: sa.Connection) -> ModelVersion:
        if wanted.origin is not None:
            get_version(connection, wanted.origin.model, wanted.origin.number, deleted=True)
        version = add_version(connection, draft, reuse=False)
        if wanted.logged_model_id:
            _note_version(connection, wanted.logged_model_id, version)
        return version

    version = project.writer.submit(write).result()
    if wanted.folder is not None:
        folder = wanted.folder
        keep_stored(project, version.manifest, lambda: store_folder(project, folder))
    return version


def store_folder(project: Project, folder: str) -> Manifest:
    """Put every file below a folder of the artifact store into the content store; return their manifest."""
    files = ArtifactFiles(project.artifacts.backend)
    found = []
    for entry in files.walk(folder):
        sha256, size = files.adopt(f"{folder}/{entry.key}", project.artifacts)
        found.append(FileDigest(entry.key, size, sha256))
    return Manifest(tuple(sorted(found, key=lambda file: file.path)))


def manifest_of(project: Project, digest: str) -> Mapping[str, tuple[str, int]] | None:
    """Return the files of a version by the digest of its manifest: sha256 and size by path; None if unknown."""
    with project.database.read() as connection:
        manifest = find_manifest(connection, digest)
    return None if manifest is None else {file.path: (file.sha256, file.size) for file in manifest.files}


def _origin_draft(wanted: Registration) -> ModelVersion:
    if wanted.origin is None:
        raise TypeError("a copy has an origin")
    return msgspec.structs.replace(
        wanted.origin,
        model=wanted.model,
        number=0,
        actor=wanted.actor,
        source=wanted.source,
        stage="None",
        description=wanted.description,
        run_link=wanted.run_link,
        tags=dict(wanted.tags),
    )


def _run_draft(connection: sa.Connection, wanted: Registration) -> ModelVersion:
    run = _find_run(connection, wanted.run_id) if wanted.run_id else None
    origin = _provenance(connection, wanted, run)
    return ModelVersion(
        model=wanted.model,
        number=0,
        digest="",
        created_ms=0,
        actor=wanted.actor,
        path=wanted.folder or "",
        manifest=Manifest(()),
        provenance=msgspec.structs.replace(origin, environment=_environment(connection, wanted)),
        metrics=_metrics(connection, wanted, run),
        source=wanted.source,
        run_link=wanted.run_link,
        description=wanted.description,
        logged_model_id=wanted.logged_model_id,
        tags=dict(wanted.tags),
    )


def _find_run(connection: sa.Connection, run_id: str) -> Run | None:
    return get_run(connection, run_id) if list_rows(connection, [run_id]) else None


def _provenance(connection: sa.Connection, wanted: Registration, run: Run | None) -> Provenance:
    if run is None:
        return Provenance(run_id=wanted.run_id)
    claimed = run.tags.get(COMMIT_TAG, "")
    used = {
        one.dataset.name: f"mlflow:{one.dataset.digest}"
        for one in list_datasets(connection, [run.id]).get(run.id, ())
    }
    return Provenance(
        commit=run.commit or (claimed if _COMMIT.match(claimed) else None),
        dirty_digest=run.dirty_digest,
        tree=run.tree,
        lock_digest=run.lock_digest,
        run_id=run.id,
        data={**used, **run.inputs},
    )


def _environment(connection: sa.Connection, wanted: Registration) -> dict[str, str]:
    if not wanted.logged_model_id:
        return {}
    ids = [wanted.logged_model_id]
    noted = list_pairs(connection, logged_model_tags, ids).get(wanted.logged_model_id, {})
    try:
        return msgspec.json.decode(noted.get(ENVIRONMENT_TAG, "{}"), type=dict[str, str])
    except msgspec.DecodeError:
        return {}


def _metrics(connection: sa.Connection, wanted: Registration, run: Run | None) -> dict[str, float]:
    """Return what was measured of the logged model; of its run, where nothing was of the model itself."""
    own: dict[str, float] = {}
    if wanted.logged_model_id:
        points = list_model_metrics(connection, [wanted.logged_model_id]).get(wanted.logged_model_id, ())
        own = {point.key: point.value for point in points if not point.is_nan}
    found = own or (run.metrics if run else {})
    return {key: value for key, value in found.items() if math.isfinite(value)}


def _note_version(connection: sa.Connection, model_id: str, version: ModelVersion) -> None:
    """Write the version into the logged model's tag, as MLflow's server does."""
    if not list_models(connection, [model_id]):
        return
    tags = list_pairs(connection, logged_model_tags, [model_id]).get(model_id, {})
    try:
        known = json.loads(tags.get(VERSIONS_TAG, "[]"))
    except ValueError:
        known = []
    known = known if isinstance(known, list) else []
    made = {"name": version.model, "version": version.number}
    if made not in known:
        set_model_tags(connection, model_id, {VERSIONS_TAG: json.dumps([*known, made])})
