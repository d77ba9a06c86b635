"""What a purge would take: deleted experiments, runs, logged models and versions, and what must stay, with why.

Deleting is soft everywhere; only a purge makes it final. Nothing goes that something kept still points to: an
alias, now or in its history; a deployment's revision; a verdict; a prediction; a version of its run or model. A
purged model's name keeps its row, because its numbers are not given again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import sqlalchemy as sa

from penstock.base.errors import Invalid, NotFound
from penstock.registry.tables import alias_moves, aliases, verdicts, versions
from penstock.serving.deployments import endpoints, revisions
from penstock.serving.predictions.stored import predictions
from penstock.tracking.tables import experiments, logged_models, run_models, runs

PART = 500


@dataclass(frozen=True)
class PurgeWish:
    """What a purge may take: what was deleted up to `until_ms`, and of that only what is named, if anything is.

    Args:
        versions: `NAME/3`.
        models: names; all their deleted versions.
    """

    until_ms: int
    experiments: Sequence[int] = ()
    runs: Sequence[str] = ()
    logged_models: Sequence[str] = ()
    models: Sequence[str] = ()
    versions: Sequence[str] = ()

    @property
    def takes_all(self) -> bool:
        """Whether nothing is named."""
        return not any((self.experiments, self.runs, self.logged_models, self.models, self.versions))


class Kept(NamedTuple):
    """Something deleted that stays, and why."""

    subject: str
    reason: str


class VersionKey(NamedTuple):
    """A version's name, with the digest of its content."""

    model: str
    number: int
    digest: str

    @property
    def ref(self) -> str:
        """`NAME/3`."""
        return f"{self.model}/{self.number}"


@dataclass(frozen=True)
class PurgePlan:
    """What goes; `folders` are artifact roots, `objects` contents that nothing else has, `left` places not ours."""

    wish: PurgeWish
    experiments: tuple[int, ...] = ()
    runs: tuple[str, ...] = ()
    logged_models: tuple[str, ...] = ()
    versions: tuple[VersionKey, ...] = ()
    folders: tuple[str, ...] = ()
    objects: tuple[str, ...] = ()
    kept: tuple[Kept, ...] = ()
    left: tuple[str, ...] = ()

    @property
    def is_empty(self) -> bool:
        """Whether nothing would go."""
        return not (self.experiments or self.runs or self.logged_models or self.versions)


@dataclass
class _Candidates:
    experiments: set[int] = field(default_factory=set)
    runs: set[str] = field(default_factory=set)
    logged_models: set[str] = field(default_factory=set)
    versions: set[VersionKey] = field(default_factory=set)
    kept: list[Kept] = field(default_factory=list)


def plan_purge(connection: sa.Connection, wish: PurgeWish) -> PurgePlan:
    """Plan a purge; reads only.

    Raises:
        NotFound: what is named is not there.
        Invalid: what is named is not deleted.
    """
    found = _Candidates()
    _choose(connection, wish, found)
    _keep_versions(connection, found)
    while _keep_owners(connection, found):
        pass
    gone = sorted(found.versions)
    folders, left = _folders(connection, found)
    return PurgePlan(
        wish,
        tuple(sorted(found.experiments)),
        tuple(sorted(found.runs)),
        tuple(sorted(found.logged_models)),
        tuple(gone),
        folders,
        unshared_objects(connection, gone),
        tuple(sorted(set(found.kept))),
        left,
    )


def list_in_parts(items: Iterable[Any]) -> Iterator[list[Any]]:
    """Yield items in lists short enough for one query."""
    whole = sorted(items)
    for start in range(0, len(whole), PART):
        yield whole[start : start + PART]


def unshared_objects(connection: sa.Connection, gone: Sequence[VersionKey]) -> tuple[str, ...]:
    """Return the contents that only these versions have: their files and profiles."""
    if not gone:
        return ()
    names = {(one.model, one.number) for one in gone}
    own: set[str] = set()
    shared: set[str] = set()
    query = sa.select(versions.c.model, versions.c.number, versions.c.manifest, versions.c.profile_digest)
    for row in connection.execute(query, execution_options={"yield_per": PART}):
        into = own if (row.model, row.number) in names else shared
        into.update(file["sha256"] for file in row.manifest["files"])
        if row.profile_digest:
            into.add(row.profile_digest)
    return tuple(sorted(own - shared))


def _choose(connection: sa.Connection, wish: PurgeWish, found: _Candidates) -> None:
    everything = wish.takes_all

    def chosen(table: sa.Table, names: Sequence[Any], what: str) -> set[Any]:
        if not (names or everything):
            return set()
        query = sa.select(table.c.id, table.c.deleted_ms)
        if everything:
            rows = connection.execute(query.where(table.c.deleted_ms <= wish.until_ms)).all()
            return {row.id for row in rows}
        known = {
            row.id: row.deleted_ms
            for part in list_in_parts(set(names))
            for row in connection.execute(query.where(table.c.id.in_(part)))
        }
        for name in names:
            _check_deleted(f"{what} {name}", name in known, known.get(name))
        return {name for name, deleted_ms in known.items() if deleted_ms <= wish.until_ms}

    found.experiments = chosen(experiments, wish.experiments, "experiment")
    found.runs = chosen(runs, wish.runs, "run")
    found.logged_models = chosen(logged_models, wish.logged_models, "logged model")
    for part in list_in_parts(found.experiments):  # its runs were deleted with it; its models carry no mark
        own = sa.select(runs.c.id).where(runs.c.experiment_id.in_(part), runs.c.deleted_ms <= wish.until_ms)
        found.runs.update(connection.execute(own).scalars())
        made = sa.select(logged_models.c.id).where(logged_models.c.experiment_id.in_(part))
        found.logged_models.update(connection.execute(made).scalars())
    found.versions = _choose_versions(connection, wish)


def _choose_versions(connection: sa.Connection, wish: PurgeWish) -> set[VersionKey]:
    columns = (versions.c.model, versions.c.number, versions.c.digest)
    query = sa.select(*columns).where(versions.c.deleted_ms <= wish.until_ms)
    if wish.takes_all:
        return {VersionKey(*row) for row in connection.execute(query)}
    found: set[VersionKey] = set()
    for name in wish.models:
        there = connection.execute(sa.select(versions.c.number).where(versions.c.model == name)).first()
        if there is None:
            raise NotFound(f"model {name!r} has no version", code="purge.unknown", hint="penstock model list")
        found |= {VersionKey(*row) for row in connection.execute(query.where(versions.c.model == name))}
    for ref in wish.versions:
        name, _, number = ref.rpartition("/")
        row = None
        if number.isascii() and number.isdigit() and len(number) < 10:
            one = (versions.c.model == name, versions.c.number == int(number))
            row = connection.execute(sa.select(*columns, versions.c.deleted_ms).where(*one)).first()
        _check_deleted(f"version {ref}", row is not None, row.deleted_ms if row else None)
        if row is not None and row.deleted_ms <= wish.until_ms:
            found.add(VersionKey(row.model, row.number, row.digest))
    return found


def _check_deleted(what: str, is_there: bool, deleted_ms: int | None) -> None:
    if not is_there:
        raise NotFound(f"there is no {what}", code="purge.unknown")
    if deleted_ms is None:
        raise Invalid(
            f"{what} is not deleted, so it cannot be purged", code="purge.not_deleted", hint="delete it first"
        )


def _keep_versions(connection: sa.Connection, found: _Candidates) -> None:
    """Take out of the candidates the versions that something still points to."""
    names = {one.model for one in found.versions}
    if not names:
        return
    reasons: dict[tuple[str, int], str] = {}

    def note(rows: Iterable[Any], reason: Callable[[Any], str]) -> None:
        for row in rows:
            reasons.setdefault((row.model, row.number), reason(row))

    for part in list_in_parts(names):
        now = sa.select(aliases.c.model, aliases.c.version.label("number"), aliases.c.name)
        note(connection.execute(now.where(aliases.c.model.in_(part))), lambda row: f"it is {row.name}")
        was = sa.select(alias_moves.c.model, alias_moves.c.version.label("number"), alias_moves.c.name)
        moves = connection.execute(
            was.where(alias_moves.c.model.in_(part), alias_moves.c.version.is_not(None))
        )
        note(moves, lambda row: f"it was {row.name} once")
        _note_served(connection, part, reasons)
    digests = {one.digest for one in found.versions if one.digest}
    judged = {
        (row.model, row.model_digest): row.id
        for part in list_in_parts(digests)
        for row in connection.execute(sa.select(verdicts).where(verdicts.c.model_digest.in_(part)))
    }
    for one in sorted(found.versions):
        reason = reasons.get((one.model, one.number))
        if reason is None and (one.model, one.digest) in judged:
            reason = f"verdict {judged[one.model, one.digest]} is about it"
        if reason is not None:
            found.versions.discard(one)
            found.kept.append(Kept(f"version {one.ref}", reason))


def _note_served(
    connection: sa.Connection, names: Sequence[str], reasons: dict[tuple[str, int], str]
) -> None:
    query = sa.select(revisions, endpoints.c.name.label("endpoint")).join(
        endpoints, endpoints.c.id == revisions.c.endpoint_id
    )
    servers: dict[str, set[str]] = {name: {name} for name in names}
    for row in connection.execute(query.where(revisions.c.model.in_(names))):
        servers[row.model].add(row.endpoint)
        for number in {row.stable, row.canary_version, *row.shadows} - {None}:
            reasons.setdefault((row.model, number), f"revision {row.endpoint}#{row.number} served it")
    for model, called in servers.items():
        answered = sa.select(predictions.c.version).where(predictions.c.endpoint.in_(called)).distinct()
        for number in connection.execute(answered).scalars():
            reasons.setdefault((model, number), "it made predictions that are kept")


def _keep_owners(connection: sa.Connection, found: _Candidates) -> bool:
    """Take out runs, logged models and experiments that something kept still points to; True if there were."""
    before = len(found.kept)
    gone = {(one.model, one.number) for one in found.versions}
    for column, candidates, what in (
        (versions.c.run_id, found.runs, "run"),
        (versions.c.logged_model_id, found.logged_models, "logged model"),
    ):
        for part in list_in_parts(candidates):
            query = sa.select(versions.c.model, versions.c.number, column.label("owner"))
            for row in connection.execute(query.where(column.in_(part))):
                if (row.model, row.number) not in gone and row.owner in candidates:
                    candidates.discard(row.owner)
                    reason = f"version {row.model}/{row.number} came from it"
                    found.kept.append(Kept(f"{what} {row.owner}", reason))
    _keep_linked(connection, found)
    _keep_experiments(connection, found)
    return len(found.kept) > before


def _keep_linked(connection: sa.Connection, found: _Candidates) -> None:
    for part in list_in_parts(found.logged_models):
        reads = sa.select(run_models).where(
            run_models.c.direction == "input", run_models.c.model_id.in_(part)
        )
        for row in connection.execute(reads):
            if row.run_id not in found.runs and row.model_id in found.logged_models:
                found.logged_models.discard(row.model_id)
                found.kept.append(Kept(f"logged model {row.model_id}", f"run {row.run_id} reads it"))
    for part in list_in_parts(found.runs):
        made = sa.select(logged_models.c.id, logged_models.c.source_run_id)
        for row in connection.execute(made.where(logged_models.c.source_run_id.in_(part))):
            if row.id not in found.logged_models and row.source_run_id in found.runs:
                found.runs.discard(row.source_run_id)
                reason = f"logged model {row.id} came from it; delete that first"
                found.kept.append(Kept(f"run {row.source_run_id}", reason))


def _keep_experiments(connection: sa.Connection, found: _Candidates) -> None:
    for table, gone, what in (
        (runs, found.runs, "run"),
        (logged_models, found.logged_models, "logged model"),
    ):
        for part in list_in_parts(found.experiments):
            query = sa.select(table.c.id, table.c.experiment_id).where(table.c.experiment_id.in_(part))
            for row in connection.execute(query):
                if row.id not in gone and row.experiment_id in found.experiments:
                    found.experiments.discard(row.experiment_id)
                    found.kept.append(Kept(f"experiment {row.experiment_id}", f"{what} {row.id} stays"))
    if 0 in found.experiments:
        found.experiments.discard(0)
        found.kept.append(Kept("experiment 0", "every store has it"))


def _folders(connection: sa.Connection, found: _Candidates) -> tuple[tuple[str, ...], tuple[str, ...]]:
    folders, left = [], []
    for table, gone, between in ((runs, found.runs, ""), (logged_models, found.logged_models, "models/")):
        query = sa.select(
            table.c.id, table.c.experiment_id, table.c.artifact_uri, experiments.c.artifact_uri.label("root")
        ).join(experiments, experiments.c.id == table.c.experiment_id)
        for part in list_in_parts(gone):
            for row in connection.execute(query.where(table.c.id.in_(part))):
                place = f"{between}{row.id}/artifacts"
                if row.artifact_uri or row.root:
                    left.append(row.artifact_uri or f"{row.root}/{place}")
                else:
                    folders.append(f"{row.experiment_id}/{place}")
    return tuple(sorted(folders)), tuple(sorted(left))
