"""StoreSink: records go straight into the project's store and artifacts; no server is needed."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import sqlalchemy as sa

from penstock.artifacts.files import ArtifactFiles
from penstock.base.clock import now_ms
from penstock.base.errors import Conflict
from penstock.client.sink import CLIENT_MODEL_TAG, CLIENT_TAG, Batch, ModelDraft, RunDraft, check_experiment
from penstock.project.project import Project
from penstock.tracking import logged_models, runs
from penstock.tracking.datasets import link_models, log_datasets
from penstock.tracking.entities import NAME_TAG, LoggedModel, ModelLink, Run, RunStatus
from penstock.tracking.experiments import ensure_experiment, get_experiment
from penstock.tracking.inputs import as_datasets
from penstock.tracking.metrics import RunReference, list_latest, log_points
from penstock.tracking.values import log_params, set_tags

COPY_BYTES = 1 << 20


class StoreSink:
    """A `Sink` over a project. One that was closed closes its project too."""

    def __init__(self, project: Project) -> None:
        self._project = project
        self._files = ArtifactFiles(project.artifacts.backend)
        self.place = project.database.url

    def after_fork(self) -> None:
        """Make connections of its own."""
        self._project.database.engine.dispose(close=False)

    def start(self, draft: RunDraft) -> str:
        """Start a run; its id is the client's."""
        run = Run(
            id=draft.client_id,
            experiment=draft.experiment,
            name=draft.name,
            status="RUNNING",
            start_ms=draft.start_ms,
            user=draft.user,
            commit=draft.commit,
            dirty_digest=draft.dirty_digest,
            lock_digest=draft.lock_digest,
            tags={**draft.tags, NAME_TAG: draft.name, CLIENT_TAG: draft.client_id},
        )
        with self._project.database.write() as connection:
            if runs.list_rows(connection, [run.id]):
                return run.id
            runs.start_run(connection, run, ensure_experiment(connection, draft.experiment))
            log_datasets(connection, runs.require_writable(connection, run.id), as_datasets(draft.inputs))
        return run.id

    def reopen(
        self,
        run_id: str,
        *,
        experiment: str | None = None,
        name: str | None = None,
        tags: Mapping[str, str] | None = None,
    ) -> dict[str, int]:
        """Let an ended run go on."""
        with self._project.database.write() as connection:
            run = runs.require_writable(connection, run_id)
            check_experiment(run_id, get_experiment(connection, run.experiment_id).name, experiment)
            runs.update_run(connection, run_id, status="RUNNING", name=name)
            set_tags(connection, run_id, tags or {})
            found = list_latest(connection, [run_id]).get(run_id, [])
        return {key: step for key, _, _, step, _ in found}

    def log(self, run_id: str, batch: Batch) -> None:
        """Keep a batch in one transaction."""
        with self._project.database.write() as connection:
            run = runs.require_writable(connection, run_id)
            log_params(connection, run_id, batch.params)
            log_points(connection, run, batch.metrics)
            set_tags(connection, run_id, batch.tags)

    def upload(self, run_id: str, source: Path, path: str) -> None:
        """Copy a file into the artifacts."""
        with self._project.database.read() as connection:
            row = runs.get_row(connection, run_id)
        if row.artifact_uri or row.experiment_artifact_uri:
            raise _elsewhere(f"run {run_id}", row.artifact_uri or row.experiment_artifact_uri)
        self._copy(source, f"{row.experiment_id}/{run_id}/artifacts/{path}")

    def log_model(self, run_id: str, draft: ModelDraft, folder: Path) -> str:
        """Copy a model folder beside the run's artifacts; the model's id is made of the client's."""
        model_id = f"m-{draft.client_id}"
        with self._project.database.write() as connection:
            run = runs.require_writable(connection, run_id)
            if not logged_models.list_models(connection, [model_id]):
                self._announce(connection, run, model_id, draft)
            model = logged_models.get_model(connection, model_id)
        if model.artifact_uri or model.experiment_artifact_uri:
            raise _elsewhere(f"model {model_id}", model.artifact_uri or model.experiment_artifact_uri)
        for path in sorted(path for path in folder.rglob("*") if path.is_file()):
            relative = path.relative_to(folder).as_posix()
            self._copy(path, f"{model.experiment_id}/models/{model_id}/artifacts/{relative}")
        with self._project.database.write() as connection:
            logged_models.finish_model(connection, model_id, logged_models.READY)
        return model_id

    def _announce(
        self, connection: sa.Connection, run: RunReference, model_id: str, draft: ModelDraft
    ) -> None:
        time_ms = now_ms()
        model = LoggedModel(
            id=model_id,
            experiment_id=run.experiment_id,
            name=draft.name,
            status=logged_models.PENDING,
            created_ms=time_ms,
            updated_ms=time_ms,
            source_run_id=run.id,
        )
        logged_models.create_model(connection, model)
        logged_models.log_model_params(connection, model_id, draft.params)
        logged_models.set_model_tags(connection, model_id, {**draft.tags, CLIENT_MODEL_TAG: draft.client_id})
        link_models(connection, run.id, [ModelLink(model_id, "output", 0)])

    def _copy(self, source: Path, path: str) -> None:
        writer = self._files.writer(path, source.stat().st_size)
        try:
            with source.open("rb") as file:
                while block := file.read(COPY_BYTES):
                    writer.write([block])
            writer.commit()
        except BaseException:
            writer.abort()
            raise

    def finish(self, run_id: str, status: RunStatus, end_ms: int) -> None:
        """End a run."""
        with self._project.database.write() as connection:
            runs.update_run(connection, run_id, status=status, end_ms=end_ms)

    def close(self) -> None:
        """Close the project."""
        self._project.close()


def _elsewhere(what: str, uri: str | None) -> Conflict:
    return Conflict(
        f"the artifacts of {what} lie elsewhere: {uri}",
        code="artifacts.elsewhere",
        hint="log to another experiment",
    )
