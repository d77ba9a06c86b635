"""One side of a comparison: the run, version or revision that a text names, with what it stands on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from penstock.base.errors import Invalid, NotFound
from penstock.data.git.experiments import find_experiment
from penstock.data.pointers.metafiles import SUFFIX
from penstock.flows.chain.subjects import as_commit, as_run, as_version
from penstock.flows.pipelines.comparison import flat_values
from penstock.flows.pipelines.measures import read_metrics, read_parameters
from penstock.flows.pipelines.snapshot import at_revision
from penstock.flows.tracked.history import outputs_at
from penstock.pipeline.definition import DEFAULT_PARAMETER_FILE
from penstock.project.project import Project
from penstock.registry.documents.origins import is_of_commit
from penstock.registry.entities import ModelVersion
from penstock.tracking.entities import Run
from penstock.tracking.runs import get_run

Kind = Literal["version", "run", "revision"]


@dataclass(frozen=True)
class Side:
    """What one side is: `name` as people say it, and what it stands on; None and empty where that is not known.

    `parameters` are by dotted key, after `FILE:` where they are not of `params.yaml`; `data` digests by path.
    """

    kind: Kind
    name: str
    commit: str | None = None
    dirty_digest: str | None = None
    parameters: Mapping[str, Any] = field(default_factory=dict)
    metrics: Mapping[str, float] = field(default_factory=dict)
    data: Mapping[str, str] = field(default_factory=dict)
    version: ModelVersion | None = None
    run: Run | None = None


def find_side(project: Project, subject: str) -> Side:
    """Return what a text names: `model/3` or `model@alias`, a run's id or its beginning, an experiment, a revision.

    Raises:
        NotFound: it names none of them.
        Invalid: it may be a run as well as a commit.
    """
    with project.database.read() as connection:
        version = as_version(connection, subject) if "/" in subject or "@" in subject else None
        run_id = as_run(connection, (version.provenance.run_id or "") if version is not None else subject)
        run = get_run(connection, run_id) if run_id is not None else None
    if version is not None:
        return _of_version(project, version, run)
    commit = _experiment(project, subject) or as_commit(project, subject)
    if run is not None and commit is not None:
        raise Invalid(
            f"{subject!r} begins the id of a run and of a commit",
            code="compare.ambiguous",
            hint=f"write more of it: run {run.id}, commit {commit}",
        )
    if run is not None:
        return _of_run(project, run)
    if commit is None:
        raise NotFound(
            f"{subject!r} is no version, run, experiment or revision of this project",
            code="compare.unknown",
            hint="penstock model list (MODEL/3, MODEL@champion), penstock run list, penstock exp list, git log --oneline",
        )
    return _at_commit(project, Side("revision", subject, commit))


def _experiment(project: Project, subject: str) -> str | None:
    """Return the commit of the experiment of a name, or None."""
    try:
        found = find_experiment(project.git, subject)
    except NotFound:
        return None
    return found.commit if subject in (found.name, found.ref) else None


def _of_version(project: Project, version: ModelVersion, run: Run | None) -> Side:
    origin = version.provenance
    commit, dirty_digest = origin.commit, origin.dirty_digest
    if not is_of_commit(version):  # it was only registered there; its run is what made it
        commit, dirty_digest = (run.commit, run.dirty_digest) if run is not None else (None, None)
    side = Side("version", version.ref, commit, dirty_digest, version=version, run=run)
    side = _at_commit(project, side) if run is None else _with_run(project, side, run)
    return replace(side, metrics={**side.metrics, **version.metrics}, data={**side.data, **origin.data})


def _of_run(project: Project, run: Run) -> Side:
    return _with_run(project, Side("run", f"run {run.id[:8]}", run.commit, run.dirty_digest, run=run), run)


def _with_run(project: Project, side: Side, run: Run) -> Side:
    """Add what a run logged: its own word on parameters and metrics, its commit's on data it did not log."""
    data = _data_at(project, side.commit)
    return replace(side, parameters=run.params, metrics=run.metrics, data={**data, **run.inputs})


def _at_commit(project: Project, side: Side) -> Side:
    """Add what the files of a side's commit say."""
    if side.commit is None or as_commit(project, side.commit) is None:
        return side
    with at_revision(project.data, side.commit) as snapshot:
        parameters = {
            key if file == DEFAULT_PARAMETER_FILE else f"{file}:{key}": value
            for file, reading in read_parameters(snapshot).items()
            for key, value in flat_values(reading).items()
        }
        readings = read_metrics(snapshot)
        metrics = {
            key if len(readings) == 1 else f"{file}:{key}": float(value)
            for file, reading in readings.items()
            for key, value in flat_values(reading).items()
            if isinstance(value, int | float)
        }
    return replace(side, parameters=parameters, metrics=metrics, data=_data_at(project, side.commit))


def _data_at(project: Project, commit: str | None) -> dict[str, str]:
    """Return the digests of what pointers track at a commit, by path."""
    if commit is None or as_commit(project, commit) is None:
        return {}
    repo = project.data
    return {
        repo.relative(output.path): f"{output.hash.algorithm}:{output.hash.md5}"
        for output in outputs_at(repo, [commit], skip_failed=True)
        if output.hash is not None and output.source.endswith(SUFFIX)
    }
