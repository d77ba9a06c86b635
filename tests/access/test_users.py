"""Users, tokens and grants, on SQLite and on PostgreSQL."""

from __future__ import annotations

import base64
from collections.abc import Iterator

import pytest
import sqlalchemy as sa

from patience import wait_until
from penstock.access.credentials import Authenticator
from penstock.access.grants import (
    Access,
    Grant,
    disown,
    list_grants,
    own,
    remove_grant,
    rename_resource,
    set_grant,
)
from penstock.access.passwords import hash_password, is_password
from penstock.access.sessions import Sessions
from penstock.access.tables import tokens
from penstock.access.tokens import create_token, find_bearer, list_tokens, revoke_token
from penstock.access.users import (
    add_user,
    find_user,
    get_user,
    list_users,
    modify_user,
    remove_user,
    require_admin,
    require_somebody,
)
from penstock.base.clock import now_ms
from penstock.base.errors import Conflict, Denied, Invalid, NotFound, Refused
from penstock.base.store.connection import BUSY_TIMEOUT_S
from penstock.base.store.database import Database
from penstock.base.store.events import list_events
from penstock.base.threads import begin
from tables import table

PASSWORD = "correct horse battery"


@pytest.fixture
def store(either_store: Database) -> Iterator[sa.Connection]:
    with either_store.write() as connection:
        yield connection


def test_a_user_is_kept_without_the_password(store: sa.Connection) -> None:
    made = add_user(store, "ann", "writer", PASSWORD, "test")
    assert made.password_hash is not None and PASSWORD not in made.password_hash
    assert made.password_hash.startswith("$argon2id$")
    assert find_user(store, "ann") == made
    assert is_password(made.password_hash, PASSWORD)
    assert not is_password(made.password_hash, PASSWORD + "x")
    assert [event.kind for event in list_events(store, subject="user:ann")] == ["user.added"]


def test_a_second_user_of_a_name_is_refused(store: sa.Connection) -> None:
    add_user(store, "ann", "writer", None, "test")
    with pytest.raises(Conflict):
        add_user(store, "ann", "admin", None, "test")
    assert get_user(store, "ann").role == "writer"


@table("name", ["", "a:b", "a b", "-x", "a\n", "ä", "x" * 101, "a\0", "../x"])
def test_a_name_that_credentials_cannot_carry_is_refused(store: sa.Connection, name: str) -> None:
    with pytest.raises(Invalid):
        add_user(store, name, "reader", None, "test")
    assert list_users(store) == []


@table("password", ["", "short", "aaaaaaaaaaaaaa", "ababababababab", "x" * 1025])
def test_a_weak_password_is_refused(password: str) -> None:
    with pytest.raises(Invalid):
        hash_password(password)


def test_without_a_kept_password_none_is_right() -> None:
    assert not is_password(None, "")
    assert not is_password(None, PASSWORD)
    assert not is_password("not a hash", PASSWORD)


def test_the_last_admin_stays(store: sa.Connection) -> None:
    with pytest.raises(Refused, match="nobody could use this server"):
        require_admin(store)
    add_user(store, "ann", "admin", None, "test")
    require_admin(store)
    with pytest.raises(Refused):
        remove_user(store, "ann", "test")
    with pytest.raises(Refused):
        modify_user(store, "ann", "test", role="writer")
    add_user(store, "bob", "admin", None, "test")
    remove_user(store, "ann", "test")
    assert [user.name for user in list_users(store)] == ["bob"]


def test_what_was_changed_of_a_user_is_told_whole(store: sa.Connection) -> None:
    add_user(store, "ann", "reader", PASSWORD, "test")
    modify_user(store, "ann", "test", role="writer", password=PASSWORD + "er")
    modify_user(store, "ann", "test", role="reader")
    modify_user(store, "ann", "test", password=PASSWORD)
    modify_user(store, "ann", "test")
    assert [event.summary for event in list_events(store, subject="user:ann")][1:] == [
        "made ann writer and gave ann another password",
        "made ann reader",
        "gave ann another password",
    ]


def test_a_removed_user_is_nobody_whom_a_process_could_answer(store: sa.Connection) -> None:
    with pytest.raises(Refused, match="nobody would be answered"):
        require_somebody(store)
    add_user(store, "ann", "reader", None, "test")
    require_somebody(store)
    remove_user(store, "ann", "test")
    with pytest.raises(Refused, match="nobody would be answered"):
        require_somebody(store)


def test_a_token_stands_for_its_user_until_it_is_revoked(store: sa.Connection) -> None:
    add_user(store, "ann", "reader", None, "test")
    token, text = create_token(store, "ann", "test")
    kept = store.execute(sa.text("select secret_hash from tokens")).scalar()
    assert text.rpartition("_")[2] not in str(kept)
    owner = find_bearer(store, text)
    assert owner is not None and owner.user.name == "ann"
    assert find_bearer(store, text[:-1] + ("a" if text[-1] != "a" else "b")) is None
    assert find_bearer(store, f"penstock_{token.id}_") is None
    revoke_token(store, text, "test")
    assert find_bearer(store, text) is None
    assert [one.revoked_ms is None for one in list_tokens(store, "ann")] == [False]


def test_a_removed_user_has_no_token_and_cannot_come_back_by_an_old_one(store: sa.Connection) -> None:
    add_user(store, "root", "admin", None, "test")
    add_user(store, "ann", "writer", PASSWORD, "test")
    text = create_token(store, "ann", "test")[1]
    remove_user(store, "ann", "test")
    assert find_user(store, "ann") is None
    assert find_bearer(store, text) is None
    with pytest.raises(NotFound):
        create_token(store, "ann", "test")
    again = add_user(store, "ann", "reader", None, "test")
    assert (again.role, again.password_hash) == ("reader", None)
    assert find_bearer(store, text) is None


def test_a_role_holds_for_everything_that_nobody_owns(store: sa.Connection) -> None:
    for name, role in (("w", "writer"), ("r", "reader"), ("n", "none"), ("a", "admin")):
        user = add_user(store, name, role, None, "test")  # type: ignore[arg-type]
        assert Access(store, user).role("experiment", "0") == role


def test_what_somebody_made_is_read_by_others_and_changed_by_him(store: sa.Connection) -> None:
    users = {name: add_user(store, name, "writer", None, "test") for name in ("ann", "bob")}
    outsider = add_user(store, "out", "none", None, "test")
    own(store, "model", "m", "ann")
    assert Access(store, users["ann"]).role("model", "m") == "admin"
    assert Access(store, users["bob"]).role("model", "m") == "reader"
    assert Access(store, outsider).role("model", "m") == "none"
    rename_resource(store, "model", "m", "n")
    assert Access(store, users["ann"]).role("model", "n") == "admin"
    assert Access(store, users["bob"]).role("model", "m") == "writer", "nobody owns this name now"


def test_ownership_outlives_the_owner(store: sa.Connection) -> None:
    bob = add_user(store, "bob", "writer", None, "test")
    add_user(store, "ann", "writer", None, "test")
    own(store, "experiment", "5", "ann")
    remove_user(store, "ann", "test")
    assert Access(store, bob).role("experiment", "5") == "reader"


def test_a_grant_to_the_owner_leaves_what_he_owns_to_him(store: sa.Connection) -> None:
    ann, bob = (add_user(store, name, "writer", None, "test") for name in ("ann", "bob"))
    own(store, "model", "m", "ann")
    assert not set_grant(store, Grant(user="ann", kind="model", resource="m", role="admin"), "test")
    with pytest.raises(Conflict, match="ann owns model m") as caught:
        set_grant(store, Grant(user="ann", kind="model", resource="m", role="reader"), "test")
    assert caught.value.code == "access.owner"
    with pytest.raises(Conflict, match="ann owns model m"):
        remove_grant(store, "ann", "model", "m", "test")
    assert Access(store, ann).role("model", "m") == "admin"
    assert Access(store, bob).role("model", "m") == "reader"
    assert set_grant(store, Grant(user="bob", kind="model", resource="m", role="writer"), "test")
    assert Access(store, bob).role("model", "m") == "writer", "others are granted what an owner has"
    remove_grant(store, "bob", "model", "m", "test")
    disown(store, "ann", "model", "m", "test")
    assert Access(store, bob).role("model", "m") == "writer", "nobody owns it now"
    with pytest.raises(NotFound):
        disown(store, "ann", "model", "m", "test")


def test_a_grant_replaces_the_role_up_and_down(store: sa.Connection) -> None:
    bob = add_user(store, "bob", "reader", None, "test")
    for role in ("writer", "none", "admin"):
        grant = Grant(user="bob", kind="experiment", resource="5", role=role)
        set_grant(store, grant, "test")
        assert Access(store, bob).role("experiment", "5") == role
        assert list_grants(store, "bob") == [grant]
        assert Access(store, bob).reads_everything() == (role != "none")
    remove_grant(store, "bob", "experiment", "5", "test")
    assert Access(store, bob).role("experiment", "5") == "reader"
    with pytest.raises(NotFound):
        remove_grant(store, "bob", "experiment", "5", "test")
    with pytest.raises(NotFound):
        set_grant(store, Grant(user="eve", kind="model", resource="m", role="admin"), "test")


def test_a_token_that_ended_is_refused_by_its_name_and_one_in_use_is_noted_once_an_hour(
    either_store: Database,
) -> None:
    authenticator = Authenticator(either_store)
    with either_store.write() as connection:
        add_user(connection, "ann", "writer", None, "test")
        lasting, text = create_token(connection, "ann", "test", expires_ms=now_ms() + 3_600_000)
        ended, over = create_token(connection, "ann", "test", expires_ms=now_ms() - 1)
    assert authenticator.identify(f"Bearer {text}").user.name == "ann"
    basic = base64.b64encode(f"ann:{over}".encode()).decode()
    for given in (f"Bearer {over}", f"Basic {basic}"):
        with pytest.raises(Denied, match=f"token {ended.id} of ann ended on") as caught:
            authenticator.identify(given)
        assert (caught.value.code, caught.value.hint) == ("auth.expired", "penstock token create ann")
    with pytest.raises(Denied, match="is wrong"):
        authenticator.identify(f"Bearer {over[:-1]}{'A' if over[-1] != 'A' else 'B'}")

    def used() -> dict[str, int | None]:
        with either_store.read() as connection:
            return {one.id: one.used_ms for one in list_tokens(connection, "ann")}

    wait_until(lambda: used()[lasting.id] is not None)
    first = used()
    assert first[ended.id] is None
    authenticator.identify(f"Bearer {text}")
    Authenticator(either_store).identify(f"Bearer {text}")
    assert used() == first


def test_who_asks_with_a_token_waits_for_no_writer(either_store: Database) -> None:
    authenticator = Authenticator(either_store)
    with either_store.write() as connection:
        add_user(connection, "ann", "writer", None, "test")
        token, text = create_token(connection, "ann", "test")
    with either_store.write() as connection:
        connection.execute(tokens.update().where(tokens.c.id == token.id).values(used_ms=None))
        asked = begin("asking", lambda: authenticator.identify(f"Bearer {text}").user.name)
        assert asked.result(BUSY_TIMEOUT_S / 2) == "ann"

    def is_noted() -> bool:
        with either_store.read() as connection:
            return list_tokens(connection, "ann")[0].used_ms is not None

    wait_until(is_noted)


def test_a_session_ends_with_its_token(either_store: Database) -> None:
    sessions = Sessions(either_store)
    with either_store.write() as connection:
        ann = add_user(connection, "ann", "writer", None, "test")
        made, text = create_token(connection, "ann", "test", expires_ms=now_ms() + 3_600_000)
    secret = sessions.begin(ann, text)
    assert sessions.find(secret) == ann
    with either_store.write() as connection:
        connection.execute(tokens.update().where(tokens.c.id == made.id).values(expires_ms=now_ms()))
    assert sessions.find(secret) is None
