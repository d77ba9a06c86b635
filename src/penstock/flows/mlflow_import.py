"""Bring what an MLflow server has kept into a project: experiments, runs, models, and their files.

Ids and times stay as they are. Rows that are here already are left alone, so an import can be repeated, and
continued after a kill. A version whose files came along gets its manifest, as if it had been registered here;
one whose files lie elsewhere keeps its source and has none.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import msgspec
import sqlalchemy as sa

from penstock.base.database import connect, upsert
from penstock.base.errors import Conflict, Invalid, NotFound
from penstock.base.events import record_event
from penstock.flows.mlflow_source import read_mlflow
from penstock.flows.project import Project
from penstock.flows.store_copy import reset_sequences
from penstock.flows.uploaded import store_folder
from penstock.registry.entities import Manifest, Provenance
from penstock.registry.package import digest_manifest
from penstock.registry.tables import versions
from penstock.tracking.tables import experiments, logged_models, runs

COPY_BYTES = 1 << 20


def import_mlflow(project: Project, source: str, artifacts: Path | None = None) -> dict[str, int]:
    """Copy an MLflow database's rows, and the files of its artifact folder; return what was new.

    Args:
        source: the database's URL, or the path of its SQLite file.
        artifacts: the folder where the server keeps artifacts (`mlartifacts`); its files are copied first.

    Raises:
        NotFound: there is no MLflow database, or no such folder.
        Conflict: an experiment here has the id of another one there.
    """
    url = source if "://" in source else f"sqlite:///{_existing(Path(source))}"
    added: Counter[str] = Counter()
    if artifacts is not None:
        added["files"] = _copy_files(project, artifacts)
    database = connect(url)
    try:
        with database.read() as reading:
            if not sa.inspect(reading).has_table("latest_metrics"):
                raise NotFound(
                    f"{database.url} is not the database of an MLflow server",
                    code="store.not_mlflow",
                    hint="name what its --backend-store-uri says",
                )
            with project.database.write() as writing:
                _check_ids(reading, writing)
                for table, found in read_mlflow(reading):
                    is_version = table is versions
                    rows = [_version(project, writing, row) for row in found] if is_version else found
                    done = writing.execute(upsert(writing.dialect.name, table).on_conflict_do_nothing(), rows)
                    added[table.name] += max(done.rowcount, 0)
                reset_sequences(writing, [experiments])
                record_event(
                    writing,
                    "store.imported",
                    f"store:{database.url}",
                    project.actor,
                    f"{added['runs']} runs imported from MLflow",
                    after=dict(added),
                )
    finally:
        database.close()
    return dict(added)


def _check_ids(reading: sa.Connection, writing: sa.Connection) -> None:
    here = {row.id: row.name for row in writing.execute(sa.select(experiments.c.id, experiments.c.name))}
    names = {name: number for number, name in here.items()}
    for number, name in reading.execute(sa.text("SELECT experiment_id, name FROM experiments")):
        if here.get(number, name) != name or names.get(name, number) != number:
            raise Conflict(
                f"experiment {number} is {name!r} there and {here.get(number, f'number {names.get(name)}')!r} here",
                code="store.other_experiment",
                hint="import into a project whose store is new",
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


def _copy_files(project: Project, folder: Path) -> int:
    backend, count = project.artifacts.backend, 0
    root = _existing(folder)
    for path in sorted(root.rglob("*")):
        if path.is_symlink() or not path.is_file():
            continue
        key = f"files/{path.relative_to(root).as_posix()}"
        if backend.size(key) != path.stat().st_size:
            backend.upload(key, path)
            count += 1
    return count


def _existing(path: Path) -> Path:
    if not path.exists():
        raise NotFound(f"{path} does not exist", code="store.not_found", path=str(path))
    return path.resolve()
