"""Sink: the role of what takes a run's records. `embedded`, `server` and `offline` are its implementations.

The contract, checked for each by `tests/contracts/test_sink.py`:

- `start` returns the run's id, which later calls name. `reopen` sets an ended run going again.
- `log` takes a batch of any size, all or in parts; a batch that is given again changes nothing.
- A call that cannot reach its place raises `Unavailable` and may be repeated. Any other error is final.
- Every method may be called from several threads at once, for different runs or for one.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

import msgspec

from penstock.base.errors import Conflict
from penstock.tracking.entities import MetricPoint, RunStatus

COMMIT_TAG = "mlflow.source.git.commit"
CLIENT_TAG = "penstock.client_run"
"""The id that the client gave a run, so that a start which is repeated finds the run it made."""
CLIENT_MODEL_TAG = "penstock.client_model"
"""The same of a logged model."""


class RunDraft(msgspec.Struct, frozen=True, kw_only=True):
    """A run about to start. `inputs` are digests of tracked data by path, `tags` hold the git commit."""

    client_id: str
    experiment: str
    name: str
    start_ms: int
    user: str = ""
    tags: dict[str, str] = {}
    inputs: dict[str, str] = {}
    dirty_digest: str | None = None
    lock_digest: str | None = None

    @property
    def commit(self) -> str | None:
        """The git commit, where there is one."""
        return self.tags.get(COMMIT_TAG)


class Batch(msgspec.Struct, kw_only=True):
    """Records of one run that belong together."""

    metrics: list[MetricPoint] = []
    params: dict[str, str] = {}
    tags: dict[str, str] = {}

    def __bool__(self) -> bool:
        return bool(self.metrics or self.params or self.tags)


class ModelDraft(msgspec.Struct, frozen=True, kw_only=True):
    """A model folder about to be logged; `tags` hold its digest and environment."""

    client_id: str
    name: str
    params: dict[str, str] = {}
    tags: dict[str, str] = {}


class Sink(Protocol):
    """Takes the records of runs; the contract stands at the head of this module."""

    @property
    def place(self) -> str:
        """Where the records go, for people."""
        ...

    def start(self, draft: RunDraft) -> str:
        """Start a run and return its id."""
        ...

    def reopen(
        self,
        run_id: str,
        *,
        experiment: str | None = None,
        name: str | None = None,
        tags: Mapping[str, str] | None = None,
    ) -> dict[str, int]:
        """Let an ended run go on, under a new name and with further tags; return the last step of each metric.

        Raises:
            NotFound: there is no such run.
            Conflict: it is of another experiment than the one named; then it stays as it is.
        """
        ...

    def log(self, run_id: str, batch: Batch) -> None:
        """Keep a batch.

        Raises:
            Invalid: a parameter has another value already, or a key cannot be one.
        """
        ...

    def upload(self, run_id: str, source: Path, path: str) -> None:
        """Keep a file's bytes as an artifact of the run."""
        ...

    def log_model(self, run_id: str, draft: ModelDraft, folder: Path) -> str:
        """Keep a model folder as a logged model of the run and return the model's id.

        It is ready only when every file arrived. Given again, a draft continues what it began.

        Raises:
            Invalid: the name cannot be one.
        """
        ...

    def finish(self, run_id: str, status: RunStatus, end_ms: int) -> None:
        """End a run."""
        ...

    def after_fork(self) -> None:
        """Let go of what a parent process has open, without closing it for the parent."""
        ...

    def close(self) -> None:
        """Release what is open."""
        ...


def check_experiment(run_id: str, of: str, wanted: str | None) -> None:
    """Check that a run that goes on is of the experiment that is wanted, where one is.

    Raises:
        Conflict: it is not.
    """
    if wanted is not None and wanted != of:
        raise Conflict(
            f"run {run_id} is of the experiment {of!r}, not of {wanted!r}",
            code="client.other_experiment",
            hint="leave the experiment out, or start another run",
        )
