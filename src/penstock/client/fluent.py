"""The functions of `import penstock`: one active run for each thread, the innermost first.

Records go to the server that `PENSTOCK_URI` or `MLFLOW_TRACKING_URI` names, else into the project of the
working directory. A run that is still going when the process ends is ended: FINISHED, or FAILED after an
uncaught exception, or KILLED by a signal. A forked child goes on with its parent's run, which the parent ends.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from penstock.base.errors import Conflict
from penstock.client.active import ActiveRun, checked_texts
from penstock.client.connect import connect
from penstock.client.context import draft_run
from penstock.client.process.going import watch_run
from penstock.client.process.signals import stand_still
from penstock.tracking.entities import PARENT_TAG, RunStatus

NOTE_TAG = "mlflow.note.content"
_local = threading.local()


def start_run(
    run_name: str | None = None,
    *,
    experiment: str | None = None,
    run_id: str | None = None,
    nested: bool = False,
    tags: Mapping[str, object] | None = None,
    description: str | None = None,
    system_metrics: bool = True,
) -> ActiveRun:
    """Start a run and make it the active one; as a context manager it ends with its block.

    Args:
        experiment: its name; by default the project's, or what `PENSTOCK_EXPERIMENT` says.
        run_id: a run that ended, to go on with: its metrics with their next steps, under the name and with the tags and
            the description that are given.
        nested: whether it belongs to the active run.

    Raises:
        Conflict: a run is active and `nested` is False, or it is `run_id`; or that is of another experiment.
        Invalid: a name or a text of the tags cannot be kept.
        NotARepository: there is neither a project here nor a server's address.
        NotFound: there is no run `run_id`.
    """
    stand_still()
    parent = active_run()
    if parent is not None and (not nested or run_id == parent.id):
        raise Conflict(
            f"run {parent.id} is active", code="client.run_active", hint="end_run() first, or nested=True"
        )
    own = checked_texts(tags or {})
    if parent is not None:
        own[PARENT_TAG] = parent.id
    if description is not None:
        own |= checked_texts({NOTE_TAG: description})
    connection = connect(system_metrics=system_metrics)
    if run_id is not None:
        run = ActiveRun.resume(connection.recording, run_id, experiment=experiment, name=run_name, tags=own)
    else:
        draft = draft_run(
            connection.around, experiment=experiment or connection.experiment, name=run_name, tags=own
        )
        run = ActiveRun.start(connection.recording, draft)
    _stack().append(run)
    watch_run(run)
    return run


def active_run() -> ActiveRun | None:
    """Return this thread's innermost run that is going, or None."""
    stack = _stack()
    while stack and stack[-1].status != "RUNNING":
        stack.pop()
    return stack[-1] if stack else None


def end_run(status: RunStatus = "FINISHED") -> None:
    """End the active run, if there is one.

    Raises:
        PenstockError: a record was refused; the run is ended all the same.
    """
    run = active_run()
    if run is not None:
        run.end(status)


def log_param(key: str, value: object) -> None:
    """Record one parameter of the active run; see `ActiveRun.log_param`."""
    _ensure().log_param(key, value)


def log_params(params: Mapping[str, object]) -> None:
    """Record parameters of the active run; see `ActiveRun.log_params`."""
    _ensure().log_params(params)


def log_metric(key: str, value: float, step: int | None = None) -> None:
    """Record one point of a metric of the active run; see `ActiveRun.log_metric`."""
    _ensure().log_metric(key, value, step)


def log_metrics(metrics: Mapping[str, float], step: int | None = None) -> None:
    """Record one point of several metrics of the active run; see `ActiveRun.log_metrics`."""
    _ensure().log_metrics(metrics, step)


def set_tag(key: str, value: object) -> None:
    """Set one tag of the active run."""
    _ensure().set_tag(key, value)


def set_tags(tags: Mapping[str, object]) -> None:
    """Set tags of the active run."""
    _ensure().set_tags(tags)


def log_artifact(path: str | Path, artifact_path: str | None = None) -> None:
    """Keep a file with the active run; see `ActiveRun.log_artifact`."""
    _ensure().log_artifact(path, artifact_path)


def log_artifacts(folder: str | Path, artifact_path: str | None = None) -> None:
    """Keep a folder's files with the active run; see `ActiveRun.log_artifacts`."""
    _ensure().log_artifacts(folder, artifact_path)


def log_text(text: str, path: str) -> None:
    """Keep a text as a file of the active run."""
    _ensure().log_text(text, path)


def log_dict(value: Any, path: str) -> None:
    """Keep a value as a JSON file of the active run."""
    _ensure().log_dict(value, path)


def _stack() -> list[ActiveRun]:
    if not hasattr(_local, "runs"):
        _local.runs = []
    runs: list[ActiveRun] = _local.runs
    return runs


def _ensure() -> ActiveRun:
    return active_run() or start_run()
