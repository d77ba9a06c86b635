"""Model versions, aliases and verdicts in the store.

Everything runs in the caller's transaction, so that a decision and its event are one.
"""

from __future__ import annotations

from typing import Any

import msgspec
import sqlalchemy as sa

from penstock.base.clock import now_ms
from penstock.base.errors import Conflict, Invalid, NotFound
from penstock.registry.entities import Alias, AliasMove, ModelVersion, Verdict
from penstock.registry.tables import alias_moves, aliases, models, verdicts, versions

FORBIDDEN_IN_NAMES = "/:@\n\r\t"


def check_name(name: str) -> str:
    """Return a registered model's name when it can be one.

    Raises:
        Invalid: it is empty, too long, or holds one of `FORBIDDEN_IN_NAMES`.
    """
    if not name or len(name) > 256 or any(character in name for character in FORBIDDEN_IN_NAMES):
        raise Invalid(
            f"{name!r} cannot be a model's name",
            code="registry.bad_name",
            hint="use 1 to 256 characters without / : @ and line breaks",
        )
    return name


def add_version(connection: sa.Connection, draft: ModelVersion) -> ModelVersion:
    """Write the next version of a model and return it; `draft.number` and its time are set here.

    Registering the same content from the same commit again returns the version that exists.
    """
    check_name(draft.model)
    if connection.execute(sa.select(models.c.name).where(models.c.name == draft.model)).scalar() is None:
        connection.execute(models.insert().values(name=draft.model, created_ms=now_ms()))
    same = (
        connection.execute(
            sa.select(versions).where(
                versions.c.model == draft.model,
                versions.c.digest == draft.digest,
                versions.c.commit == draft.provenance.commit,
            )
        )
        .mappings()
        .first()
    )
    if same is not None:
        return _version(same)
    newest = connection.execute(
        sa.select(sa.func.max(versions.c.number)).where(versions.c.model == draft.model)
    ).scalar()
    version = msgspec.structs.replace(draft, number=int(newest or 0) + 1, created_ms=now_ms())
    values = msgspec.to_builtins(version)
    connection.execute(
        versions.insert().values(**values, run_id=version.provenance.run_id, commit=version.provenance.commit)
    )
    return version


def get_version(connection: sa.Connection, model: str, number: int) -> ModelVersion:
    """Return one version.

    Raises:
        NotFound: there is none.
    """
    query = sa.select(versions).where(versions.c.model == model, versions.c.number == number)
    row = connection.execute(query).mappings().first()
    if row is None:
        raise NotFound(
            f"there is no model version {model}/{number}",
            code="registry.no_version",
            hint="penstock model list",
            model=model,
            version=number,
        )
    return _version(row)


def resolve_version(
    connection: sa.Connection, reference: str, default_alias: str = "champion"
) -> ModelVersion:
    """Return the version a reference means: `name/3`, `name@alias`, or `name` (its champion).

    Raises:
        NotFound: no such version or alias.
        Invalid: the reference cannot be read.
    """
    name, slash, number = reference.partition("/")
    if slash:
        if not (number.isascii() and number.isdigit() and len(number) < 10):
            raise Invalid(
                f"{reference!r}: a version is a number",
                code="registry.bad_reference",
                hint="write NAME/3 or NAME@champion",
            )
        return get_version(connection, name, int(number))
    name, _, alias = reference.partition("@")
    found = find_alias(connection, name, alias or default_alias)
    if found is None:
        raise NotFound(
            f"no version of {name!r} is called {alias or default_alias!r}",
            code="registry.no_alias",
            hint=f"penstock model list, then penstock promote {name}/N",
            model=name,
            alias=alias or default_alias,
        )
    return get_version(connection, name, found.version)


def list_versions(connection: sa.Connection, model: str | None = None) -> list[ModelVersion]:
    """Return versions by model, newest first."""
    query = sa.select(versions).order_by(versions.c.model, versions.c.number.desc())
    if model is not None:
        query = query.where(versions.c.model == model)
    return [_version(row) for row in connection.execute(query).mappings()]


def list_versions_of_run(connection: sa.Connection, run_id: str) -> list[ModelVersion]:
    """Return the versions a run made."""
    query = sa.select(versions).where(versions.c.run_id == run_id).order_by(versions.c.number)
    return [_version(row) for row in connection.execute(query).mappings()]


def list_versions_of_commit(connection: sa.Connection, commit: str) -> list[ModelVersion]:
    """Return the versions registered from a commit."""
    query = (
        sa.select(versions).where(versions.c.commit == commit).order_by(versions.c.model, versions.c.number)
    )
    return [_version(row) for row in connection.execute(query).mappings()]


def find_alias(connection: sa.Connection, model: str, name: str) -> Alias | None:
    """Return where an alias points, or None."""
    query = sa.select(aliases).where(aliases.c.model == model, aliases.c.name == name)
    row = connection.execute(query).mappings().first()
    return Alias(**row) if row else None


def list_aliases(connection: sa.Connection, model: str | None = None) -> list[Alias]:
    """Return the aliases of a model, or of all."""
    query = sa.select(aliases).order_by(aliases.c.model, aliases.c.name)
    if model is not None:
        query = query.where(aliases.c.model == model)
    return [Alias(**row) for row in connection.execute(query).mappings()]


def move_alias(connection: sa.Connection, move: AliasMove, *, expected: int | None) -> None:
    """Point an alias at another version (or, with None, delete it) and add the move to its history.

    Raises:
        Conflict: the alias does not point at `expected` any more.
    """
    current = find_alias(connection, move.model, move.name)
    if (current.version if current else None) != expected:
        raise Conflict(
            f"{move.model}@{move.name} moved in the meantime: it is "
            f"{'version ' + str(current.version) if current else 'not set'} now",
            code="registry.alias_moved",
            hint="look at penstock model list and try again",
        )
    connection.execute(aliases.delete().where(aliases.c.model == move.model, aliases.c.name == move.name))
    if move.version is not None:
        connection.execute(aliases.insert().values(model=move.model, name=move.name, version=move.version))
    connection.execute(alias_moves.insert().values(**msgspec.to_builtins(move)))


def list_alias_moves(connection: sa.Connection, model: str, name: str) -> list[AliasMove]:
    """Return an alias's history, oldest first."""
    query = (
        sa.select(alias_moves)
        .where(alias_moves.c.model == model, alias_moves.c.name == name)
        .order_by(alias_moves.c.id)
    )
    rows = connection.execute(query).mappings()
    return [AliasMove(**{key: value for key, value in row.items() if key != "id"}) for row in rows]


def add_verdict(connection: sa.Connection, verdict: Verdict) -> None:
    """Write a verdict; it is never changed afterwards."""
    connection.execute(verdicts.insert().values(**msgspec.to_builtins(verdict)))


def find_verdict(
    connection: sa.Connection, model: str, model_digest: str, settings_digest: str | None = None
) -> Verdict | None:
    """Return the newest verdict on exactly this content (under exactly these settings), or None."""
    query = sa.select(verdicts).where(verdicts.c.model == model, verdicts.c.model_digest == model_digest)
    if settings_digest is not None:
        query = query.where(verdicts.c.settings_digest == settings_digest)
    row = connection.execute(query.order_by(verdicts.c.created_ms.desc()).limit(1)).mappings().first()
    return _verdict(row) if row else None


def get_verdict(connection: sa.Connection, verdict_id: str) -> Verdict:
    """Return a verdict by its id.

    Raises:
        NotFound: there is none.
    """
    row = connection.execute(sa.select(verdicts).where(verdicts.c.id == verdict_id)).mappings().first()
    if row is None:
        raise NotFound(
            f"there is no verdict {verdict_id!r}",
            code="registry.no_verdict",
            hint="penstock gate show MODEL/N",
        )
    return _verdict(row)


def _version(row: Any) -> ModelVersion:
    return msgspec.convert(_values(row, ModelVersion), ModelVersion)


def _verdict(row: Any) -> Verdict:
    return msgspec.convert(_values(row, Verdict), Verdict)


def _values(row: Any, kind: type[msgspec.Struct]) -> dict[str, Any]:
    """Return the row's values that the struct has; keys become plain text, which msgspec insists on."""
    names = kind.__struct_fields__
    return {str(key): value for key, value in row.items() if key in names}
