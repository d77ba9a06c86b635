"""What users of MLflow stumbled over, with the unmodified client against this server.

Each shape is from a public report; `mlflow#N` is mlflow/mlflow. Everything runs in one client, since importing
it takes longer than all the rest.
"""

from __future__ import annotations

import http.client
import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from patience import PATIENCE_S
from penstock.base.store.database import connect
from penstock.base.store.migrate import upgrade
from penstock.http.mlflow.absent import FAMILIES
from penstock.http.mlflow.routes import AJAX_ENDPOINTS
from servers.tracking import Tracking, mlflow_python

pytestmark = pytest.mark.slow

STORY = r"""
import time, pathlib, requests
u, got = client.tracking_uri, {}

def status(path): return requests.get(u + path).status_code

# a time in nanoseconds (mlflow#5738, #1798)
e = client.create_experiment("times")
run = client.create_run(e, start_time=time.time_ns()).info.run_id
client.log_metric(run, "m", float("inf"), timestamp=time.time_ns())
got["times"] = [status(p) for p in ("/runs", f"/experiments/{e}", f"/runs/{run}", f"/lineage/{run}")]
got["endless"] = "∞" in requests.get(f"{u}/runs/{run}").text

# names of files (#21085, #13014, #12151, #4879)
r = client.create_run("0").info.run_id
got["names"] = {}
for name in ["t:1.txt", "12:30.txt", "a b.txt", "a+b.txt", "100%.txt", "a;b.txt", "a&b=c.txt", "ü.txt", "e\u0301.txt", "x'y.txt"]:
    pathlib.Path(name).write_text(name)
    client.log_artifact(r, name)
    back = mlflow.artifacts.download_artifacts(run_id=r, artifact_path=name)
    got["names"][name] = open(back).read()
for name in ["back\\slash", "two\nlines", "why?.txt"]:
    pathlib.Path(name).write_text("x")
    try:
        client.log_artifact(r, name)
    except Exception as error:
        got["names"][name] = str(error)

# one point a data set (#25858)
m = client.create_logged_model("0", name="m").model_id
for name, value in (("train", .9), ("test", .7), (None, .5)):
    client.log_metric(r, "acc", value, timestamp=7, step=0, model_id=m, dataset_name=name, dataset_digest=name)
client.log_metric(r, "acc", .9, timestamp=7, step=0, model_id=m, dataset_name="train", dataset_digest="train")
got["datasets"] = sorted((str(x.dataset_name), x.value) for x in client.get_logged_model(m).metrics)

# latest (PR 17146, #9730)
client.create_registered_model("many")
for number in "12":
    client.create_model_version("many", f"s3://b/{number}")
got["latest"] = [client.get_model_version_by_alias("many", word).version for word in ("latest", "LATEST")]
client.set_registered_model_alias("many", "champ", "2")
got["aliases"] = [
    list(client.get_registered_model("many").latest_versions[0].aliases),
    list(client.search_registered_models("name = 'many'")[0].latest_versions[0].aliases),
]

# a copy of a version that lies elsewhere
copy = client.copy_model_version("models:/many/2", "copied")
again = client.copy_model_version("models:/copied/1", "copied-again")
got["origins"] = [client.get_model_version_download_uri(one.name, one.version) for one in (copy, again)]

# a version without files (#4630)
client.create_registered_model("fixed")
r2 = client.create_run("0").info.run_id
got["empty"] = refused(client.create_model_version, "fixed", f"runs:/{r2}/model", r2)[0]
pending = client.create_logged_model("0", name="pending").model_id
got["pending"] = refused(client.create_model_version, "fixed", f"models:/{pending}", model_id=pending)[0]
client.log_text(r2, "first", "model/MLmodel")
made = client.create_model_version("fixed", f"runs:/{r2}/model", r2)
client.log_text(r2, "second", "model/MLmodel")
got["fixed"] = [made.version, made.status, mlflow.artifacts.load_text("models:/fixed/1/MLmodel")]

# tags that hold JSON (#13575, #4702)
r3 = client.create_run("0").info.run_id
body = lambda k: json.dumps({"artifact_path": f"m{k}", "run_id": r3, "utc_time_created": "t", "flavors": {"f": {"a": "x" * 1000}}})
logged = [requests.post(u + "/api/2.0/mlflow/runs/log-model", json={"run_id": r3, "model_json": body(k)}).status_code for k in range(20)]
kept = json.loads(client.get_run(r3).data.tags["mlflow.log-model.history"])
client.set_tag(r3, "mlflow.loggedArtifacts", json.dumps([{"path": f"t{k}.json", "type": "table"} for k in range(500)]))
listed = json.loads(client.get_run(r3).data.tags["mlflow.loggedArtifacts"])
got["json"] = [set(logged) == {200}, [one["artifact_path"] for one in kept] == [f"m{k}" for k in range(20)], len(listed)]

# a long name of a run
e2 = client.create_experiment("long")
long = client.get_run(client.create_run(e2, run_name="a" * 300).info.run_id)
got["long"] = [len(long.info.run_name), len(long.data.tags["mlflow.runName"]), len(client.search_runs([e2], f"run_name = '{'a' * 300}'"))]

# parent and child
parent = client.create_run("0", run_name="p").info.run_id
child = client.create_run("0", run_name="c", tags={"mlflow.parentRunId": parent}).info.run_id
got["family"] = [f'/runs/{child}"' in requests.get(f"{u}/runs/{parent}").text, f'/runs/{parent}"' in requests.get(f"{u}/runs/{child}").text]

# what is not there (#12380, #17864)
import logging
logging.disable(logging.NOTSET)
said = []
class Keep(logging.Handler):
    def emit(self, record): said.append(record.getMessage())
logging.getLogger("mlflow.tracing.export.mlflow_v3").addHandler(Keep())
got["absent"] = [refused(mlflow.search_traces)[0], refused(mlflow.genai.datasets.create_dataset, name="d", experiment_id="0")[0]]
got["prompt"] = refused(mlflow.genai.register_prompt, "greet", "Hi {{name}}")
got["no model"] = refused(client.get_registered_model, "greet")[0]
@mlflow.trace
def traced(x): return x
for number in range(5): traced(number)
mlflow.flush_trace_async_logging()
got["warnings"] = [line for line in said if "Failed to send trace" in line]

from mlflow.server.handlers import get_endpoints
got["routes"] = sorted({(method, path) for path, _, methods in get_endpoints() for method in methods if method in {"GET", "POST", "PUT", "PATCH", "DELETE"}})
answer(got)
"""


@pytest.fixture(scope="module")
def got(tracking: Tracking) -> dict[str, Any]:
    """What the client found in the whole story."""
    found: dict[str, Any] = tracking.drive(STORY)
    return found


def test_a_time_that_no_calendar_has_breaks_no_page(got: dict[str, Any]) -> None:
    assert got["times"] == [200, 200, 200, 200]
    assert got["endless"]


def test_a_file_name_comes_back_or_its_refusal_names_the_character(got: dict[str, Any]) -> None:
    for name, back in got["names"].items():
        if name in {"back\\slash", "two\nlines", "why?.txt"}:
            assert "Invalid path: a name cannot hold" in back, (name, back)
        else:
            assert back == name


def test_a_models_metric_is_kept_for_each_data_set(got: dict[str, Any]) -> None:
    assert got["datasets"] == [["None", 0.5], ["test", 0.7], ["train", 0.9]]


def test_latest_is_the_newest_version_and_listed_versions_have_their_aliases(got: dict[str, Any]) -> None:
    assert got["latest"] == ["2", "2"]
    assert got["aliases"] == [["champ"], ["champ"]]


def test_a_copy_is_fetched_where_its_origin_lies(got: dict[str, Any]) -> None:
    assert got["origins"] == ["s3://b/2", "s3://b/2"]


def test_a_version_needs_its_files_and_never_changes(got: dict[str, Any]) -> None:
    assert got["empty"] == "RESOURCE_DOES_NOT_EXIST"
    assert got["pending"] == "INVALID_PARAMETER_VALUE"
    assert got["fixed"] == ["1", "READY", "first"]


def test_a_tag_that_holds_json_stays_json(got: dict[str, Any]) -> None:
    assert got["json"] == [True, True, 500]


def test_a_runs_name_has_one_length(got: dict[str, Any]) -> None:
    assert got["long"] == [300, 300, 1]


def test_parent_and_child_lead_to_each_other(got: dict[str, Any]) -> None:
    assert got["family"] == [True, True]


def test_what_is_not_there_is_said_once_and_by_name(got: dict[str, Any], tracking: Tracking) -> None:
    assert got["absent"] == ["NOT_IMPLEMENTED", "NOT_IMPLEMENTED"]
    assert got["prompt"][0] == "NOT_IMPLEMENTED"
    assert "keeps no prompts" in got["prompt"][1]
    assert got["no model"] == "RESOURCE_DOES_NOT_EXIST"
    assert len(got["warnings"]) == 1
    assert "keeps no traces" in got["warnings"][0]
    events = tracking.get("/api/penstock/v1/events")[1]
    assert not [one for one in events if "greet" in one["subject"]]


def test_every_route_of_mlflow_answers_in_its_form(got: dict[str, Any], tracking: Tracking) -> None:
    """Whatever MLflow's own server has a route for: what is not ours says so with an error code."""
    connection = http.client.HTTPConnection("127.0.0.1", tracking.port, timeout=PATIENCE_S)
    ours = {(one.method, one.path.partition("/")[0]) for one in AJAX_ENDPOINTS}
    seen = 0
    for method, path in got["routes"]:
        if not path.startswith(("/api/", "/ajax-api/", "/v1/")):
            continue
        target = path.replace("<path:", "<").replace("<", "x").replace(">", "")
        connection.request(method, target, b"{}", {"Content-Type": "application/json"})
        answer = connection.getresponse()
        body = answer.read()
        if answer.status < 400:
            continue
        told = json.loads(body)
        assert {"error_code", "message"} <= set(told), (method, path, told)
        head = path.split("/mlflow/")[-1].partition("/")[0]
        if head in FAMILIES and (method, head) not in ours:
            assert (answer.status, told["error_code"]) == (501, "NOT_IMPLEMENTED"), (method, path, told)
            seen += 1
        else:
            assert answer.status in {400, 404, 405, 501}, (method, path, told)
    assert seen > 50


def test_mlflows_garbage_collector_leaves_a_store_as_it_is(tmp_path: Path) -> None:
    """It makes its tables before it looks whose database it was given."""
    url = f"sqlite:///{tmp_path}/store.db"
    database = connect(url)
    upgrade(database)
    with database.read() as connection:
        before = set(sa.inspect(connection).get_table_names())
    command = [mlflow_python(), "-m", "mlflow", "gc", "--backend-store-uri", url]
    done = subprocess.run(
        command,
        capture_output=True,
        text=True,
        check=False,
        timeout=PATIENCE_S,
        env={**os.environ, "MLFLOW_DISABLE_TELEMETRY": "true"},
    )
    assert done.returncode != 0
    with database.read() as connection:
        assert set(sa.inspect(connection).get_table_names()) == before
    database.close()
