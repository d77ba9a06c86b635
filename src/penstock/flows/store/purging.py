"""Carry a purge out: rows in one transaction, then files; a kill in between is made good by the next purge.

The transaction leaves an event `store.purged` that names every folder and object. They are removed afterwards,
each only while nothing refers to it, and `store.purge_finished` closes the event. Whoever registers the same
content meanwhile finds its objects there or stores them again (see `flows.stored`).
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa

from penstock.artifacts.files import ArtifactFiles
from penstock.artifacts.paths import artifact_root_of
from penstock.base.clock import now_ms
from penstock.base.errors import Conflict, Invalid
from penstock.base.store.events import Event, events, record_event
from penstock.flows.store.purge_plan import PurgePlan, PurgeWish, list_in_parts, plan_purge
from penstock.project.project import Project
from penstock.registry.tables import version_inputs, version_tags, versions
from penstock.tracking import tables

PURGED, FINISHED = "store.purged", "store.purge_finished"
UNIT_MS = {"d": 86_400_000, "h": 3_600_000, "m": 60_000, "s": 1000}
_AGE = re.compile(r"(?:(\d+)d)?(?:(\d+)h)?(?:(\d+)m)?(?:(\d+)s)?")
_OF_RUNS = (
    tables.run_params,
    tables.run_tags,
    tables.run_metrics,
    tables.run_latest_metrics,
    tables.run_inputs,
    tables.run_stages,
    tables.run_datasets,
    tables.run_models,
)
_OF_MODELS = (
    tables.logged_model_params,
    tables.logged_model_tags,
    tables.logged_model_metrics,
    tables.run_models,
)
BATCH = 200


def parse_age(text: str) -> int:
    """Return an age in milliseconds, written as MLflow's `gc` takes it.

    Raises:
        Invalid: it is not one.

    Example:
        >>> parse_age("1d12h"), parse_age("90s")
        (129600000, 90000)
    """
    match = _AGE.fullmatch(text)
    if not text or match is None or len(text) > 40:
        raise Invalid(f"{text[:40]!r} is not an age", code="purge.bad_age", hint="write 30d, 12h or 1d12h30m")
    return sum(int(count or 0) * unit for count, unit in zip(match.groups(), UNIT_MS.values(), strict=True))


def plan(project: Project, wish: PurgeWish) -> PurgePlan:
    """Plan a purge; raises as `plan_purge`."""
    with project.database.read() as connection:
        return plan_purge(connection, wish)


def apply(project: Project, planned: PurgePlan) -> None:
    """Carry a plan out, and first what an earlier purge left undone.

    Raises:
        Conflict: what is deleted, or points to it, changed since it was planned.
    """
    finish_purges(project)
    if planned.is_empty:
        return
    with project.database.write() as connection:
        if plan_purge(connection, planned.wish) != planned:
            raise Conflict(
                "what would be purged changed since it was planned", code="purge.changed", hint="try again"
            )
        _delete_rows(connection, planned)
        record_event(connection, PURGED, "store:purge", project.actor, _told(planned), after=_named(planned))
    finish_purges(project)


def finish_purges(project: Project) -> int:
    """Remove the files of purges that were not finished; return how many there were."""
    with project.database.read() as connection:
        waiting = _unfinished(connection)
    for event in waiting:
        files = ArtifactFiles(project.artifacts.backend)
        for part in list_in_parts(event.after["folders"]):
            _remove_folders(project, files, part)
        for part in list_in_parts(event.after["objects"]):
            for start in range(0, len(part), BATCH):
                _remove_objects(project, part[start : start + BATCH])
        for digest in event.after["digests"]:
            _remove_copy(project, digest)
        with project.database.write() as connection:
            summary = f"the files of purge {event.id} are removed"
            record_event(
                connection, FINISHED, "store:purge", project.actor, summary, cause={"purge": event.id}
            )
    return len(waiting)


def _unfinished(connection: sa.Connection) -> list[Event]:
    query = sa.select(events).where(events.c.kind.in_((PURGED, FINISHED))).order_by(events.c.id)
    rows = [Event(**row) for row in connection.execute(query).mappings()]
    done = {row.cause.get("purge") for row in rows if row.kind == FINISHED}
    return [row for row in rows if row.kind == PURGED and row.id not in done]


def _delete_rows(connection: sa.Connection, planned: PurgePlan) -> None:
    for one in planned.versions:
        for table in (version_inputs, version_tags, versions):
            connection.execute(table.delete().where(table.c.model == one.model, table.c.number == one.number))
    data: set[str] = set()
    for part in list_in_parts(planned.runs):
        used = sa.select(tables.run_datasets.c.dataset_id).where(tables.run_datasets.c.run_id.in_(part))
        data.update(connection.execute(used).scalars())
        for table in _OF_RUNS:
            connection.execute(table.delete().where(table.c.run_id.in_(part)))
        connection.execute(tables.runs.delete().where(tables.runs.c.id.in_(part)))
    for part in list_in_parts(data):
        held = sa.exists().where(tables.run_datasets.c.dataset_id == tables.datasets.c.id)
        connection.execute(tables.datasets.delete().where(tables.datasets.c.id.in_(part), ~held))
    for part in list_in_parts(planned.logged_models):
        for table in _OF_MODELS:
            connection.execute(table.delete().where(table.c.model_id.in_(part)))
        connection.execute(tables.logged_models.delete().where(tables.logged_models.c.id.in_(part)))
    for part in list_in_parts(planned.experiments):
        for table in (tables.experiment_tags, tables.datasets):
            connection.execute(table.delete().where(table.c.experiment_id.in_(part)))
        connection.execute(tables.experiments.delete().where(tables.experiments.c.id.in_(part)))


def _remove_folders(project: Project, files: ArtifactFiles, folders: Sequence[str]) -> None:
    """Remove artifact roots whose owner is gone; one that was imported again since is not."""
    owners = {folder: root for folder in folders if (root := artifact_root_of(folder)) is not None}
    with project.database.read() as connection:
        live = {
            owner
            for table in (tables.runs, tables.logged_models)
            for part in list_in_parts({root.owner for root in owners.values()})
            for owner in connection.execute(sa.select(table.c.id).where(table.c.id.in_(part))).scalars()
        }
    for folder, root in owners.items():
        if root.owner not in live:
            files.delete(folder)


def _remove_objects(project: Project, digests: Sequence[str]) -> None:
    """Remove contents that nothing has now; while they are looked at, no version can be registered."""
    with project.database.write() as connection:
        if connection.dialect.name == "postgresql":
            connection.exec_driver_sql(f"LOCK TABLE {versions.name} IN SHARE MODE")
        wanted = set(digests)
        query = sa.select(versions.c.manifest, versions.c.profile_digest)
        for row in connection.execute(query, execution_options={"yield_per": BATCH}):
            wanted.difference_update(file["sha256"] for file in row.manifest["files"])
            wanted.discard(row.profile_digest)
        for digest in sorted(wanted):
            project.artifacts.delete(digest)


def _remove_copy(project: Project, digest: str) -> None:
    with project.database.read() as connection:
        if connection.execute(sa.select(versions.c.number).where(versions.c.digest == digest)).first():
            return
    shutil.rmtree(project.home / "models" / digest, ignore_errors=True)


def _named(planned: PurgePlan) -> dict[str, Any]:
    return {
        "experiments": [str(number) for number in planned.experiments],
        "runs": list(planned.runs),
        "logged_models": list(planned.logged_models),
        "versions": [one.ref for one in planned.versions],
        "folders": list(planned.folders),
        "objects": list(planned.objects),
        "digests": sorted({one.digest for one in planned.versions if one.digest}),
    }


def _told(planned: PurgePlan) -> str:
    counts = (
        (len(planned.experiments), "experiments"),
        (len(planned.runs), "runs"),
        (len(planned.logged_models), "logged models"),
        (len(planned.versions), "model versions"),
    )
    return ", ".join(f"{count} {what}" for count, what in counts if count) + " purged for good"


def wish_until(age: str | None, **named: Sequence[Any]) -> PurgeWish:
    """Return the wish for what was deleted at least so long ago; raises Invalid as `parse_age`."""
    return PurgeWish(now_ms() - (parse_age(age) if age else 0), **named)
