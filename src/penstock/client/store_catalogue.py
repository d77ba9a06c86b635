"""StoreCatalogue: the project's own store is asked; no server is needed."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

import msgspec
import sqlalchemy as sa

from penstock.artifacts.files import VERSIONS, ArtifactFiles
from penstock.base.errors import NotFound
from penstock.client.catalogue import DIGEST_TAG, Located, RunQuery, Version, parse_uri
from penstock.flows.models.aliases import AliasPolicy, apply_move, check_files, drop_alias, plan_move
from penstock.flows.models.folders import require_files, write_model
from penstock.flows.models.places import PROXY, ModelPlace, place_in_run, place_of_model
from penstock.flows.models.uploaded import Registration, register_uploaded
from penstock.project.project import Project
from penstock.registry.cards import get_card
from penstock.registry.entities import ModelVersion
from penstock.registry.models import ensure_model, get_model
from penstock.registry.names import check_alias
from penstock.registry.references import resolve_version
from penstock.registry.versions import get_version, list_versions
from penstock.tracking import runs
from penstock.tracking.entities import Run
from penstock.tracking.experiments import get_by_name
from penstock.tracking.search import ExperimentSearch, RunSearch, search_experiments, search_runs


class StoreCatalogue:
    """A `Catalogue` over a project."""

    def __init__(self, project: Project) -> None:
        self._project = project
        self._files = ArtifactFiles(project.artifacts.backend)

    def get_run(self, run_id: str) -> Run:
        """Return a run."""
        with self._project.database.read() as connection:
            runs.get_row(connection, run_id)
            return _without_stages(runs.load_runs(connection, [run_id])[0])

    def search_runs(self, query: RunQuery) -> list[Run]:
        """Return runs that match."""
        with self._project.database.read() as connection:
            if query.experiments:
                ids = [get_by_name(connection, name).id for name in query.experiments]
            else:
                ids = [one.id for one in search_experiments(connection, ExperimentSearch(limit=10**6))]
            wanted = RunSearch(ids, query.filter, query.order_by, limit=query.limit)
            found = runs.load_runs(connection, search_runs(connection, wanted))
        return [_without_stages(run) for run in found]

    def get_version(self, reference: str) -> Version:
        """Return the version that a reference means."""
        with self._project.database.read() as connection:
            return _shown(connection, resolve_version(connection, reference))

    def list_versions(self, name: str) -> list[Version]:
        """Return a model's versions."""
        with self._project.database.read() as connection:
            return [_shown(connection, version) for version in list_versions(connection, name)]

    def register(self, name: str, uri: str, tags: Mapping[str, str], description: str | None) -> Version:
        """Register a model."""
        kind, what = parse_uri(uri)
        with self._project.database.read() as connection:
            if kind == "version":
                origin = resolve_version(connection, what)
                source = f"models:/{origin.ref}"
                run_id, model_id = origin.provenance.run_id, origin.logged_model_id
                folder = None
            else:
                place, origin = _place(connection, kind, what), None
                run_id, model_id, folder = place.run_id, place.model_id, place.folder
                source = f"models:/{model_id}" if model_id else uri
        if folder is not None and next(iter(self._files.walk(folder)), None) is None:
            raise _no_files(uri)
        wanted = Registration(
            model=name,
            source=source,
            actor=self._project.actor,
            folder=folder,
            origin=origin,
            run_id=run_id,
            logged_model_id=model_id,
            description=description,
            tags=dict(tags),
        )
        with self._project.database.write() as connection:
            ensure_model(connection, name)
        made = register_uploaded(self._project, wanted)
        return self.get_version(made.ref)

    def set_alias(self, name: str, alias: str, number: int) -> None:
        """Point an alias at a version."""
        policy = AliasPolicy.of(self._project)
        check_files(self._project, policy, name, number, alias)
        with self._project.database.write() as connection:
            get_card(connection, name, number)
            version = get_version(connection, name, number)
            plan = plan_move(connection, policy, version, alias)
            if not plan.changes_nothing:
                apply_move(connection, plan, self._project.actor)

    def delete_alias(self, name: str, alias: str) -> None:
        """Take an alias away."""
        check_alias(alias)
        with self._project.database.write() as connection:
            get_model(connection, name)
            policy = AliasPolicy.of(self._project)
            drop_alias(connection, policy, (name, alias), self._project.actor)

    def locate(self, uri: str) -> Located:
        """Return where a model's files are."""
        kind, what = parse_uri(uri)
        with self._project.database.read() as connection:
            if kind == "version":
                version = resolve_version(connection, what)
                require_files(version)
                place = f"{VERSIONS}/{version.digest}"
                return Located(uri, place, version.digest, _shown(connection, version))
            found = _place(connection, kind, what)
        return Located(uri, found.folder, dict(found.tags).get(DIGEST_TAG, ""))

    def download(self, located: Located, folder: Path) -> None:
        """Write a model's files into a new folder."""
        if located.version is not None:
            with self._project.database.read() as connection:
                found = located.version
                version = get_version(connection, found.name, found.number, deleted=True)
            write_model(self._project, version, folder)
            return
        count = 0
        for entry in self._files.walk(located.place):
            target = folder / entry.key
            target.parent.mkdir(parents=True, exist_ok=True)
            with target.open("wb") as out:
                for chunk in self._files.open(f"{located.place}/{entry.key}").read(0, None):
                    out.write(chunk)
            count += 1
        if not count:
            raise _no_files(located.uri)

    def close(self) -> None:
        """Close the project."""
        self._project.close()


def _place(connection: sa.Connection, kind: str, what: str) -> ModelPlace:
    if kind == "model":
        return place_of_model(connection, what)
    run_id, _, path = what.partition("/")
    return place_in_run(connection, run_id, path)


def _shown(connection: sa.Connection, version: ModelVersion) -> Version:
    kept = f"{PROXY}/{VERSIONS}/{version.digest}" if version.digest else version.path
    aliases: tuple[str, ...] = ()
    with suppress(NotFound):  # one that was deleted since has none
        aliases = get_card(connection, version.model, version.number).aliases
    return Version(
        name=version.model,
        number=version.number,
        digest=version.digest,
        source=version.source or kept,
        created_ms=version.created_ms,
        run_id=version.provenance.run_id,
        model_id=version.logged_model_id,
        description=version.description or None,
        stage=version.stage,
        tags=version.tags,
        aliases=aliases,
    )


def _without_stages(run: Run) -> Run:
    return msgspec.structs.replace(run, stages=())


def _no_files(uri: str) -> NotFound:
    return NotFound(f"there are no files at {uri}", code="artifacts.missing", uri=uri)
