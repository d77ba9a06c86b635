"""Bring what MLflow has kept, in a database or a folder, into a project: experiments, runs, models, and their files.

Ids and times stay as they are. Rows that are here already are left alone, so an import can be repeated, and
continued after a kill. A version whose files came along gets its manifest, as if it had been registered here;
one whose files lie elsewhere keeps its source and has none.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import msgspec
import sqlalchemy as sa

from penstock.base.clock import now_ms
from penstock.base.digest import FileBlocks
from penstock.base.errors import Conflict, Invalid, NotFound
from penstock.base.store.database import upsert
from penstock.base.store.events import record_event
from penstock.flows.models.aliases import AliasPolicy
from penstock.flows.models.uploaded import store_folder
from penstock.flows.store.copying import reset_sequences
from penstock.flows.store.mlflow_folder import FolderSource
from penstock.flows.store.mlflow_source import DatabaseSource, MlflowSource
from penstock.project.project import Project
from penstock.registry.aliases import find_alias, move_alias
from penstock.registry.entities import Alias, AliasMove, Manifest, Provenance
from penstock.registry.package import digest_manifest
from penstock.registry.tables import aliases, models, versions
from penstock.tracking.tables import experiments, logged_models, runs

COPY_BYTES = 1 << 20


@dataclass(frozen=True)
class Imported:
    """How many rows and files were new, by table, and the protected aliases that wait for a passing gate."""

    added: dict[str, int]
    withheld: tuple[str, ...]


def import_mlflow(project: Project, source: str, artifacts: Path | None = None) -> Imported:
    """Copy what MLflow has kept, and the files of its artifact folder; return what was new.

    Args:
        source: a database's URL, the path of an SQLite file, or a folder `mlruns` (or the folder that holds it).
        artifacts: the folder where the server keeps artifacts (`mlartifacts`); its files are copied first.

    Raises:
        NotFound: there is no MLflow database or `mlruns` folder, or no such folder of artifacts.
        Conflict: an experiment here has the id of another one there.
        Invalid: a record of a folder cannot be read.
    """
    added: Counter[str] = Counter()
    opened = _open(source)
    try:
        with project.database.read() as connection:
            _check_ids(opened, connection)
        if artifacts is not None:
            added["files"] = _copy_files(project, _files_below(_existing(artifacts)))
        added["files"] += _copy_files(project, opened.files())
        with project.database.write() as writing:
            _check_ids(opened, writing)
            before: dict[sa.Table, int] = {}
            withheld: list[str] = []
            for table, found in opened.rows():
                if table is aliases:
                    named = [Alias(row["model"], row["name"], int(row["version"])) for row in found]
                    added["aliases"] += _set_aliases(project, writing, named, withheld)
                    continue
                is_version = table is versions
                rows = [_version(project, writing, row) for row in found] if is_version else found
                if table not in before:
                    before[table] = _count(writing, table)
                writing.execute(upsert(writing.dialect.name, table).on_conflict_do_nothing(), rows)
            for table, count in before.items():
                added[table.name] = _count(writing, table) - count
            _count_on(writing)
            reset_sequences(writing, [experiments])
            if sum(added.values()):
                record_event(
                    writing,
                    "store.imported",
                    f"store:{opened.name}",
                    project.actor,
                    f"{added['runs']} runs imported from MLflow",
                    after=dict(added),
                )
    finally:
        opened.close()
    return Imported(dict(added), tuple(withheld))


def _set_aliases(
    project: Project, connection: sa.Connection, wanted: list[Alias], withheld: list[str]
) -> int:
    """Set the aliases that are not here yet, with their history; a protected one needs a verdict and waits."""
    policy, count = AliasPolicy.of(project), 0
    for alias in wanted:
        if find_alias(connection, alias.model, alias.name) is not None:
            continue
        if policy.protects(alias.model, alias.name):
            withheld.append(f"{alias.model}/{alias.version} as {alias.name}")
            continue
        move = AliasMove(
            model=alias.model,
            name=alias.name,
            version=alias.version,
            previous=None,
            time_ms=now_ms(),
            actor=project.actor,
            verdict_id=None,
        )
        move_alias(connection, move, expected=None, cause={"imported": True})
        count += 1
    return count


def _open(source: str) -> MlflowSource:
    if source.startswith("file:"):
        source = unquote(urlsplit(source).path)
    if "://" in source:
        return DatabaseSource(source)
    path = _existing(Path(source))
    return FolderSource(path) if path.is_dir() else DatabaseSource(f"sqlite:///{path}")


def _check_ids(source: MlflowSource, writing: sa.Connection) -> None:
    here = {row.id: row.name for row in writing.execute(sa.select(experiments.c.id, experiments.c.name))}
    names = {name: number for number, name in here.items()}
    for number, name in source.experiments():
        if here.get(number, name) != name or names.get(name, number) != number:
            raise Conflict(
                f"experiment {number} is {name!r} there and {here.get(number, f'number {names.get(name)}')!r} here",
                code="store.other_experiment",
                hint="import into a project whose store is new",
            )


def _count(connection: sa.Connection, table: sa.Table) -> int:
    return int(connection.execute(sa.select(sa.func.count()).select_from(table)).scalar_one())


def _count_on(connection: sa.Connection) -> None:
    """Let every model's numbers go on behind the greatest one."""
    greatest = (
        sa.select(sa.func.max(versions.c.number)).where(versions.c.model == models.c.name).scalar_subquery()
    )
    connection.execute(
        models.update().where(models.c.newest_number < greatest).values(newest_number=greatest)
    )


def _version(project: Project, connection: sa.Connection, row: dict[str, Any]) -> dict[str, Any]:
    folder = _folder_of(connection, row["source"] or "")
    manifest = Manifest(())
    if folder is not None:
        try:
            manifest = store_folder(project, folder)
        except (NotFound, Invalid):
            folder = None
    has_files = bool(manifest.files)
    return {
        **row,
        "path": "",
        "digest": digest_manifest(manifest) if has_files else "",
        "manifest": msgspec.to_builtins(manifest),
        "provenance": msgspec.to_builtins(Provenance(run_id=row["run_id"])),
        "metrics": {},
    }


def _folder_of(connection: sa.Connection, source: str) -> str | None:
    """Return the folder in the artifact proxy that a version's source means, or None for another place."""
    if source.startswith("mlflow-artifacts:"):
        return source.removeprefix("mlflow-artifacts:").strip("/")
    if source.startswith("models:/m-"):
        model_id = source.removeprefix("models:/")
        number = connection.execute(
            sa.select(logged_models.c.experiment_id).where(logged_models.c.id == model_id)
        ).scalar()
        return None if number is None else f"{number}/models/{model_id}/artifacts"
    if source.startswith("runs:/"):
        run_id, _, inner = source.removeprefix("runs:/").partition("/")
        number = connection.execute(sa.select(runs.c.experiment_id).where(runs.c.id == run_id)).scalar()
        return None if number is None else f"{number}/{run_id}/artifacts/{inner}".rstrip("/")
    return None


def _copy_files(project: Project, files: Iterable[tuple[str, Path]]) -> int:
    backend, count = project.artifacts.backend, 0
    for path, file in files:
        key = f"files/{path}"
        size = file.stat().st_size
        if backend.size(key) != size:
            backend.upload(key, FileBlocks(file), size)
            count += 1
    return count


def _files_below(root: Path) -> Iterator[tuple[str, Path]]:
    for path in sorted(root.rglob("*")):
        if path.is_file() and not path.is_symlink():
            yield path.relative_to(root).as_posix(), path


def _existing(path: Path) -> Path:
    if not path.exists():
        raise NotFound(f"{path} does not exist", code="store.not_found", path=str(path))
    return path.resolve()
