"""StoreRecords: the project's own store is asked; no server is needed."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path

from penstock.artifacts.files import ArtifactFiles
from penstock.client.records.contract import Artifact, Endpoint, Model
from penstock.flows.models.places import folder_of_run
from penstock.flows.production.overview import overview
from penstock.project.project import Project
from penstock.records.limits import check_key
from penstock.registry.aliases import list_aliases
from penstock.registry.models import list_models
from penstock.registry.search import RegistrySearch, search_models
from penstock.registry.versions import find_newest
from penstock.tracking import runs
from penstock.tracking.entities import Experiment, MetricPoint
from penstock.tracking.metrics import list_history
from penstock.tracking.search import ExperimentSearch, search_experiments
from penstock.tracking.values import set_tags

ALL = 10**6


class StoreRecords:
    """`Records` of a project."""

    def __init__(self, project: Project) -> None:
        self._project = project
        self._files = ArtifactFiles(project.artifacts.backend)

    def list_experiments(self) -> list[Experiment]:
        """Return the experiments."""
        with self._project.database.read() as connection:
            return search_experiments(connection, ExperimentSearch(limit=ALL))

    def list_history(self, run_id: str, key: str) -> list[MetricPoint]:
        """Return a metric's points."""
        with self._project.database.read() as connection:
            runs.get_row(connection, run_id)
            found = list_history(connection, run_id, key)
        return [
            MetricPoint(name, math.nan if is_nan else value, time_ms, step)
            for name, value, time_ms, step, is_nan in found
        ]

    def list_artifacts(self, run_id: str, folder: str = "") -> list[Artifact]:
        """Return what lies in a folder."""
        head = f"{folder.strip('/')}/" if folder.strip("/") else ""
        place = f"{self._root(run_id)}/{head}".rstrip("/")
        return [Artifact(f"{head}{child.name}", child.size_bytes) for child in self._files.children(place)]

    def download_artifact(self, run_id: str, path: str, target: Path) -> None:
        """Write one file."""
        file = self._files.open(f"{self._root(run_id)}/{path}")
        with target.open("wb") as out:
            for chunk in file.read(0, None):
                out.write(chunk)

    def set_tags(self, run_id: str, tags: Mapping[str, str]) -> None:
        """Set tags."""
        checked = {check_key(key): value for key, value in tags.items()}
        with self._project.database.write() as connection:
            runs.require_writable(connection, run_id)
            set_tags(connection, run_id, checked)

    def delete_run(self, run_id: str) -> None:
        """Take a run away."""
        with self._project.database.write() as connection:
            runs.delete_run(connection, run_id)

    def restore_run(self, run_id: str) -> None:
        """Bring a run back."""
        with self._project.database.write() as connection:
            runs.restore_run(connection, run_id)

    def list_models(self) -> list[Model]:
        """Return the registered models."""
        with self._project.database.read() as connection:
            names = search_models(connection, RegistrySearch(limit=ALL))
            pointing: dict[str, dict[str, int]] = {}
            for alias in list_aliases(connection):
                pointing.setdefault(alias.model, {})[alias.name] = alias.version
            newest = {name: find_newest(connection, name) for name in names}
            return [
                Model(
                    name=one.name,
                    created_ms=one.created_ms,
                    updated_ms=one.updated_ms,
                    newest=getattr(newest[one.name], "number", 0),
                    description=one.description or None,
                    tags=one.tags,
                    aliases=pointing.get(one.name, {}),
                )
                for one in list_models(connection, names)
            ]

    def list_endpoints(self) -> list[Endpoint]:
        """Return the endpoints."""
        return [
            Endpoint(
                name=one.name,
                model=one.model,
                revision=one.revision,
                health=one.health,
                reason=one.reason,
                versions={route.route: route.version for route in one.routes if route.route != "batch"},
            )
            for one in overview(self._project)
        ]

    def _root(self, run_id: str) -> str:
        with self._project.database.read() as connection:
            row = runs.get_row(connection, run_id)
        return folder_of_run(row)
