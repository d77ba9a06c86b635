"""What tracking keeps: experiments, runs, the points of their metrics, data sets and logged models."""

from __future__ import annotations

from typing import Literal

import msgspec

RunStatus = Literal["RUNNING", "SCHEDULED", "FINISHED", "FAILED", "KILLED"]
RUN_STATUSES: tuple[RunStatus, ...] = ("RUNNING", "SCHEDULED", "FINISHED", "FAILED", "KILLED")
GOING: tuple[RunStatus, ...] = ("RUNNING", "SCHEDULED")
"""Of a run in these states nobody knows an end."""

PARENT_TAG = "mlflow.parentRunId"
EXPERIMENT_TAG = "penstock.experiment"
"""Names the experiment that a run made."""
"""The tag that names the run which a run is part of."""
NAME_TAG = "mlflow.runName"
"""The tag that a run's name is kept equal to."""
TREE_TAG, CLEAN = "penstock.tree", "clean"
"""What a client says of a tree without uncommitted changes; MLflow's own clients do not look."""
SOURCE_TAG = "penstock.source"
"""The tag that says what Penstock made a run for: a reproduction, an experiment."""


class Experiment(msgspec.Struct, frozen=True, kw_only=True):
    """A named group of runs. `artifact_uri` None means the server's own artifact store."""

    id: int
    name: str
    created_ms: int
    updated_ms: int
    deleted_ms: int | None = None
    artifact_uri: str | None = None
    tags: dict[str, str] = {}


class MetricPoint(msgspec.Struct, frozen=True):
    """One value of a metric. `model_id` and the data set say what it was measured on, where known."""

    key: str
    value: float
    time_ms: int
    step: int = 0
    model_id: str | None = None
    dataset_name: str | None = None
    dataset_digest: str | None = None


RAN = "ran"
"""What was done with a stage whose commands ran."""


class StageRecord(msgspec.Struct, frozen=True):
    """One stage's part in a run: its result's digest (see `pipeline.lockfile`) and what was done."""

    name: str
    digest: str
    action: str
    seconds: float


class Run(msgspec.Struct, frozen=True, kw_only=True):
    """One execution with what went in and what came out.

    `commit` is the git commit, `dirty_digest` the sha256 of the uncommitted diff (None when clean),
    `lock_digest` the digest of the whole pipeline lock, `inputs` the data digests by path.
    """

    id: str
    experiment: str
    name: str
    status: RunStatus
    start_ms: int
    end_ms: int | None = None
    commit: str | None = None
    dirty_digest: str | None = None
    lock_digest: str | None = None
    user: str = ""
    params: dict[str, str] = {}
    metrics: dict[str, float] = {}
    tags: dict[str, str] = {}
    inputs: dict[str, str] = {}
    stages: tuple[StageRecord, ...] = ()

    @property
    def tree(self) -> Literal["clean", "changed", "unknown"]:
        """Whether `commit` was all of the code: reproductions and Penstock's client look, others do not."""
        if self.dirty_digest is not None:
            return "changed"
        return "clean" if self.tags.get(TREE_TAG) == CLEAN or SOURCE_TAG in self.tags else "unknown"


class RunRow(msgspec.Struct, frozen=True):
    """A run's own row, without what was logged to it; the fields are the table's."""

    id: str
    experiment_id: int
    name: str
    status: RunStatus
    start_ms: int
    end_ms: int | None
    user: str
    deleted_ms: int | None
    artifact_uri: str | None
    experiment_artifact_uri: str | None


class Dataset(msgspec.Struct, frozen=True, kw_only=True):
    """A table that a run read, as its client described it. `schema` and `profile` are the client's JSON."""

    name: str
    digest: str
    source_type: str
    source: str
    schema: str | None = None
    profile: str | None = None


class DatasetInput(msgspec.Struct, frozen=True):
    """A data set with what this run used it for."""

    dataset: Dataset
    tags: tuple[tuple[str, str], ...] = ()


class ModelLink(msgspec.Struct, frozen=True):
    """A logged model that a run read (`input`) or made (`output`, at `step`)."""

    model_id: str
    direction: Literal["input", "output"]
    step: int | None = None


class LoggedModel(msgspec.Struct, frozen=True, kw_only=True):
    """A model folder that a client uploaded, before or without being registered."""

    id: str
    experiment_id: int
    name: str
    status: str
    created_ms: int
    updated_ms: int
    model_type: str | None = None
    status_message: str | None = None
    source_run_id: str | None = None
    artifact_uri: str | None = None
    experiment_artifact_uri: str | None = None
    deleted_ms: int | None = None
