"""Every route by every kind of caller: who is not allowed is refused, whatever the spelling.

The table of requests is written by hand, with what each must need; a route without a row fails the test.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlencode

import pytest
from starlette.routing import BaseRoute, Mount, Route

from penstock.access.grants import Grant, remove_grant, set_grant
from penstock.http.mlflow.routes import AJAX_ENDPOINTS, ENDPOINTS, ROOT_ENDPOINTS
from servers.guarded import Guarded, run_guarded

PREFIXES = ("/api/2.0", "/ajax-api/2.0")


class Case(NamedTuple):
    """One request and the role that it needs on what belongs to alice.

    `lists` marks what answers everybody, with what they may see; `server` what needs the role as such.
    """

    method: str
    path: str
    fields: dict[str, Any]
    role: str
    kind: str = "own"


R = {"run_id": "{r}"}
E = {"experiment_id": "{e}"}
N = {"name": "alices"}
V = {"name": "alices", "version": "1"}
POINT = {"key": "k", "value": 1, "timestamp": 1}
HOOK = {
    "name": "n",
    "url": "https://93.184.216.34/x",
    "events": [{"entity": "MODEL_VERSION", "action": "CREATED"}],
}
CASES = [
    Case("POST", "experiments/create", {"name": "new {n}"}, "writer", "server"),
    Case("GET", "experiments/get", E, "reader"),
    Case("GET", "experiments/get-by-name", {"experiment_name": "alice's"}, "reader"),
    Case("POST", "experiments/search", {"max_results": 9}, "reader", "lists"),
    Case("GET", "experiments/search", {"max_results": 9}, "reader", "lists"),
    Case("POST", "experiments/update", {**E, "new_name": "stolen"}, "writer"),
    Case("POST", "experiments/delete", E, "admin"),
    Case("POST", "experiments/restore", E, "admin"),
    Case("POST", "experiments/set-experiment-tag", {**E, "key": "k", "value": "v"}, "writer"),
    Case("POST", "experiments/delete-experiment-tag", {**E, "key": "k"}, "writer"),
    Case("POST", "experiments/search-datasets", {"experiment_ids": ["{e}"]}, "reader", "lists"),
    Case("POST", "runs/create", {**E, "start_time": 1}, "writer"),
    Case("GET", "runs/get", R, "reader"),
    Case("POST", "runs/update", {**R, "status": "FAILED"}, "writer"),
    Case("POST", "runs/delete", R, "writer"),
    Case("POST", "runs/restore", R, "writer"),
    Case("POST", "runs/log-metric", {**R, **POINT}, "writer"),
    Case("POST", "runs/log-parameter", {**R, "key": "p", "value": "1"}, "writer"),
    Case("POST", "runs/log-batch", {**R, "metrics": [POINT]}, "writer"),
    Case("POST", "runs/set-tag", {**R, "key": "k", "value": "v"}, "writer"),
    Case("POST", "runs/delete-tag", {**R, "key": "k"}, "writer"),
    Case("POST", "runs/log-inputs", {**R, "models": [{"model_id": "{m}"}]}, "writer"),
    Case("POST", "runs/outputs", {**R, "models": [{"model_id": "{m}", "step": 0}]}, "writer"),
    Case("POST", "runs/log-model", {**R, "model_json": "{}"}, "writer"),
    Case("POST", "runs/search", {"experiment_ids": ["{e}"]}, "reader", "lists"),
    Case("GET", "metrics/get-history", {**R, "metric_key": "k"}, "reader"),
    Case("GET", "metrics/get-history-bulk", {"run_id": ["{r}"], "metric_key": "k"}, "reader"),
    Case("GET", "metrics/get-history-bulk-interval", {"run_ids": ["{r}"], "metric_key": "k"}, "reader"),
    Case("GET", "artifacts/list", R, "reader"),
    Case("GET", "get-artifact", {**R, "path": "file.txt"}, "reader", "root"),
    Case("POST", "upload-artifact?run_id={r}&path=x.txt", {"a": 1}, "writer"),
    Case("POST", "logged-models", {**E, "name": "m"}, "writer"),
    Case("POST", "logged-models/search", {"experiment_ids": ["{e}"]}, "reader", "lists"),
    Case("GET", "logged-models/{m}", {}, "reader"),
    Case("PATCH", "logged-models/{m}", {"status": "LOGGED_MODEL_READY"}, "writer"),
    Case("DELETE", "logged-models/{m}", {}, "writer"),
    Case("PATCH", "logged-models/{m}/tags", {"tags": [{"key": "a", "value": "b"}]}, "writer"),
    Case("DELETE", "logged-models/{m}/tags/a", {}, "writer"),
    Case("POST", "logged-models/{m}/params", {"params": [{"key": "a", "value": "b"}]}, "writer"),
    Case("GET", "logged-models/{m}/artifacts/directories", {}, "reader"),
    Case("GET", "logged-models/{m}/artifacts/files", {"artifact_file_path": "MLmodel"}, "reader"),
    Case("POST", "registered-models/create", {"name": "new-{n}"}, "writer", "server"),
    Case("GET", "registered-models/get", N, "reader"),
    Case("POST", "registered-models/rename", {**N, "new_name": "stolen"}, "admin"),
    Case("PATCH", "registered-models/update", {**N, "description": "d"}, "writer"),
    Case("DELETE", "registered-models/delete", N, "admin"),
    Case("GET", "registered-models/search", {}, "reader", "lists"),
    Case("GET", "registered-models/get-latest-versions", N, "reader"),
    Case("POST", "registered-models/get-latest-versions", N, "reader"),
    Case("POST", "registered-models/set-tag", {**N, "key": "k", "value": "v"}, "writer"),
    Case("DELETE", "registered-models/delete-tag", {**N, "key": "k"}, "writer"),
    Case("GET", "registered-models/alias", {**N, "alias": "mine"}, "reader"),
    Case("POST", "registered-models/alias", {**V, "alias": "theirs"}, "writer"),
    Case("DELETE", "registered-models/alias", {**N, "alias": "mine"}, "writer"),
    Case("POST", "model-versions/create", {**N, "source": "models:/{m}", "model_id": "{m}"}, "writer"),
    Case("GET", "model-versions/get", V, "reader"),
    Case("GET", "model-versions/get-download-uri", V, "reader"),
    Case("PATCH", "model-versions/update", {**V, "description": "d"}, "writer"),
    Case("POST", "model-versions/transition-stage", {**V, "stage": "Archived"}, "writer"),
    Case("DELETE", "model-versions/delete", V, "admin"),
    Case("GET", "model-versions/search", {}, "reader", "lists"),
    Case("POST", "model-versions/set-tag", {**V, "key": "k", "value": "v"}, "writer"),
    Case("DELETE", "model-versions/delete-tag", {**V, "key": "k"}, "writer"),
    Case("POST", "webhooks", HOOK, "admin", "server"),
    Case("GET", "webhooks", {}, "admin", "server"),
    Case("GET", "webhooks/{w}", {}, "admin", "server"),
    Case("PATCH", "webhooks/{w}", {"description": "d"}, "admin", "server"),
    Case("DELETE", "webhooks/{w}", {}, "admin", "server"),
    Case("POST", "webhooks/{w}/test", {}, "admin", "server"),
]
FILE = "mlflow-artifacts/artifacts/{e}/{r}/artifacts/file.txt"
ARTIFACTS = [
    Case("GET", FILE, {}, "reader"),
    Case("PUT", FILE, {"a": 1}, "writer"),
    Case("DELETE", FILE, {}, "admin"),
    Case("GET", "mlflow-artifacts/artifacts?path={e}/{r}/artifacts", {}, "reader"),
    Case("GET", "mlflow-artifacts/artifacts/{files}/MLmodel", {}, "reader"),
    Case("GET", "mlflow-artifacts/presigned/{e}/{r}/artifacts/file.txt", {}, "reader"),
    Case("POST", "mlflow-artifacts/mpu/create/{e}/{r}/artifacts/x", {"path": "x", "num_parts": 1}, "writer"),
    Case("POST", "mlflow-artifacts/mpu/complete/{e}/{r}/artifacts/x", {"upload_id": "u"}, "writer"),
    Case("POST", "mlflow-artifacts/mpu/abort/{e}/{r}/artifacts/x", {"upload_id": "u"}, "writer"),
]
EVERYTHING = (
    "/api/penstock/v1/endpoints",
    "/api/penstock/v1/endpoints/delay/revisions",
    "/api/penstock/v1/endpoints/delay/windows",
    "/api/penstock/v1/events",
    "/api/penstock/v1/lineage/alices/1",
    "/api/penstock/v1/models",
    "/api/penstock/v1/verdicts/x",
    "/api/penstock/v1/runs",
    "/api/penstock/v1/runs/{r}",
    "/",
    "/events",
    "/endpoints",
    "/endpoints/delay/rollback",
    "/models/alices",
    "/models/alices/mine",
    "/experiments",
    "/experiments/{e}",
    "/runs/{r}",
    "/compare?runs={r}",
    "/search?q=alices",
    "/logged-models/{m}",
    "/endpoints/delay",
    "/models",
    "/models/alices/1",
    "/lineage/alices/1",
    "/why",
    "/why/alices/1",
    "/endpoints/delay/promote",
    "/endpoints/delay/drift",
    "/models/alices/1/card",
    "/models/alices/1/card.md",
    "/data",
    "/data/raw",
    "/pipeline",
    "/ci/abc",
    "/runs/{r}/view?path=x",
    "/runs/{r}/raw?path=x",
    "/runs",
)
READS = [case for case in CASES if case.role == "reader"]
ONE_MODEL = (
    "/api/penstock/v1/models/alices/versions",
    "/api/penstock/v1/models/alices/versions/1",
    "/api/penstock/v1/references/alices/1",
    "/api/penstock/v1/references/alices@mine",
)
LEVELS = {"none": 0, "reader": 1, "writer": 2, "admin": 3}


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guarded]:
    with run_guarded(tmp_path_factory.mktemp("guarded") / "server") as made:
        yield made


def addresses(case: Case) -> list[str]:
    """Return a case's path under each prefix that has it."""
    if case.kind == "root":
        return [f"/{case.path}"]
    if "artifacts/" in case.path and case.path.startswith("mlflow-artifacts"):
        return [f"{prefix}/{case.path}" for prefix in PREFIXES]
    ajax_only = {"metrics/get-history-bulk", "metrics/get-history-bulk-interval"}
    is_ajax = (
        case.path in ajax_only or case.path.startswith("upload-artifact") or case.path.endswith("/files")
    )
    return [f"{prefix}/mlflow/{case.path}" for prefix in (PREFIXES[1:] if is_ajax else PREFIXES)]


def spellings(fields: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the fields in snake case, in camel case and with a run's older name."""
    found = [fields]
    camel = {re.sub(r"_([a-z])", lambda part: part[1].upper(), name): value for name, value in fields.items()}
    found += [camel] if camel != fields else []
    found += (
        [
            {**fields, "run_uuid": "{r}"},
            {"run_uuid" if name == "run_id" else name: value for name, value in fields.items()},
        ]
        if fields.get("run_id") == "{r}"
        else []
    )
    return found


def requests(cases: Iterable[Case]) -> Iterator[tuple[Case, str, Any]]:
    for case in cases:
        for address in addresses(case):
            for number, fields in enumerate(spellings(case.fields)):
                named = {
                    name: value.replace("{n}", f"{address.count('ajax')}{number}")
                    if isinstance(value, str)
                    else value
                    for name, value in fields.items()
                }
                if case.method == "GET" and "?" not in address:
                    query = urlencode(named, doseq=True, safe="{}")
                    yield case, f"{address}?{query}" if query else address, None
                else:
                    yield case, address, named


def surprises(
    guarded: Guarded, caller: str, is_refused: Callable[[Case], bool], cases: list[Case] | None = None
) -> list[str]:
    """Return the requests whose answer is not as it must be for a caller; `is_refused` says which get a 403."""
    wrong = []
    for case, path, body in requests(cases or [*CASES, *ARTIFACTS]):
        answer = guarded.send(caller, case.method, path, body)
        if (answer.status_code == 403) != is_refused(case) or answer.status_code in {401, 500}:
            wrong.append(f"{case.method} {path} {body}: {answer.status_code} {answer.text[:200]}")
    return wrong


def test_nobody_gets_anything_but_health_and_version(guarded: Guarded) -> None:
    paths = [(case.method, path, body) for case, path, body in requests([*CASES, *ARTIFACTS])]
    paths += [("GET", path, None) for path in (*EVERYTHING, *ONE_MODEL, "/api/penstock/v1/openapi.json")]
    paths += [("GET", path, None) for path in ("/nothing", "/api/2.0/mlflow/nothing", "/health/", "//health")]
    paths += [
        ("POST", "/api/2.0/mlflow/users/create", {}),
        ("POST", "/ajax-api/3.0/jobs/x", {}),
        ("POST", "/graphql", {}),
        ("POST", "/models/alices/1/approve", {}),
        ("POST", "/api/penstock/v1/models/alices/versions/1/approvals", {}),
    ]
    paths += [
        ("GET", f"{prefix}/api/3.0/mlflow/server-info".replace("/ajax-api/api", "/ajax-api"), None)
        for prefix in ("", "/ajax-api")
    ]
    wrong_ones = {"Authorization": "Bearer penstock_0123456789abcdef_" + "x" * 43}
    for method, path, body in paths:
        for headers in ({}, wrong_ones):
            answer = guarded.send("nobody", method, path, body, headers)
            assert answer.status_code == 401, (method, path, answer.text)
            assert answer.headers["www-authenticate"].startswith("Basic")
            assert "secret" not in answer.text
    for header in (
        "Basic \xff",
        "Basic YQ",
        "Basic",
        "Bearer",
        "Bearer \xff",
        "Digest x",
        "Basic " + "Y" * 5000,
        " ",
    ):
        answer = guarded.client.get("/", headers={"Authorization": header.encode("latin-1")})
        assert answer.status_code == 401, header
    assert guarded.send("nobody", "GET", "/health").json() == {"status": "ok"}
    assert guarded.send("nobody", "GET", "/version").status_code == 200


def test_a_reader_reads_and_changes_nothing(guarded: Guarded) -> None:
    assert surprises(guarded, "reader", lambda case: LEVELS[case.role] > 1) == []


def test_another_writer_makes_his_own_and_changes_nothing_of_alice(guarded: Guarded) -> None:
    def is_refused(case: Case) -> bool:
        return LEVELS[case.role] > (2 if case.kind == "server" else 1)

    assert surprises(guarded, "other", is_refused) == []


def test_the_owner_may_do_everything_with_what_is_his(tmp_path: Path) -> None:
    with run_guarded(tmp_path / "server") as guarded:
        assert surprises(guarded, "root", lambda _case: False, READS) == []
        last = ("registered-models/rename", "registered-models/delete")
        for case in sorted(
            [*ARTIFACTS, *CASES], key=lambda case: last.index(case.path) if case.path in last else -1
        ):
            _, path, body = next(requests([case]))
            answer = guarded.send("alice", case.method, path, body)
            is_admins = case.kind == "server" and case.role == "admin"
            assert (answer.status_code == 403) == (is_admins or case.path == last[1]), (path, answer.text)
        renamed = guarded.send(
            "alice", "DELETE", "/api/2.0/mlflow/registered-models/delete", {"name": "stolen"}
        )
        assert renamed.status_code == 200, "the grant follows the name"
        assert surprises(guarded, "root", lambda _case: False) == []


def test_who_has_no_role_sees_nothing(guarded: Guarded) -> None:
    assert surprises(guarded, "outsider", lambda case: case.kind != "lists") == []
    for case, path, body in requests([case for case in CASES if case.kind == "lists"]):
        answer = guarded.send("outsider", case.method, path, body)
        assert "alice" not in answer.text, path
        assert guarded.ids["r"] not in answer.text


def test_a_hidden_experiment_is_hidden_from_one_who_reads_everything_else(guarded: Guarded) -> None:
    """A grant of `none` closes the pages and the product's API too, which show everything at once."""
    grant = Grant(user="reader", kind="experiment", resource=guarded.ids["e"], role="none")
    with guarded.project.database.write() as connection:
        set_grant(connection, grant, "test")
    try:
        for path in EVERYTHING:
            assert guarded.send("reader", "GET", path).status_code == 403, path
        reads = [case for case in CASES if case.path.startswith(("runs", "logged", "artifacts"))]
        for case, path, body in requests(reads):
            answer = guarded.send("reader", case.method, path, body)
            assert answer.status_code == 403 or guarded.ids["r"] not in answer.text, path
    finally:
        with guarded.project.database.write() as connection:
            remove_grant(connection, "reader", "experiment", guarded.ids["e"], "test")


def test_the_api_of_one_model_is_for_its_readers(guarded: Guarded) -> None:
    for path in ONE_MODEL:
        assert guarded.send("outsider", "GET", path).status_code == 403, path
        assert guarded.send("reader", "GET", path).status_code == 200, path
    grant = Grant(user="outsider", kind="model", resource="alices", role="reader")
    with guarded.project.database.write() as connection:
        set_grant(connection, grant, "test")
    try:
        for path in ONE_MODEL:
            assert guarded.send("outsider", "GET", path).status_code == 200, path
        found = guarded.send("outsider", "GET", "/api/2.0/mlflow/registered-models/search").json()
        assert [model["name"] for model in found["registered_models"]] == ["alices"]
    finally:
        with guarded.project.database.write() as connection:
            remove_grant(connection, "outsider", "model", "alices", "test")


def test_a_page_is_full_and_its_token_tells_nothing_of_what_is_hidden(guarded: Guarded) -> None:
    for name in ("aaa", "zzz"):
        guarded.made("root", "registered-models/create", {"name": f"{name}-hidden"})
    answer = guarded.send("outsider", "GET", "/api/2.0/mlflow/registered-models/search?max_results=1")
    assert answer.json() == {}
    answer = guarded.send("outsider", "POST", "/api/2.0/mlflow/experiments/search", {"max_results": 1})
    assert answer.json() == {}


def test_parts_of_an_upload_need_its_secret_and_reach_nothing_else(guarded: Guarded) -> None:
    made = guarded.send(
        "alice",
        "POST",
        "/api/2.0/mlflow-artifacts/mpu/create/{e}/{r}/artifacts",
        {"path": "big.bin", "num_parts": 1},
    ).json()
    part = made["credentials"][0]
    address = part["url"].removeprefix("http://127.0.0.1")
    assert guarded.send("nobody", "PUT", address, "x").status_code in {403, 404}
    assert guarded.send("nobody", "PUT", address, "x", {"X-Penstock-Upload": "wrong"}).status_code in {
        403,
        404,
    }
    assert guarded.send("nobody", "PUT", address, "x", part["headers"]).status_code == 200
    for path in ("/../../artifacts/{e}/{r}/artifacts/x", "/x", "//x/y"):
        answer = guarded.send("nobody", "PUT", f"/api/2.0/mlflow-artifacts/mpu/part{path}", "x")
        assert answer.status_code in {401, 403, 404}, path


def test_pages_and_api_are_for_those_who_read_everything(guarded: Guarded) -> None:
    for path in EVERYTHING:
        assert guarded.send("outsider", "GET", path).status_code == 403, path
        assert guarded.send("reader", "GET", path).status_code in {200, 303, 404}, path
    for name in ("outsider", "reader"):  # what a page changes needs more than reading
        for method in ("GET", "POST"):
            assert guarded.send(name, method, "/models/alices/1/promote").status_code == 403, (name, method)
        for path in ("/models/alices/1/approve", "/api/penstock/v1/models/alices/versions/1/approvals"):
            assert guarded.send(name, "POST", path, {}).status_code == 403, (name, path)


def test_what_belongs_to_alice_is_not_reached_through_what_belongs_to_another(guarded: Guarded) -> None:
    """The resource that is checked is the caller's own; another one stands further inside the request."""
    own = guarded.made("other", "experiments/create", {"name": "other's"})["experiment_id"]
    run = guarded.made("other", "runs/create", {"experiment_id": own, "start_time": 1})["run"]["info"][
        "run_id"
    ]
    guarded.made("other", "registered-models/create", {"name": "others"})
    for method, path, body in [
        ("POST", "runs/log-metric", {"run_id": run, **POINT, "model_id": "{m}"}),
        ("POST", "runs/log-batch", {"run_id": run, "metrics": [{**POINT, "model_id": "{m}"}]}),
        ("POST", "runs/outputs", {"run_id": run, "models": [{"model_id": "{m}", "step": 0}]}),
        ("POST", "logged-models", {"experiment_id": own, "name": "model", "source_run_id": "{r}"}),
    ]:
        answer = guarded.send("other", method, f"/api/2.0/mlflow/{path}", body)
        assert answer.status_code == 403, (path, answer.text)
    batch = {"run_id": run, "metrics": [{**POINT, "key": "smuggled", "run_id": "{r}"}]}
    guarded.send("other", "POST", "/api/2.0/mlflow/runs/log-batch", batch)
    assert "smuggled" not in guarded.send("alice", "GET", "/api/2.0/mlflow/runs/get?run_id={r}").text
    both = guarded.send(
        "other",
        "POST",
        "/api/2.0/mlflow/runs/set-tag",
        {"run_id": run, "run_uuid": "{r}", "key": "k", "value": "v"},
    )
    assert both.status_code in {200, 400}
    assert '"k"' not in guarded.send("alice", "GET", "/api/2.0/mlflow/runs/get?run_id={r}").text
    hidden = {"name": "outsiders", "source": "models:/alices/1"}
    assert (
        guarded.send("outsider", "POST", "/api/2.0/mlflow/model-versions/create", hidden).status_code == 403
    )


@pytest.mark.parametrize(
    "path", ["{e}/../0/x", "%2e%2e/x", "0/..%2f{e}/x", "versions/{e}", "{e}x/y", "", "x"]
)
def test_no_spelling_of_an_artifact_path_gets_around_the_check(guarded: Guarded, path: str) -> None:
    for caller in ("outsider", "other"):
        for method, body in (("PUT", {"a": 1}), ("DELETE", None)):
            answer = guarded.send(caller, method, f"/api/2.0/mlflow-artifacts/artifacts/{path}", body)
            assert answer.status_code in {400, 403, 404, 405}, answer.text


def test_every_route_of_the_server_has_a_row() -> None:
    table = {
        (one.method, re.sub(r"\{\w+(:path)?\}", "*", one.path))
        for one in (*ENDPOINTS, *AJAX_ENDPOINTS, *ROOT_ENDPOINTS)
    }
    rows = {
        (case.method, re.sub(r"tags/a$", "tags/*", re.sub(r"\{\w+\}", "*", case.path.partition("?")[0])))
        for case in CASES
    }
    assert table == rows


def test_every_plain_route_is_asked_for_credentials_or_public(guarded: Guarded) -> None:
    def walk(routes: Iterable[BaseRoute], prefix: str = "") -> Iterator[str]:
        for route in routes:
            if isinstance(route, Route):
                yield prefix + route.path
            elif isinstance(route, Mount) and route.routes:
                yield from walk(route.routes, prefix + route.path)

    app: Any = guarded.client.app
    known = {re.sub(r"\{[^}]+\}", "*", path) for path in walk(app.routes)}
    assert len(known) > 30
    public = {"/health", "/version", "/sign-in", "/sign-out", "/static/vega-*.js"}
    assert public <= known
    for path in known - public:
        answer = guarded.send("nobody", "GET", path.replace("*", "x"))
        assert answer.status_code == 401, path
