"""Model versions: registering, finding, taking away. What people note on them is in `notes`.

Everything runs in the caller's transaction and writes its event there. A number is given once, also when the
version or the whole model is taken away.
"""

from __future__ import annotations

import shlex
from collections.abc import Collection
from typing import Any, NamedTuple

import msgspec
import sqlalchemy as sa

from penstock.base.clock import format_ms, now_ms
from penstock.base.errors import Invalid, NotFound
from penstock.base.store.events import events, record_event
from penstock.registry.cards import no_version, tags_of
from penstock.registry.documents.origins import is_of_commit
from penstock.registry.entities import Manifest, ModelVersion, VersionCard
from penstock.registry.models import ensure_model, follow_name, get_model, revive, take_number, touch
from penstock.registry.names import check_tag
from penstock.registry.notes import write_tags
from penstock.registry.tables import version_inputs, versions
from penstock.registry.webhooks import announce

_LIVE = versions.c.deleted_ms.is_(None)


def add_version(
    connection: sa.Connection, draft: ModelVersion, *, reuse: bool = True, retraining: str = ""
) -> ModelVersion:
    """Write the next version of a model and return it; `draft.number` and its times are set here.

    With `reuse`, the same content from the same commit returns the version that exists, and a model that
    is not there is made; without, every call makes a version of a model that must be there. The event names the `retraining`.

    Raises:
        NotFound: there is no such model (without `reuse`).
        Invalid: a tag cannot be one.
    """
    tags = dict(check_tag(key, value) for key, value in draft.tags.items())
    if reuse:
        ensure_model(connection, draft.model)
        same = _find_same(connection, draft)
        if same is not None:
            return same
    else:
        get_model(connection, draft.model)
    time_ms = now_ms()
    number = take_number(connection, draft.model, time_ms)
    version = msgspec.structs.replace(draft, number=number, created_ms=time_ms, updated_ms=time_ms, tags=tags)
    values = msgspec.to_builtins(version)
    del values["tags"]
    origin = version.provenance
    connection.execute(versions.insert().values(**values, run_id=origin.run_id, commit=origin.commit))
    write_tags(connection, version.model, number, tags)
    inputs = [
        {"model": version.model, "number": number, "path": path, "digest": digest}
        for path, digest in origin.data.items()
    ]
    if inputs:
        connection.execute(version_inputs.insert(), inputs)
    record_event(
        connection,
        "model.registered",
        f"model:{version.ref}",
        version.actor,
        f"{version.ref} registered "
        + (
            f"{'from' if is_of_commit(version) else 'at'} commit {origin.commit[:7]}"
            f"{', made before it' if origin.stale else ''}"
            if origin.commit
            else f"from {version.source or 'no commit'}"
        ),
        cause={"run": origin.run_id, "commit": origin.commit, "lock": origin.lock_digest}
        | ({"retraining": retraining} if retraining else {}),
        after={"digest": version.digest, "metrics": version.metrics},
    )
    announce(
        connection,
        "model_version.created",
        {
            "name": version.model,
            "version": str(number),
            "source": version.source or version.path,
            "run_id": origin.run_id,
            "tags": tags,
            "description": version.description,
        },
    )
    return version


def get_version(connection: sa.Connection, model: str, number: int, *, deleted: bool = False) -> ModelVersion:
    """Return one version; by an old name too, when its model was renamed.

    `deleted` also returns one that was taken away: what it served is still explained by it.

    Raises:
        NotFound: there is none.
    """
    version = _find(connection, model, number, deleted=deleted)
    if version is not None:
        return version
    now = follow_name(connection, model, number)
    version = _find(connection, now, number, deleted=deleted) if now != model else None
    if version is not None:
        return version
    gone = find_deletions(connection, [(now, number)]).get((now, number))
    if gone is None:
        raise no_version(model, number)
    raise NotFound(
        f"there is no model version {model}/{number}: it was {gone.sentence}",
        code="registry.no_version",
        hint=f"penstock model restore {shlex.quote(f'{now}/{number}')}",
        model=model,
        version=number,
    )


def load_versions(connection: sa.Connection, keys: Collection[tuple[str, int]]) -> list[ModelVersion]:
    """Return the versions that have these models and numbers, in no order; of what is not there, or deleted, none."""
    if not keys:
        return []
    named = sa.tuple_(versions.c.model, versions.c.number).in_(sorted(set(keys)))
    return _load(connection, sa.select(versions).where(named, _LIVE))


def list_newest(connection: sa.Connection, each: int) -> list[tuple[str, int]]:
    """Return model and number of the newest `each` versions of every model, by model, newest first."""
    columns = versions.c
    place = sa.func.row_number().over(partition_by=columns.model, order_by=columns.number.desc())
    ranked = sa.select(columns.model, columns.number, place.label("place")).where(_LIVE).subquery()
    query = sa.select(ranked.c.model, ranked.c.number).where(ranked.c.place <= each)
    return [
        (row.model, row.number)
        for row in connection.execute(query.order_by(ranked.c.model, ranked.c.place)).all()
    ]


def find_newest(connection: sa.Connection, model: str) -> ModelVersion | None:
    """Return a model's newest version, or None where it has none; an old name of a renamed model has none."""
    query = sa.select(versions).where(versions.c.model == model, _LIVE)
    found = _load(connection, query.order_by(versions.c.number.desc()).limit(1))
    return found[0] if found else None


def list_versions(
    connection: sa.Connection, model: str | None = None, *, deleted: bool = False, limit: int | None = None
) -> list[ModelVersion]:
    """Return versions by model, newest first; the first `limit` of them."""
    query = sa.select(versions).order_by(versions.c.model, versions.c.number.desc()).limit(limit)
    if model is not None:
        query = query.where(versions.c.model == model)
    return _load(connection, query if deleted else query.where(_LIVE))


class VersionCount(NamedTuple):
    """How many versions a model has, and the number of the newest."""

    model: str
    newest: int
    total: int


def count_versions(connection: sa.Connection, model: str | None = None) -> list[VersionCount]:
    """Return the counts of one model's versions, or of every model that has some, by name."""
    columns = versions.c.model, sa.func.max(versions.c.number), sa.func.count()
    query = sa.select(*columns).where(_LIVE).group_by(versions.c.model).order_by(versions.c.model)
    if model is not None:
        query = query.where(versions.c.model == model)
    return [VersionCount(*row) for row in connection.execute(query)]


def list_versions_of_run(
    connection: sa.Connection, run_id: str, limit: int | None = None
) -> list[ModelVersion]:
    """Return the versions a run made, deleted ones too; of more than `limit` the newest."""
    return list_versions_of_runs(connection, [run_id], limit)


def list_versions_of_runs(
    connection: sa.Connection, run_ids: Collection[str], limit: int | None = None
) -> list[ModelVersion]:
    """Return the versions that any of these runs made, as `list_versions_of_run`."""
    query = sa.select(versions).where(versions.c.run_id.in_(list(run_ids)))
    found = _load(connection, query.order_by(versions.c.model.desc(), versions.c.number.desc()).limit(limit))
    return found[::-1]


def list_versions_of_commit(
    connection: sa.Connection, commit: str, limit: int | None = None
) -> list[ModelVersion]:
    """Return the versions registered from a commit, deleted ones too; of more than `limit` the newest."""
    query = sa.select(versions).where(versions.c.commit == commit)
    found = _load(connection, query.order_by(versions.c.model.desc(), versions.c.number.desc()).limit(limit))
    return found[::-1]


def list_uses_of_input(connection: sa.Connection, path: str, limit: int) -> list[tuple[str, str]]:
    """Return (version, digest) of what was made from data at a path, the newest numbers first."""
    used = version_inputs.c
    query = sa.select(used.model, used.number, used.digest).where(used.path == path)
    rows = connection.execute(query.order_by(used.number.desc(), used.model).limit(limit))
    return [(f"{row.model}/{row.number}", row.digest) for row in rows]


def list_versions_of_input(
    connection: sa.Connection, path: str, limit: int | None = None
) -> list[ModelVersion]:
    """Return the versions that were made from data at a path, newest first, deleted ones too; at most `limit`."""
    used = version_inputs.c
    query = sa.select(versions).join(
        version_inputs, (used.model == versions.c.model) & (used.number == versions.c.number)
    )
    newest = query.where(used.path == path).order_by(versions.c.model, versions.c.number.desc())
    return _load(connection, newest.limit(limit))


def list_versions_of_content(
    connection: sa.Connection, digests: Collection[str], limit: int | None = None
) -> list[ModelVersion]:
    """Return the versions that were made from data of one of these digests at any path, as `list_versions_of_input`."""
    used = version_inputs.c
    at = (used.model == versions.c.model) & (used.number == versions.c.number)
    query = sa.select(versions).where(sa.select(used.path).where(at, used.digest.in_(list(digests))).exists())
    return _load(connection, query.order_by(versions.c.model, versions.c.number.desc()).limit(limit))


def list_versions_of_output(connection: sa.Connection, path: str, digest: str) -> list[ModelVersion]:
    """Return the versions registered from a path that had this digest (`md5:…`) then, newest first, deleted ones too."""
    made = versions.c.provenance["output"].as_string() == digest
    query = sa.select(versions).where(versions.c.path == path, made)
    return _load(connection, query.order_by(versions.c.model, versions.c.number.desc()))


def list_input_digests(connection: sa.Connection, begin: str) -> list[tuple[str, str]]:
    """Return path and digest of what versions were made from whose digest begins so."""
    used = version_inputs.c
    query = sa.select(used.path, used.digest).where(used.digest.startswith(begin, autoescape=True))
    return [
        (row.path, row.digest)
        for row in connection.execute(query.distinct().order_by(*query.selected_columns))
    ]


def find_commits(connection: sa.Connection, begin: str) -> list[str]:
    """Return the commits that begin so of all from which versions were registered."""
    query = sa.select(versions.c.commit).where(versions.c.commit.startswith(begin, autoescape=True))
    return list(connection.execute(query.distinct().limit(2)).scalars())


def delete_version(connection: sa.Connection, card: VersionCard, actor: str) -> None:
    """Take a version away; the caller has taken its aliases away. Its row and files stay until a purge."""
    time_ms = now_ms()
    connection.execute(
        versions.update()
        .where(versions.c.model == card.model, versions.c.number == card.number)
        .values(deleted_ms=time_ms, updated_ms=time_ms)
    )
    touch(connection, card.model, time_ms)
    record_event(
        connection,
        "model.version_deleted",
        f"model:{card.model}/{card.number}",
        actor,
        f"{card.model}/{card.number} was deleted",
        before={"digest": card.digest},
    )


class Deletion(NamedTuple):
    """When a version was taken away, and by whom; empty where that was under another name of its model."""

    time_ms: int
    actor: str

    @property
    def sentence(self) -> str:
        """What happened to the version."""
        return f"deleted {format_ms(self.time_ms)}" + (f" by {self.actor}" if self.actor else "")


def find_deletions(
    connection: sa.Connection, keys: Collection[tuple[str, int]]
) -> dict[tuple[str, int], Deletion]:
    """Return when which of these versions were taken away; those that are there are left out."""
    named = sa.tuple_(versions.c.model, versions.c.number).in_(sorted(set(keys)))
    query = sa.select(versions.c.model, versions.c.number, versions.c.deleted_ms)
    rows = connection.execute(query.where(named, versions.c.deleted_ms.is_not(None))).all() if keys else []
    return {
        (row.model, row.number): Deletion(
            row.deleted_ms, _who_deleted(connection, row.model, row.number, row.deleted_ms)
        )
        for row in rows
    }


def _who_deleted(connection: sa.Connection, model: str, number: int, deleted_ms: int) -> str:
    """Return the actor of the event that took a version away, alone or with its model."""
    alone = (events.c.kind == "model.version_deleted") & (events.c.subject == f"model:{model}/{number}")
    with_model = (events.c.kind == "model.deleted") & (events.c.subject == f"model:{model}")
    query = sa.select(events.c.actor).where(alone | with_model, events.c.time_ms >= deleted_ms)
    return connection.execute(query.order_by(events.c.id).limit(1)).scalar() or ""


def restore_version(connection: sa.Connection, model: str, number: int, actor: str) -> None:
    """Bring a version back that was taken away, and its model; its aliases stay away.

    Raises:
        NotFound: there is none, or it was purged.
        Invalid: it was not taken away.
    """
    found = get_version(connection, model, number, deleted=True)
    if (found.model, number) not in find_deletions(connection, [(found.model, number)]):
        raise Invalid(
            f"{found.ref} is not deleted",
            code="registry.not_deleted",
            hint=f"penstock model show {shlex.quote(found.ref)}",
            model=found.model,
            version=number,
        )
    time_ms = now_ms()
    connection.execute(
        versions.update()
        .where(versions.c.model == found.model, versions.c.number == number)
        .values(deleted_ms=None, updated_ms=time_ms)
    )
    revive(connection, found.model, time_ms)
    record_event(
        connection,
        "model.version_restored",
        f"model:{found.ref}",
        actor,
        f"{found.ref} was restored",
        after={"digest": found.digest},
    )


def find_manifest(connection: sa.Connection, digest: str) -> Manifest | None:
    """Return the manifest of a digest that a version which is not deleted has, or None."""
    if not digest:
        return None
    query = sa.select(versions.c.manifest).where(versions.c.digest == digest, _LIVE).limit(1)
    found = connection.execute(query).scalar()
    return None if found is None else msgspec.convert(found, Manifest)


def list_models_of_digest(connection: sa.Connection, digest: str) -> list[str]:
    """Return the names of the models that have a version of this content."""
    query = sa.select(versions.c.model).where(versions.c.digest == digest, _LIVE).distinct()
    return sorted(connection.execute(query).scalars()) if digest else []


def _find_same(connection: sa.Connection, draft: ModelVersion) -> ModelVersion | None:
    query = sa.select(versions).where(
        versions.c.model == draft.model,
        versions.c.digest == draft.digest,
        versions.c.commit == draft.provenance.commit,
        _LIVE,
    )
    wanted = _made(draft)
    same = (one for one in _load(connection, query.order_by(versions.c.number)) if _made(one) == wanted)
    return next(same, None)


def _made(version: ModelVersion) -> tuple[object, ...]:
    """Return what is doubtful in how a version was made: of the same content, that may be known better later."""
    origin = version.provenance
    return origin.stale, origin.unseen, origin.output


def _find(connection: sa.Connection, model: str, number: int, *, deleted: bool) -> ModelVersion | None:
    query = sa.select(versions).where(versions.c.model == model, versions.c.number == number)
    found = _load(connection, query if deleted else query.where(_LIVE))
    return found[0] if found else None


def _load(connection: sa.Connection, query: sa.Select[Any]) -> list[ModelVersion]:
    rows = list(connection.execute(query).mappings())
    tags = tags_of(connection, [(row["model"], row["number"]) for row in rows])
    names = set(ModelVersion.__struct_fields__)
    return [
        msgspec.convert(
            {
                **{str(key): value for key, value in row.items() if key in names},
                "tags": tags.get((row["model"], row["number"]), {}),
            },
            ModelVersion,
        )
        for row in rows
    ]
