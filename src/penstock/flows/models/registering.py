"""Register a model as a version, with everything it stands on."""

from __future__ import annotations

import msgspec
import polars as pl

from penstock.base.clock import format_ms, now_ms
from penstock.base.errors import Invalid, Refused, Unavailable
from penstock.data.formats.tables import load_table, to_columns
from penstock.flows.models.candidates import Candidate, find_candidate
from penstock.flows.models.evidence.losses import fit_losses_of
from penstock.flows.models.evidence.made import made_from
from penstock.flows.models.evidence.measured import require_measured
from penstock.flows.models.folders import fetch_model, files_of_folder, keep_stored, store_model
from penstock.flows.models.provenance import capture_code
from penstock.monitoring.estimating.losses import keep_losses
from penstock.monitoring.rowwise.learned import learn
from penstock.monitoring.rowwise.redaction import is_redacted
from penstock.monitoring.variation import reference_profile
from penstock.pipeline.parameters import load_metrics
from penstock.project.environment import environment
from penstock.project.project import Project
from penstock.registry.documents.origins import commit_words, never_seen, not_in_step
from penstock.registry.documents.slsa import seal_provenance
from penstock.registry.entities import ModelVersion, Provenance
from penstock.registry.package import describe_model, read_flavours
from penstock.registry.versions import add_version, count_versions
from penstock.serving.faults import failure_afresh
from penstock.tracking.runs import find_run_of_lock

LOADED_S = 60.0
"""How long a registered version may take to be loaded and tried before that is told."""


def register_model(
    project: Project, name: str | None = None, path: str | None = None
) -> tuple[ModelVersion, bool]:
    """Register a model of the pipeline, or any other folder or file; return the version and whether it is new.

    The files, the reference profile, the lock and any uncommitted changes go to the artifact store
    first; the version and its event are one transaction. The pipeline's metrics file and reference are of
    the pipeline's model: a model at another path gets neither. Without a penstock.yaml, name and path say it all.

    Raises:
        NotFound, Invalid: as `find_candidate`; or the model's description, a reference table or metrics file cannot be read, or is
            of another model.
    """
    candidate = find_candidate(project, path, name)
    read_flavours(candidate.folder)
    settings = candidate.settings
    origin = _origin_of(project, candidate)
    require_measured(project, settings)
    metrics = load_metrics(project.root / settings.metrics) if settings.metrics else {}
    store_model(project, candidate.folder, candidate.manifest)
    draft = ModelVersion(
        model=name or settings.name,
        number=0,
        digest=candidate.digest,
        created_ms=0,
        actor=project.actor,
        path=settings.path,
        manifest=candidate.manifest,
        provenance=origin,
        metrics=metrics,
        profile_digest=_reference_profile(project, candidate),
    )
    statement = seal_provenance(draft, project.settings.project, now_ms(), project.keys.signing_key())
    origin = msgspec.structs.replace(origin, statement=project.artifacts.put(statement.encode()))
    draft = msgspec.structs.replace(draft, provenance=origin)
    with project.database.write() as connection:
        before = [counted.newest for counted in count_versions(connection, draft.model)]
        version = add_version(connection, draft, retraining=project.places.retraining)
    keep_stored(
        project, candidate.manifest, lambda: store_model(project, candidate.folder, candidate.manifest)
    )
    return version, version.number > max(before, default=0)


def serving_note(project: Project, version: ModelVersion) -> str | None:
    """Return what keeps a version from being served here, with what would help; None where nothing does.

    It is loaded and tried in a process of its own: code of a model may end one, or never come back.
    """
    try:
        folder = fetch_model(project, version)
        files = files_of_folder(folder, version.model, version.number, version.digest)
        return failure_afresh(files, LOADED_S)
    except (Invalid, Refused, Unavailable) as error:
        return f"{error.message}: {error.hint}" if error.hint else error.message


def reference_note(project: Project, version: ModelVersion) -> str | None:
    """Return what a version without a reference profile lacks, where penstock.yaml has one for another model or path."""
    named = next((one for one in project.settings.all_models if one.reference is not None), None)
    if version.profile_digest is not None or named is None:
        return None
    start = f"{version.ref} was registered without a reference profile, so no drift and no odd values of it are judged"
    own = next((one for one in project.settings.all_models if one.name == version.model), None)
    if own is not None and own.reference is None:
        return f"{start}: the model {own.name} in penstock.yaml has no `reference:`"
    return f"{start}: `reference:` in penstock.yaml is of the model {named.name} at {named.path}"


def origin_note(version: ModelVersion) -> str | None:
    """Return why a version is not what its commit makes, with what would help; None where it is, as far as anybody knows."""
    origin = version.provenance
    if origin.stale:
        return f"{version.ref} was made before what is here now: {not_in_step(origin.stale)}"
    return f"{version.ref}: {never_seen(origin.unseen)}" if origin.unseen else None


def describe_version(version: ModelVersion) -> str:
    """Say in one line where a version came from."""
    commit = version.provenance.commit
    told = f"{commit_words(version) or 'from '}{commit[:7]}" if commit else "from no commit"
    return f"{version.ref} of {format_ms(version.created_ms)} {told}"


def _origin_of(project: Project, candidate: Candidate) -> Provenance:
    """Return where a candidate came from; the pipeline has part in it where one of its stages made what is there."""
    code = capture_code(project)
    origin = Provenance(
        commit=code.commit,
        dirty_digest=code.dirty_digest,
        environment=environment(),
        tree=None if code.commit is None else "clean" if code.dirty_digest is None else "changed",
    )
    made = made_from(project, candidate.settings.path, candidate.settings.metrics)
    if made is None:
        return origin
    run_id = made.run_id
    if run_id is None and code.lock_digest is not None:
        with project.database.read() as connection:
            run = find_run_of_lock(connection, code.lock_digest)
        run_id = run.id if run is not None else None
    return msgspec.structs.replace(
        origin,
        lock_digest=code.lock_digest,
        run_id=run_id,
        output=f"md5:{made.output}",
        data=dict(made.data),
        stale=made.stale,
        unseen=made.unseen,
    )


def _reference_profile(project: Project, candidate: Candidate) -> str | None:
    reference = candidate.settings.reference
    if reference is None:
        return None
    names = [column.name for column in describe_model(candidate.folder).signature.inputs]
    frame = load_table(project.root / reference)
    if candidate.settings.time is not None:
        frame = _in_order(frame, candidate.settings.time, reference)
    present = [name for name in names if name in frame.columns]
    columns = to_columns(frame, present)
    profile = reference_profile(columns)
    redacted = _redacted(project, candidate.settings.name)
    kept = {name: values for name, values in columns.items() if not is_redacted(name, redacted)}
    profile.learned = learn(kept, candidate.settings.reference_rows)
    losses = fit_losses_of(project, candidate, profile, redacted)
    if losses is not None:
        keep_losses(profile, losses)
    return project.artifacts.put(profile.to_bytes())


def _redacted(project: Project, model: str) -> tuple[str, ...]:
    """Return the columns that an endpoint of the model does not keep."""
    of_model = (one for one in project.settings.endpoints.values() if one.model_name == model)
    return tuple(name for one in of_model for name in one.monitor.redacted)


def _in_order(frame: pl.DataFrame, column: str, reference: str) -> pl.DataFrame:
    if column not in frame.columns:
        raise Invalid(
            f"{reference} has no column {column!r} to put its rows in order of time",
            code="registry.no_time_column",
            hint="name one of its columns as `time:` under `model:` in penstock.yaml, or none",
        )
    return frame.sort(column, maintain_order=True)
