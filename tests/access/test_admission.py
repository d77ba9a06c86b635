from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

import penstock.base.store.events  # noqa: F401 - declares its table
from penstock.access.admission import AWAY_S, REMEMBERED_S, Admission
from penstock.access.grants import Grant, set_grant
from penstock.access.roles import Role
from penstock.access.scopes import SCOPES, Scope
from penstock.access.tokens import create_token, find_bearer, list_tokens, revoke_token
from penstock.access.users import add_user
from penstock.base.clock import now_ms
from penstock.base.errors import Denied, Invalid, Unavailable
from penstock.base.store.database import Database, connect, metadata

ROLES: dict[str, Role] = {"nobody": "none", "rita": "reader", "wim": "writer", "ada": "admin"}


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    store = connect(f"sqlite:///{tmp_path}/penstock.db")
    metadata.create_all(store.engine)
    with store.write() as connection:
        for name, role in ROLES.items():
            add_user(connection, name, role, None, "test")
    yield store
    store.close()


def token(database: Database, user: str, *scopes: Scope, endpoints: tuple[str, ...] = ()) -> str:
    with database.write() as connection:
        return f"Bearer {create_token(connection, user, 'test', scopes=scopes, endpoints=endpoints)[1]}"


def allowed(admission: Admission, given: str, endpoint: str | None = "delay") -> set[Scope]:
    found = set()
    for scope in SCOPES:
        try:
            admission.admit(given, scope, endpoint)
        except Denied as error:
            assert error.code == "access.denied"
            assert error.hint
        else:
            found.add(scope)
    return found


def test_a_role_brings_its_scopes_and_a_grant_on_the_endpoints_model_replaces_it_there(
    database: Database,
) -> None:
    admission = Admission(database, {"delay": "late"}.get)
    with database.write() as connection:
        set_grant(connection, Grant(user="nobody", kind="model", resource="late", role="writer"), "test")
        set_grant(connection, Grant(user="wim", kind="model", resource="late", role="reader"), "test")
    expected: dict[str, tuple[set[str], set[str]]] = {
        "nobody": ({"infer", "metrics", "feedback"}, set()),
        "rita": ({"infer", "metrics"}, {"infer", "metrics"}),
        "wim": ({"infer", "metrics"}, {"infer", "metrics", "feedback"}),
        "ada": (set(SCOPES), set(SCOPES)),
    }
    for user, (here, elsewhere) in expected.items():
        given = token(database, user)
        assert allowed(admission, given) == here, user
        assert allowed(admission, given, "other") == elsewhere, user
        assert allowed(admission, given, None) == elsewhere, user


def test_a_token_is_narrowed_and_never_widened(database: Database) -> None:
    admission = Admission(database, {"delay": "late"}.get)
    assert allowed(admission, token(database, "ada", "infer", "metrics")) == {"infer", "metrics"}
    assert allowed(admission, token(database, "rita", "infer", "feedback")) == {"infer"}
    narrow = token(database, "ada", "infer", "feedback", endpoints=("delay",))
    assert allowed(admission, narrow) == {"infer", "feedback"}
    assert allowed(admission, narrow, "other") == set()
    assert allowed(admission, narrow, None) == set()
    with database.read() as connection:
        kept = find_bearer(connection, narrow.removeprefix("Bearer "))
        assert kept is not None
        assert kept.token in list_tokens(connection, "ada")
        assert kept.token is not None
        assert (kept.token.scopes, kept.token.endpoints) == (("infer", "feedback"), ("delay",))
    for endpoints, scopes in ((("delay",), ()), (("a,b",), ("infer",))):
        with pytest.raises(Invalid), database.write() as connection:
            create_token(connection, "ada", "test", scopes=scopes, endpoints=endpoints)


def test_what_is_revoked_counts_after_a_second_and_wrong_credentials_at_once(database: Database) -> None:
    now = [100.0]
    admission = Admission(database, {}.get, clock_s=lambda: now[0])
    given = token(database, "rita")
    assert admission.recall(given, "infer", "delay") is None
    assert admission.admit(given, "infer", "delay") == "rita"
    assert admission.recall(given, "infer", "delay") == "rita"
    assert admission.recall(given, "feedback", "delay") is None
    with database.write() as connection:
        revoke_token(connection, given.removeprefix("Bearer "), "test")
    now[0] += REMEMBERED_S
    for wrong, code in (
        (given, "auth.wrong"),
        ("", "auth.required"),
        ("Bearer x", "auth.wrong"),
        ("x", "auth.wrong"),
    ):
        with pytest.raises(Denied) as told:
            admission.admit(wrong, "infer", "delay")
        assert told.value.code == code


def test_who_was_allowed_something_still_is_while_the_store_is_away_and_nobody_else(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [100.0]
    admission = Admission(database, {}.get, clock_s=lambda: now[0])
    known, revoked, strange = (token(database, user) for user in ("rita", "wim", "ada"))
    for given in (known, revoked):
        admission.admit(given, "infer", "delay")
    with database.write() as connection:
        revoke_token(connection, revoked.removeprefix("Bearer "), "test")
    now[0] += REMEMBERED_S
    with pytest.raises(Denied):
        admission.admit(revoked, "infer", "delay")

    def away(*_: object) -> None:
        raise Unavailable("the store is away", code="store.unavailable")

    with monkeypatch.context() as patched:
        patched.setattr(admission._authenticator, "identify", away)
        for _ in range(3):
            now[0] += REMEMBERED_S
            assert admission.admit(known, "infer", "delay") == "rita"
            assert admission.recall(known, "infer", "delay") == "rita"
            for given, scope in ((revoked, "infer"), (strange, "infer"), (known, "metrics")):
                with pytest.raises(Unavailable):
                    admission.admit(given, scope, "delay")  # type: ignore[arg-type]
        now[0] += AWAY_S
        with pytest.raises(Unavailable):
            admission.admit(known, "infer", "delay")
    assert admission.admit(known, "infer", "delay") == "rita"


def test_a_token_that_ends_while_the_store_is_away_allows_nothing_more(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [100.0]
    admission = Admission(database, {}.get, clock_s=lambda: now[0])
    with database.write() as connection:
        _, text = create_token(connection, "rita", "test", expires_ms=now_ms() + 3_600_000)
    assert admission.admit(f"Bearer {text}", "infer", "delay") == "rita"

    def away(*_: object) -> None:
        raise Unavailable("the store is away", code="store.unavailable")

    monkeypatch.setattr(admission._authenticator, "identify", away)
    now[0] += REMEMBERED_S
    assert admission.admit(f"Bearer {text}", "infer", "delay") == "rita"
    monkeypatch.setattr("penstock.access.admission.now_ms", lambda: now_ms() + 3_600_000)
    now[0] += REMEMBERED_S
    with pytest.raises(Unavailable):
        admission.admit(f"Bearer {text}", "infer", "delay")


def test_hidden_is_what_none_holds_on_and_stays_so_while_the_store_is_away(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [100.0]
    admission = Admission(database, {"delay": "late", "hush": "odd"}.get, clock_s=lambda: now[0])
    with database.write() as connection:
        set_grant(connection, Grant(user="rita", kind="model", resource="odd", role="none"), "test")
        set_grant(connection, Grant(user="ada", kind="model", resource="odd", role="none"), "test")
    given, every = token(database, "rita"), ("delay", "hush", "gone")
    assert admission.hidden(given, every) == {"hush"}
    assert admission.hidden(token(database, "ada"), every) == frozenset()
    with pytest.raises(Denied):
        admission.hidden("", every)

    def away() -> None:
        raise Unavailable("the store is away", code="store.unreachable", hint="wait")

    monkeypatch.setattr(database, "read", away)
    assert admission.hidden(given, ("delay", "hush")) == {"hush"}
    now[0] += AWAY_S + 1
    with pytest.raises(Unavailable):
        admission.hidden(given, every)
