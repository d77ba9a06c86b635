"""Search: what is called so, of all that the product prints: ids and their beginnings, names, digests, aliases."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

import msgspec
import sqlalchemy as sa

from penstock.base.errors import Invalid, NotFound, PenstockError
from penstock.base.store.events import events
from penstock.data.repository import DataRepository
from penstock.flows.chain.lineage import explain
from penstock.flows.chain.links import Explanation
from penstock.flows.tracked.selection import select
from penstock.pipeline.definition import load_all_stages
from penstock.project.project import Project
from penstock.registry.tables import aliases, models, verdicts, version_inputs, versions
from penstock.serving.deployments import endpoints
from penstock.tracking.tables import experiments, logged_models, run_inputs, runs

MOST = 20
SHORTEST = 4
"""So many characters of an id or digest name it at least; fewer would name everything."""
Kind = Literal[
    "endpoint", "model", "model version", "alias", "run", "experiment", "logged model", "verdict", "data", "event",
    "chain", "stage", "tracked",
]  # fmt: skip


class Hit(msgspec.Struct, frozen=True, kw_only=True):
    """Something that is called so. `key` names it among its kind, `text` says how it was found."""

    kind: Kind
    key: str
    text: str
    is_exact: bool = False


def find_anything(project: Project, text: str) -> list[Hit]:
    """Return what a text names, what it names exactly first; at most `MOST` of a kind.

    Reads the store and the working tree's pipeline and pointers, and git where nothing is called so exactly.
    """
    wanted = text.strip()
    if not wanted:
        return []
    with project.database.read() as connection:
        found = list(_found(connection, wanted))
    used = {one.key for one in found if one.kind == "data"}
    found += [one for one in _in_tree(project, wanted) if one.kind == "stage" or one.key not in used]
    found.sort(key=lambda one: not one.is_exact)
    if not any(one.is_exact for one in found) and (chain := _chain(project, wanted)) is not None:
        found.insert(0, Hit(kind="chain", key=wanted, text=f"the chain of this {chain.kind}", is_exact=True))
    return list({(one.kind, one.key): one for one in reversed(found)}.values())[::-1]


def _chain(project: Project, wanted: str) -> Explanation | None:
    try:
        return explain(project, wanted)
    except (NotFound, Invalid):
        return None


def _in_tree(project: Project, wanted: str) -> Iterator[Hit]:
    """Find stages by their names, and what is tracked by its path or the beginning of its md5."""
    digest = wanted.removeprefix("md5:")
    try:
        repo = DataRepository.open(project.root, cache_dir=project.places.cache_dir)
    except PenstockError:  # a server may run outside of a repository
        return
    try:
        stages, outputs = load_all_stages(repo), select(repo)
    except PenstockError:  # the page of the pipeline says what is wrong with it
        return
    finally:
        repo.close()
    for stage in stages:
        if wanted in {stage.address, stage.name}:
            yield Hit(kind="stage", key=stage.address, text="; ".join(stage.commands)[:120], is_exact=True)
    for one in outputs:
        if not one.output.cached:
            continue
        path, info = repo.relative(one.output.path), one.output.hash
        md5 = info.md5 if info is not None else ""
        is_exact = wanted == path or digest == md5
        if is_exact or (len(digest) >= SHORTEST and md5.startswith(digest)):
            yield Hit(kind="tracked", key=path, text=md5, is_exact=is_exact)


def _found(connection: sa.Connection, wanted: str) -> Iterator[Hit]:
    digest = wanted.partition(":")[2] if wanted.startswith(("md5:", "sha256:")) else wanted
    has_length = len(digest) >= SHORTEST
    yield from _named(connection, "endpoint", endpoints.c.name, wanted)
    yield from _named(connection, "model", models.c.name, wanted, models.c.deleted_ms.is_(None))
    yield from _aliases(connection, wanted)
    yield from _versions(connection, wanted, digest)
    yield from _rows(connection, "run", runs.c.id, runs.c.name, wanted, runs.c.deleted_ms.is_(None))
    yield from _experiments(connection, wanted)
    yield from _rows(
        connection,
        "logged model",
        logged_models.c.id,
        logged_models.c.name,
        wanted,
        logged_models.c.deleted_ms.is_(None),
    )
    if has_length:
        yield from _verdicts(connection, wanted)
        yield from _data(connection, digest)
    if wanted.isascii() and wanted.isdigit() and len(wanted) < 10:
        row = connection.execute(sa.select(events).where(events.c.id == int(wanted))).first()
        if row is not None:
            yield Hit(kind="event", key=wanted, text=row.summary)


def _named(
    connection: sa.Connection,
    kind: Kind,
    name: sa.ColumnElement[str],
    wanted: str,
    *conditions: sa.ColumnElement[bool],
) -> Iterator[Hit]:
    query = sa.select(name).where(name.icontains(wanted, autoescape=True), *conditions).order_by(name)
    for found in connection.execute(query.limit(MOST)).scalars():
        yield Hit(kind=kind, key=found, text="by name", is_exact=found == wanted)


def _aliases(connection: sa.Connection, wanted: str) -> Iterator[Hit]:
    model, at, name = wanted.rpartition("@")
    condition = (
        (aliases.c.model == model) & (aliases.c.name == name)
        if at and model
        else aliases.c.name.icontains(name, autoescape=True)
    )
    query = sa.select(aliases).where(condition).order_by(aliases.c.model, aliases.c.name).limit(MOST)
    for row in connection.execute(query):
        yield Hit(
            kind="alias",
            key=f"{row.model}@{row.name}",
            text=f"{row.model}/{row.version} now",
            is_exact=bool(at),
        )


def _versions(connection: sa.Connection, wanted: str, digest: str) -> Iterator[Hit]:
    columns = versions.c
    named, _, number = wanted.rpartition("/")
    conditions: list[sa.ColumnElement[bool]] = []
    if named and number.isascii() and number.isdigit() and len(number) < 10:
        conditions.append((columns.model == named) & (columns.number == int(number)))
    if len(digest) >= SHORTEST:
        fields = (
            columns.digest,
            columns.profile_digest,
            columns.run_id,
            columns.commit,
            columns.logged_model_id,
        )
        conditions += [field.startswith(digest, autoescape=True) for field in fields]
    if not conditions:
        return
    query = sa.select(columns.model, columns.number, columns.digest).where(
        sa.or_(*conditions), columns.deleted_ms.is_(None)
    )
    for row in connection.execute(query.order_by(columns.model, columns.number.desc()).limit(MOST)):
        ref = f"{row.model}/{row.number}"
        is_exact = wanted == ref or digest == row.digest
        yield Hit(kind="model version", key=ref, text=f"sha256 {row.digest[:12]}", is_exact=is_exact)


def _rows(
    connection: sa.Connection,
    kind: Kind,
    key: sa.ColumnElement[str],
    name: sa.ColumnElement[str],
    wanted: str,
    condition: sa.ColumnElement[bool],
) -> Iterator[Hit]:
    by_name = name.icontains(wanted, autoescape=True)
    by_id = key.startswith(wanted, autoescape=True) if len(wanted) >= SHORTEST else sa.false()
    query = sa.select(key.label("key"), name.label("name")).where(sa.or_(by_id, by_name), condition)
    for row in connection.execute(query.order_by(key).limit(MOST)):
        yield Hit(kind=kind, key=row.key, text=row.name, is_exact=wanted in {row.key, row.name})


def _experiments(connection: sa.Connection, wanted: str) -> Iterator[Hit]:
    columns = experiments.c
    condition = columns.name.icontains(wanted, autoescape=True)
    if wanted.isascii() and wanted.isdigit() and len(wanted) < 19:
        condition |= columns.id == int(wanted)
    query = sa.select(columns.id, columns.name).where(condition, columns.deleted_ms.is_(None))
    for row in connection.execute(query.order_by(columns.id).limit(MOST)):
        yield Hit(kind="experiment", key=str(row.id), text=row.name, is_exact=row.name == wanted)


def _verdicts(connection: sa.Connection, wanted: str) -> Iterator[Hit]:
    query = (
        sa.select(verdicts.c.id, verdicts.c.passed, versions.c.model, versions.c.number)
        .join(
            versions,
            (versions.c.model == verdicts.c.model) & (versions.c.digest == verdicts.c.model_digest),
        )
        .where(verdicts.c.id.startswith(wanted, autoescape=True))
    )
    for row in connection.execute(query.order_by(verdicts.c.id).limit(MOST)):
        word = "passed" if row.passed else "refused"
        yield Hit(
            kind="verdict",
            key=f"{row.model}/{row.number}",
            text=f"verdict {row.id}, {word}",
            is_exact=row.id == wanted,
        )


def _data(connection: sa.Connection, digest: str) -> Iterator[Hit]:
    for table in (run_inputs, version_inputs):
        columns = table.c
        by_digest = [columns.digest.startswith(f"{kind}{digest}", autoescape=True) for kind in ("", "md5:")]
        query = sa.select(columns.path, columns.digest).where(
            sa.or_(*by_digest, columns.path.icontains(digest, autoescape=True))
        )
        for row in connection.execute(query.distinct().order_by(columns.path, columns.digest).limit(MOST)):
            is_exact = digest in {row.path, row.digest, row.digest.partition(":")[2]}
            yield Hit(kind="data", key=row.path, text=row.digest, is_exact=is_exact)
