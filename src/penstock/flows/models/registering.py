"""Register a pipeline's model as a version, with everything it stands on."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import polars as pl

from penstock.base.clock import format_ms
from penstock.base.errors import Invalid, NotFound, PenstockError
from penstock.data.cache.hashing import hash_path
from penstock.data.formats.tables import load_table, to_columns
from penstock.flows.models.folders import store_model
from penstock.flows.models.provenance import capture_code, data_digests, environment, stage_of_output
from penstock.flows.models.stored import keep_stored
from penstock.monitoring.variation import reference_profile
from penstock.pipeline.outputs import list_outputs
from penstock.pipeline.parameters import load_values, numbers
from penstock.project.project import Project
from penstock.project.settings import ModelSettings, require_model
from penstock.registry.entities import Manifest, ModelVersion, Provenance
from penstock.registry.package import describe_model, digest_manifest, scan_model
from penstock.registry.versions import add_version, count_versions
from penstock.tracking.runs import find_run_of_lock


@dataclass(frozen=True)
class Candidate:
    """A model folder in the working tree that is what the pipeline's lock says."""

    settings: ModelSettings
    folder: Path
    manifest: Manifest
    output: str | None

    @property
    def digest(self) -> str:
        """The model's digest."""
        return digest_manifest(self.manifest)


def find_candidate(project: Project, path: str | None = None) -> Candidate:
    """Return the project's model as it lies in the working tree.

    Raises:
        NotFound: no model is configured, or its folder does not exist.
        Invalid: the folder is not what the stage that makes it locked.
    """
    settings = require_model(project.settings, project.root)
    relative = path or settings.path
    folder = project.root / relative
    if not folder.is_dir():
        raise _no_folder(project, relative, folder)
    output = require_as_made(project, relative)
    for name in (settings.metrics, settings.test, settings.reference):
        if name is not None:
            require_as_made(project, name)
    return Candidate(settings, folder, scan_model(folder), output)


def _no_folder(project: Project, relative: str, folder: Path) -> PenstockError:
    if folder.exists():
        return Invalid(
            f"{relative} is a file; what is registered and served is a folder with its files and signature",
            code="registry.model_is_a_file",
            hint=f'write one with penstock.save_model(model, "{Path(relative).with_suffix("")}", inputs=frame.head()), and '
            "name it in dvc.yaml and penstock.yaml",
            path=relative,
        )
    outputs = [output.path for output in list_outputs(project.data)]
    is_made = any(folder == path or path in folder.parents for path in outputs)
    return NotFound(
        f"there is no model at {folder}",
        code="registry.no_model",
        hint="penstock repro, or penstock pull"
        if is_made
        else f"no stage of dvc.yaml makes {relative}: mend `path:` under `model:` in penstock.yaml",
        path=str(folder),
    )


def require_as_made(project: Project, relative: str) -> str | None:
    """Check that a path is what the stage that makes it locked; return its md5, None if no stage makes it.

    Raises:
        Invalid: it was changed, or is gone, since the stage ran.
    """
    made = stage_of_output(project.data, relative)
    if made is None:
        return None
    stage, locked = made
    try:
        actual = hash_path(project.data, project.root / relative).md5
    except NotFound:
        actual = None
    if actual != locked.md5:
        raise Invalid(
            f"{relative} is not what stage `{stage}` made: it was changed afterwards",
            code="registry.output_changed",
            hint="penstock repro, then try again",
            path=relative,
        )
    return actual


def register_model(
    project: Project, name: str | None = None, path: str | None = None
) -> tuple[ModelVersion, bool]:
    """Register the pipeline's model; return the version and whether it is new.

    The files, the reference profile, the lock and any uncommitted changes go to the artifact store
    first; the version and its event are one transaction. The pipeline's metrics file and reference are of
    the pipeline's model: a model at another path gets neither.

    Raises:
        NotFound, Invalid: as `find_candidate`; or a reference table or metrics file cannot be read.
    """
    candidate = find_candidate(project, path)
    settings = candidate.settings
    code = capture_code(project)
    with project.database.read() as connection:
        run = find_run_of_lock(connection, code.lock_digest) if code.lock_digest else None
    is_own = candidate.folder.resolve() == (project.root / settings.path).resolve()
    metrics = numbers(load_values(project.root / settings.metrics)) if settings.metrics and is_own else {}
    store_model(project, candidate.folder, candidate.manifest)
    draft = ModelVersion(
        model=name or settings.name,
        number=0,
        digest=candidate.digest,
        created_ms=0,
        actor=project.actor,
        path=path or settings.path,
        manifest=candidate.manifest,
        provenance=Provenance(
            commit=code.commit,
            dirty_digest=code.dirty_digest,
            lock_digest=code.lock_digest,
            run_id=run.id if run else None,
            output=f"md5:{candidate.output}" if candidate.output else None,
            data=data_digests(project),
            environment=environment(),
        ),
        metrics=metrics,
        profile_digest=_reference_profile(project, candidate) if is_own else None,
    )
    with project.database.write() as connection:
        before = [counted.newest for counted in count_versions(connection, draft.model)]
        version = add_version(connection, draft)
    keep_stored(
        project, candidate.manifest, lambda: store_model(project, candidate.folder, candidate.manifest)
    )
    return version, version.number > max(before, default=0)


def describe_version(version: ModelVersion) -> str:
    """Say in one line where a version came from."""
    commit = version.provenance.commit[:7] if version.provenance.commit else "no commit"
    return f"{version.ref} of {format_ms(version.created_ms)} from {commit}"


def _reference_profile(project: Project, candidate: Candidate) -> str | None:
    reference = candidate.settings.reference
    if reference is None:
        return None
    names = [column.name for column in describe_model(candidate.folder).signature.inputs]
    frame = load_table(project.root / reference)
    if candidate.settings.time is not None:
        frame = _in_order(frame, candidate.settings.time, reference)
    present = [name for name in names if name in frame.columns]
    return project.artifacts.put(reference_profile(to_columns(frame, present)).to_bytes())


def _in_order(frame: pl.DataFrame, column: str, reference: str) -> pl.DataFrame:
    if column not in frame.columns:
        raise Invalid(
            f"{reference} has no column {column!r} to put its rows in order of time",
            code="registry.no_time_column",
            hint="name one of its columns as `time:` under `model:` in penstock.yaml, or none",
        )
    return frame.sort(column, maintain_order=True)
