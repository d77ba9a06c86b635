"""A model that is renamed keeps what was said of its versions: rollbacks, approvals, what served them, who may use it."""

from __future__ import annotations

from typing import Any

import pytest
import sqlalchemy as sa

from flows.production.endpoints import World
from penstock.access.grants import Grant, list_grants, set_grant
from penstock.access.users import add_user
from penstock.base.errors import Refused
from penstock.base.store.database import Database, metadata
from penstock.flows.models.aliases import AliasPolicy, plan_promotion
from penstock.flows.models.evidence.holds import list_holds, record_hold
from penstock.flows.models.removing import rename_model
from penstock.flows.production.revising import apply_deployment
from penstock.flows.production.traffic.rolling_back import plan_rollback
from penstock.registry.approvals import add_approval, list_approvals
from penstock.registry.models import ensure_model
from penstock.registry.versions import get_version
from penstock.serving.deployments import list_revisions_of_versions

SERVED_NOW = {"endpoints"}
"""Tables that say what is served now: a model that is served is not renamed."""


def renamed(world: World, name: str, new_name: str) -> None:
    with world.project.database.write() as connection:
        rename_model(connection, AliasPolicy.of(world.project), name, new_name, "person:ada")


@pytest.fixture
def rolled_back(world: World) -> World:
    """Version 2 of m was rolled back; the endpoint serves another model."""
    world.deploy(1)
    world.deploy(2)
    apply_deployment(world.project, plan_rollback(world.project, "delay", reason="errors"))
    world.version(1, model="x")
    world.deploy(1, model="x")
    return world


def test_a_version_that_was_rolled_back_stays_so_under_every_name(rolled_back: World) -> None:
    for before, after in (("m", "n"), ("n", "o"), ("o", "m")):
        renamed(rolled_back, before, after)
        with pytest.raises(Refused, match=f"{after}/2 cannot be champion: it was rolled back") as caught:
            plan_promotion(rolled_back.project, f"{after}/2")
        assert caught.value.code == "registry.rolled_back"


def test_no_rollback_goes_back_to_what_was_rolled_back_under_a_former_name(rolled_back: World) -> None:
    renamed(rolled_back, "m", "n")
    plan = plan_rollback(rolled_back.project, "delay", reason="errors again")
    assert (plan.draft.model, plan.draft.stable) == ("n", 1)


def test_what_served_a_version_is_known_by_its_new_name(rolled_back: World) -> None:
    renamed(rolled_back, "m", "n")
    with rolled_back.project.database.read() as connection:
        found = list_revisions_of_versions(connection, [("n", 2)])
    assert [one.number for one in found["n", 2]] == [2]


def test_approvals_and_what_ci_held_are_of_the_version_whatever_it_was_called(world: World) -> None:
    keys = world.project.keys
    with world.project.database.write() as connection:
        version = get_version(connection, "m", 2)
        add_approval(connection, version, "person:bob", "ok", keys.signing_key(), withdrawn=False)
        add_approval(connection, version, "person:carol", "ok", keys.signing_key(), withdrawn=False)
        record_hold(connection, version, "penstock promote m/2", "c0ffee", "ci")
    renamed(world, "m", "n")
    renamed(world, "n", "o")
    with world.project.database.write() as connection:
        version = get_version(connection, "o", 2)
        add_approval(connection, version, "person:carol", "", keys.signing_key(), withdrawn=True)
        said = {one.actor: one.sentence for one in list_approvals(connection, version, keys.trusted)}
        held = list_holds(connection, [version])
    assert said == {"person:bob": "approved", "person:carol": "withdrawn"}
    assert held["o", 2].ref == "o/2"


def test_an_approval_of_another_model_that_took_an_old_name_counts_for_it_alone(world: World) -> None:
    keys = world.project.keys
    renamed(world, "m", "n")
    with world.project.database.write() as connection:
        ensure_model(connection, "m")
    world.version(4, model="m")
    world.version(4, model="n")  # of the same content
    with world.project.database.write() as connection:
        own, other = get_version(connection, "m", 4), get_version(connection, "n", 4)
        assert own.digest == other.digest
        add_approval(connection, own, "person:bob", "ok", keys.signing_key(), withdrawn=False)
        assert [one.actor for one in list_approvals(connection, own, keys.trusted)] == ["person:bob"]
        assert list_approvals(connection, other, keys.trusted) == ()


def test_grants_go_along_and_stay_where_the_name_stays(world: World) -> None:
    with world.project.database.write() as connection:
        add_user(connection, "bob", "none", None, "person:ada")
        grant = Grant(user="bob", kind="model", resource="m", role="reader")
        set_grant(connection, grant, "person:ada")
    renamed(world, "m", "m")
    with world.project.database.read() as connection:
        assert list_grants(connection, "bob") == [grant]
    renamed(world, "m", "n")
    with world.project.database.read() as connection:
        assert [one.resource for one in list_grants(connection, "bob")] == ["n"]


def a_row(table: sa.Table, **known: Any) -> dict[str, Any]:
    """Return a row with something in each column."""
    kinds: dict[type[Any], Any] = {
        sa.JSON: {},
        sa.Boolean: True,
        sa.Float: 1.0,
        sa.Integer: 1,
        sa.String: "x",
    }
    values = {
        column.name: next(value for kind, value in kinds.items() if isinstance(column.type, kind))
        for column in table.columns
    }
    return values | {name: value for name, value in known.items() if name in values}


def test_no_table_keeps_the_old_name_of_a_model(world: World, either_store: Database) -> None:
    tables = [one for one in metadata.sorted_tables if "model" in one.columns]
    assert {"version_states", "verdicts", "revisions"} < {one.name for one in tables}
    with either_store.write() as connection:
        ensure_model(connection, "m")
        endpoint = a_row(metadata.tables["endpoints"], model="x", current_revision=2)
        connection.execute(metadata.tables["endpoints"].insert().values(endpoint))
        connection.execute(
            metadata.tables["revisions"].insert().values(
                a_row(metadata.tables["revisions"], endpoint_id=1, number=2, model="x", shadows=[], steps=[], kind="deployed")
            )
        )  # fmt: skip
        for table in tables:
            if table.name not in SERVED_NOW:
                connection.execute(
                    table.insert().values(
                        a_row(table, model="m", endpoint_id=1, shadows=[], steps=[], checks=[])
                    )
                )
        for before, after in (("m", "n"), ("n", "m")):
            rename_model(connection, AliasPolicy.of(world.project), before, after, "person:ada")
            for table in tables:
                if table.name not in SERVED_NOW:
                    names = set(connection.execute(sa.select(table.c.model)).scalars())
                    assert names - {"x"} == {after}, table.name
