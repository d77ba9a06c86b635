"""Records: the role of what is asked for a run's details, experiments, models and endpoints, and for small changes.

`store_records` and `server_records` are its implementations; both give the same answers, which
`tests/contracts/test_records.py` checks. Runs and versions themselves are the `Catalogue`'s.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

import msgspec

from penstock.tracking.entities import Experiment, MetricPoint


class Artifact(msgspec.Struct, frozen=True):
    """A file of a run, or a folder, which has no size; `path` begins at the run's root."""

    path: str
    size_bytes: int | None = None

    @property
    def is_folder(self) -> bool:
        """Whether it is a folder."""
        return self.size_bytes is None


class Model(msgspec.Struct, frozen=True, kw_only=True):
    """A registered model: where its aliases point, and its newest version's number (0 where it has none)."""

    name: str
    created_ms: int
    updated_ms: int
    newest: int = 0
    description: str | None = None
    tags: dict[str, str] = {}
    aliases: dict[str, int] = {}


class Endpoint(msgspec.Struct, frozen=True, kw_only=True):
    """An endpoint now: what serves it, by route (`stable`, `canary`, …) as `NAME/3`, and how it is."""

    name: str
    model: str
    revision: int
    health: str
    reason: str
    versions: dict[str, str] = {}


class Records(Protocol):
    """Answers what is kept; may be called from several threads."""

    def list_experiments(self) -> list[Experiment]:
        """Return the experiments that are not deleted, newest first."""
        ...

    def list_history(self, run_id: str, key: str) -> list[MetricPoint]:
        """Return every point of a run's metric by time, step and value; none for an unknown metric.

        Raises:
            NotFound: there is no such run.
        """
        ...

    def list_artifacts(self, run_id: str, folder: str = "") -> list[Artifact]:
        """Return what lies directly in a folder of a run, by name.

        Raises:
            NotFound: there is no such run.
            Refused: its files are at a place that needs its own client.
        """
        ...

    def download_artifact(self, run_id: str, path: str, target: Path) -> None:
        """Write one file of a run to a path whose folder exists.

        Raises:
            NotFound: there is no such run or file.
            Refused: its files are at a place that needs its own client.
        """
        ...

    def set_tags(self, run_id: str, tags: Mapping[str, str]) -> None:
        """Set tags of a run.

        Raises:
            NotFound: there is no such run.
            Invalid: it is deleted, or a key cannot be one.
        """
        ...

    def delete_run(self, run_id: str) -> None:
        """Take a run away; `restore_run` brings it back. Raises NotFound."""
        ...

    def restore_run(self, run_id: str) -> None:
        """Bring a deleted run back. Raises NotFound."""
        ...

    def list_models(self) -> list[Model]:
        """Return the registered models by name."""
        ...

    def list_endpoints(self) -> list[Endpoint]:
        """Return the endpoints by name.

        Raises:
            Refused: the server is not Penstock's.
        """
        ...
