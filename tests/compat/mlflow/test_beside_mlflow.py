"""Every request of the classic API to Penstock and to a real `mlflow server`: equal answers, or a reason.

A step names why its answers differ where they do; a reason that has become untrue fails the test.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from compat.mlflow.beside import Step, ask, difference, post, read
from facts import fact, plain
from servers.tracking import Tracking

LONG = "x" * 9000
EXPERIMENTS = [
    post(
        "experiments/create",
        {"name": "first", "tags": [{"key": "a", "value": "b"}]},
        keep={"e": "experiment_id"},
    ),
    post(
        "experiments/create", {"name": "first"}, differs="MLflow's message ends with the database's own words"
    ),
    post("experiments/create", {}),
    post("experiments/create", {"name": ""}),
    post("experiments/create", {"name": 5}),
    post("experiments/create", {"name": "x" * 501}),
    post("experiments/create", {"name": "r", "artifact_location": "runs:/x/y"}),
    post(
        "experiments/create",
        {"name": "s3", "artifact_location": "s3://bucket/path"},
        keep={"s3": "experiment_id"},
    ),
    read("experiments/get", experiment_id="{s3}"),
    read("experiments/get", experiment_id="{e}"),
    read("experiments/get", experiment_id="0"),
    read("experiments/get", experiment_id="999999"),
    read("experiments/get", experiment_id="abc"),
    read("experiments/get"),
    read("experiments/get-by-name", experiment_name="first"),
    read("experiments/get-by-name", experiment_name="nobody"),
    post("experiments/set-experiment-tag", {"experiment_id": "{e}", "key": "k", "value": "v"}),
    post("experiments/set-experiment-tag", {"experiment_id": "{e}", "key": "k", "value": "w"}),
    post("experiments/set-experiment-tag", {"experiment_id": "{e}", "key": "../k", "value": "w"}),
    post("experiments/set-experiment-tag", {"experiment_id": "{e}", "key": "", "value": "w"}),
    post("experiments/set-experiment-tag", {"experiment_id": "424242", "key": "k", "value": "w"}),
    read("experiments/get", experiment_id="{e}"),
    post("experiments/delete-experiment-tag", {"experiment_id": "{e}", "key": "k"}),
    post("experiments/update", {"experiment_id": "{e}", "new_name": "renamed"}),
    post("experiments/update", {"experiment_id": "{e}"}),
    post("experiments/search", {"max_results": 10, "filter": "name = 'renamed'"}),
    post("experiments/search", {"max_results": 10, "filter": "tags.a = 'b'"}),
    post("experiments/search", {"max_results": 10, "filter": "tags.a LIKE 'B'"}),
    post("experiments/search", {"max_results": 10, "filter": "name ILIKE 'REN%'"}),
    post(
        "experiments/search",
        {"max_results": 10, "order_by": ["name DESC"], "filter": "experiment_id IN ('0', '{e}', '{s3}')"},
    ),
    post("experiments/search", {}),
    post("experiments/search", {"max_results": 0}),
    post("experiments/search", {"max_results": 50001}, differs="the order of the two messages' parts"),
    post(
        "experiments/search",
        {"max_results": 10, "page_token": "!!"},
        differs="MLflow answers 500 or its own words",
    ),
    post("experiments/delete", {"experiment_id": "{s3}"}),
    read("experiments/get", experiment_id="{s3}"),
    post(
        "experiments/search",
        {"max_results": 10, "view_type": "DELETED_ONLY", "filter": "experiment_id IN ('{e}', '{s3}')"},
    ),
    post("experiments/update", {"experiment_id": "{s3}", "new_name": "z"}, differs="MLflow answers 500"),
    post("experiments/restore", {"experiment_id": "{s3}"}),
    post("experiments/delete", {"experiment_id": "31337"}),
]


def start(name: str) -> list[Step]:
    """An experiment with one run."""
    return [
        post("experiments/create", {"name": name}, keep={"e": "experiment_id"}),
        post(
            "runs/create",
            {
                "experiment_id": "{e}",
                "run_name": "one",
                "start_time": 5,
                "tags": [{"key": "t", "value": "1"}],
            },
            keep={"r": "run.info.run_id"},
        ),
    ]


RUNS = [
    *start("runs"),
    read("runs/get", run_id="{r}", run_uuid="{r}"),
    read("runs/get", run_uuid="{r}"),
    read("runs/get", run_id="0" * 32),
    read("runs/get"),
    read("runs/get", runId="{r}", differs="MLflow looks for a required field under its own name only"),
    post("runs/create", {"experiment_id": "77777", "start_time": 1}),
    post("runs/create", {"experiment_id": "abc", "start_time": 1}),
    post(
        "runs/create",
        {"experiment_id": "{e}", "run_name": "a", "tags": [{"key": "mlflow.runName", "value": "b"}]},
    ),
    post("runs/log-metric", {"run_id": "{r}", "key": "m", "value": 1.5, "timestamp": 10, "step": 0}),
    post("runs/log-metric", {"run_id": "{r}", "key": "m", "value": 1.5, "timestamp": 10, "step": 0}),
    post("runs/log-metric", {"run_id": "{r}", "key": "m", "value": "NaN", "timestamp": 11, "step": -3}),
    post("runs/log-metric", {"run_id": "{r}", "key": "inf", "value": "Infinity", "timestamp": 11}),
    post("runs/log-metric", {"run_id": "{r}", "key": "ninf", "value": "-Infinity", "timestamp": 11}),
    post("runs/log-metric", {"run_id": "{r}", "key": "nan", "value": "NaN", "timestamp": "12", "step": "7"}),
    post("runs/log-metric", {"run_id": "{r}", "key": "m", "timestamp": 10}),
    post("runs/log-metric", {"run_id": "{r}", "key": "m", "value": 1}),
    post("runs/log-metric", {"run_id": "{r}", "value": 1, "timestamp": 10}),
    post("runs/log-metric", {"run_id": "{r}", "key": "", "value": 1, "timestamp": 10}),
    post(
        "runs/log-metric",
        {"run_id": "{r}", "key": "m", "value": "abc", "timestamp": 10},
        differs="other words",
    ),
    post("runs/log-metric", {"run_id": "{r}", "key": "m", "value": 1, "timestamp": -1}),
    post("runs/log-metric", {"run_id": "{r}", "key": "../m", "value": 1, "timestamp": 1}),
    post("runs/log-metric", {"run_id": "{r}", "key": "a/../m", "value": 1, "timestamp": 1}),
    post("runs/log-metric", {"run_id": "{r}", "key": "m?", "value": 1, "timestamp": 1}),
    post(
        "runs/log-metric",
        {"run_id": "{r}", "key": "k" * 251, "value": 1, "timestamp": 1},
        differs="names the field",
    ),
    post("runs/log-metric", {"run_id": "f" * 32, "key": "m", "value": 1, "timestamp": 1}),
    read("metrics/get-history", run_id="{r}", metric_key="m"),
    read("metrics/get-history", run_id="{r}", metric_key="nothing"),
    read("metrics/get-history", run_id="{r}"),
    read("metrics/get-history", run_id="{r}", metric_key="m", max_results=0),
    post("runs/log-parameter", {"run_id": "{r}", "key": "p", "value": "1"}),
    post("runs/log-parameter", {"run_id": "{r}", "key": "p", "value": "1"}),
    post(
        "runs/log-parameter",
        {"run_id": "{r}", "key": "p", "value": "2"},
    ),
    post("runs/log-parameter", {"run_id": "{r}", "key": "long", "value": LONG}),
    post("runs/log-parameter", {"run_id": "{r}", "key": "empty", "value": ""}),
    post("runs/set-tag", {"run_id": "{r}", "key": "long", "value": LONG}),
    post("runs/set-tag", {"run_id": "{r}", "key": "odd tag", "value": "ü\n\U0001f600"}),
    post("runs/delete-tag", {"run_id": "{r}", "key": "t"}),
    post("runs/delete-tag", {"run_id": "{r}", "key": "t"}),
    read("runs/get", run_id="{r}"),
    post("runs/update", {"run_id": "{r}", "status": "FINISHED", "end_time": 99}),
    post("runs/update", {"run_id": "{r}", "run_name": "other"}),
    post(
        "runs/update",
        {"run_id": "{r}", "status": "NONSENSE"},
        differs="MLflow names the type, not the choices",
    ),
    read("runs/get", run_id="{r}"),
    post("runs/delete", {"run_id": "{r}"}),
    post("runs/log-metric", {"run_id": "{r}", "key": "m", "value": 1, "timestamp": 1}),
    post("runs/set-tag", {"run_id": "{r}", "key": "m", "value": "1"}),
    post("runs/search", {"experiment_ids": ["{e}"], "run_view_type": "DELETED_ONLY"}),
    post("runs/search", {"experiment_ids": ["{e}"]}),
    post("runs/restore", {"run_id": "{r}"}),
    post("runs/restore", {"run_id": "e" * 32}),
    post("runs/search", {"experiment_ids": ["{e}"], "filter": "attributes.run_id = '{r}'"}),
]
BATCHES = [
    *start("batches"),
    post(
        "runs/log-batch",
        {
            "run_id": "{r}",
            "metrics": [
                {"key": "m", "value": place / 7, "timestamp": place, "step": place} for place in range(800)
            ],
            "params": [{"key": f"p{place}", "value": str(place)} for place in range(100)],
            "tags": [{"key": f"t{place}", "value": str(place)} for place in range(100)],
        },
    ),
    read("runs/get", run_id="{r}"),
    post("runs/log-batch", {"run_id": "{r}", "metrics": [{"key": "m", "value": 1, "timestamp": 1}] * 1001}),
    post("runs/log-batch", {"run_id": "{r}", "params": [{"key": f"q{n}", "value": "1"} for n in range(101)]}),
    post("runs/log-batch", {"run_id": "{r}", "tags": [{"key": f"q{n}", "value": "1"} for n in range(101)]}),
    post(
        "runs/log-batch",
        {"run_id": "{r}", "params": [{"key": "d", "value": "1"}, {"key": "d", "value": "2"}]},
    ),
    post(
        "runs/log-batch",
        {"run_id": "{r}", "params": [{"key": "new", "value": "1"}, {"key": "p1", "value": "changed"}]},
        differs="MLflow lists old and new values together",
    ),
    post(
        "runs/log-batch",
        {
            "run_id": "{r}",
            "metrics": [{"key": "ok", "value": 1, "timestamp": 1}, {"key": "../m", "value": 1}],
        },
    ),
    post("runs/log-batch", {"run_id": "{r}", "metrics": "no list"}),
    post("runs/log-batch", {"run_id": "{r}", "metrics": [{"key": "m", "value": 1}]}),
    post("runs/log-batch", {"run_id": "{r}", "metrics": [{"key": "m", "timestamp": 1}]}),
    post("runs/log-batch", {"run_id": "{r}", "metrics": [{"value": 1, "timestamp": 1}]}),
    post("runs/log-batch", {"run_id": "{r}", "params": [{"value": "1"}]}),
    post("runs/log-batch", {"run_id": "{r}", "params": [{"key": "novalue"}]}),
    post("runs/log-batch", {"run_id": "{r}", "tags": [{"key": "novalue"}]}),
    post("runs/log-batch", {"run_id": "{r}"}),
    read("runs/get", run_id="{r}"),
    read("metrics/get-history", run_id="{r}", metric_key="m", max_results=3),
    read(
        "/ajax-api/2.0/mlflow/metrics/get-history-bulk",
        run_id=["{r}"],
        metric_key="m",
        max_results=5,
    ),
    read("/ajax-api/2.0/mlflow/metrics/get-history-bulk", metric_key="m"),
    read("/ajax-api/2.0/mlflow/metrics/get-history-bulk", run_id=["{r}"]),
    read(
        "/ajax-api/2.0/mlflow/metrics/get-history-bulk-interval",
        run_ids=["{r}"],
        metric_key="m",
        start_step=0,
        end_step=4,
        max_results=10,
    ),
]
FORMS = [
    *start("forms"),
    Step("POST", "runs/set-tag", raw=b'"{\\"run_id\\": \\"x\\", \\"key\\": \\"k\\", \\"value\\": \\"v\\"}"'),
    Step("POST", "runs/set-tag", raw=b""),
    Step("POST", "runs/set-tag", raw=b"not json"),
    Step("POST", "runs/set-tag", raw=b"null"),
    Step(
        "POST",
        "runs/set-tag",
        raw=b"{}",
        headers={"Content-Type": "text/plain"},
        differs="how the header is quoted",
    ),
    post("runs/set-tag", {"run_id": "{r}", "runId": "{r}", "key": "k"}, differs="other words"),
    post("runs/set-tag", {"run_id": "{r}", "key": "k", "value": "v", "unknown": {"deep": [1]}}),
    post("runs/search", {"experiment_ids": ["{e}"], "maxResults": 1}),
    post("runs/search", {"experimentIds": ["{e}"], "max_results": "1"}),
]

SEARCHES = [
    post("experiments/create", {"name": "searches"}, keep={"e": "experiment_id"}),
    *(
        post(
            "runs/create",
            {
                "experiment_id": "{e}",
                "run_name": f"run {number}",
                "start_time": 100 - number * 3 % 8,
                "tags": [{"key": "even", "value": str(number % 2 == 0)}] if number < 6 else [],
            },
            keep={f"run{number}": "run.info.run_id"},
        )
        for number in range(8)
    ),
    *(
        post(
            "runs/log-batch",
            {
                "run_id": f"{{run{number}}}",
                "metrics": [
                    {"key": "m", "value": value, "timestamp": 1, "step": 0},
                    {"key": "metric with space", "value": number, "timestamp": 1, "step": 0},
                ],
                "params": [{"key": "p", "value": text}, {"key": "p.dotted/q", "value": str(number)}],
            },
        )
        for number, (value, text) in enumerate(
            [(3.0, "a"), (1.0, "B"), ("NaN", "a_b"), (1.0, "%"), ("Infinity", "A"), (-2.5e-3, "ü")]
        )
    ),
    post(
        "runs/log-inputs",
        {
            "run_id": "{run1}",
            "datasets": [
                {
                    "tags": [{"key": "mlflow.data.context", "value": "train"}],
                    "dataset": {
                        "name": "d",
                        "digest": "abc",
                        "source_type": "local",
                        "source": "{}",
                        "schema": "{}",
                        "profile": "{}",
                    },
                }
            ],
        },
    ),
    read("runs/get", run_id="{run1}"),
    *(
        post("runs/search", {"experiment_ids": ["{e}"], "filter": text, "order_by": order})
        for text, order in [
            ("", []),
            ("", ["metrics.m DESC"]),
            ("", ["metrics.m ASC"]),
            ("", ["metrics.m ASC", "attributes.start_time ASC"]),
            ("", ["params.p"]),
            ("", ["tags.even DESC", "metrics.m"]),
            ("", ["attributes.run_name DESC"]),
            ("", ["start_time"]),
            ("", ["end_time DESC"]),
            ("", ["metrics.nothing"]),
            ("metrics.m > 0", ["metrics.m DESC"]),
            ("metrics.m != 1", []),
            ("metrics.m <= -0.0025", []),
            ("metrics.`metric with space` >= 4", []),
            ("params.p LIKE 'a%'", []),
            ("params.p ILIKE 'a'", []),
            ("params.p LIKE 'a_b'", []),
            ("params.p = '%'", []),
            ("params.`p.dotted/q` = '3'", []),
            ("params.p != 'a'", []),
            ("tags.even = 'True' and metrics.m > 1", []),
            ("tags.even != 'True'", []),
            ("tags.even IS NULL", []),
            ("tags.even IS NOT NULL", []),
            ("attributes.run_name LIKE 'run%'", []),
            ("run_name = 'run 3'", []),
            ("attributes.status = 'RUNNING'", []),
            ("attributes.start_time > 98", []),
            ("attributes.start_time = 98", []),
            ("attributes.end_time > 0", []),
            ("run_id IN ('{run0}', '{run5}')", []),
            ("run_id NOT IN ('{run0}', '{run5}')", []),
            ("attributes.artifact_uri LIKE '%/artifacts'", []),
            ("dataset.name = 'd' and dataset.context = 'train'", []),
            ("datasets.digest LIKE 'ab%'", []),
            ("dataset.name IN ('d', 'e')", []),
            ("metrics.m > 'x'", []),
            ("params.p = x", []),
            ("metrics.m > 0 or metrics.m < 0", []),
        ]
    ),
    post(
        "runs/search", {"experiment_ids": ["{e}"], "max_results": 3, "order_by": ["metrics.m DESC"]}, keep={}
    ),
    post("runs/search", {"experiment_ids": []}),
    post("runs/search", {"experiment_ids": ["{e}"], "max_results": 50001}, differs="other words"),
    post("experiments/search-datasets", {"experiment_ids": ["{e}"]}, differs="served elsewhere by MLflow"),
    Step("POST", "/ajax-api/2.0/mlflow/experiments/search-datasets", {"experiment_ids": ["{e}"]}),
]
LOGGED_MODELS = [
    *start("logged models"),
    post(
        "logged-models",
        {
            "experiment_id": "{e}",
            "name": "first",
            "model_type": "t",
            "source_run_id": "{r}",
            "params": [{"key": "a", "value": "1"}],
            "tags": [{"key": "x", "value": "y"}],
        },
        keep={"m": "model.info.model_id"},
    ),
    post("logged-models", {"experiment_id": "{e}", "name": "second"}, keep={"n": "model.info.model_id"}),
    post("logged-models", {"experiment_id": "{e}", "name": "a/b"}),
    post("logged-models", {"experiment_id": "98765", "name": "a"}),
    read("logged-models/{m}"),
    read("logged-models/m-" + "0" * 32),
    Step("PATCH", "logged-models/{m}", {"model_id": "{m}", "status": "LOGGED_MODEL_READY"}),
    Step("PATCH", "logged-models/{m}/tags", {"model_id": "{m}", "tags": [{"key": "k", "value": "v"}]}),
    Step("DELETE", "logged-models/{m}/tags/k", raw=b"", headers={}),
    Step("DELETE", "logged-models/{m}/tags/k", raw=b"", headers={}),
    post("logged-models/{n}/params", {"model_id": "{n}", "params": [{"key": "a", "value": "2"}]}),
    post("runs/outputs", {"run_id": "{r}", "models": [{"model_id": "{m}", "step": 3}]}),
    post("runs/log-inputs", {"run_id": "{r}", "models": [{"model_id": "{n}"}]}),
    read("runs/get", run_id="{r}"),
    post(
        "runs/log-metric",
        {
            "run_id": "{r}",
            "key": "acc",
            "value": 0.5,
            "timestamp": 7,
            "step": 1,
            "model_id": "{m}",
            "dataset_name": "d",
            "dataset_digest": "1",
        },
    ),
    post(
        "runs/log-batch",
        {
            "run_id": "{r}",
            "metrics": [
                {"key": "acc", "value": 0.25, "timestamp": 8, "step": 2, "model_id": "{n}"},
            ],
        },
    ),
    *(
        post(
            "runs/log-metric",
            {
                "run_id": "{r}",
                "key": "loss",
                "value": 1 / (1 + step),
                "timestamp": 20 + step,
                "step": step,
                "model_id": "{m}",
            },
        )
        for step in range(4)
    ),
    post(
        "runs/log-metric",
        {"run_id": "{r}", "key": "x", "value": 1, "timestamp": 1, "model_id": "m-none"},
        differs="MLflow answers 500 or keeps it",
    ),
    read("logged-models/{m}"),
    *(
        post("logged-models/search", {"experiment_ids": ["{e}"], **options})
        for options in [
            {},
            {"filter": "name = 'first'"},
            {"filter": "metrics.acc > 0.3"},
            {"filter": "metrics.acc > 0.3", "datasets": [{"dataset_name": "d", "dataset_digest": "1"}]},
            {"filter": "metrics.acc > 0.3", "datasets": [{"dataset_name": "d", "dataset_digest": "2"}]},
            {"filter": "metrics.acc > 0.3", "datasets": [{"dataset_name": "other"}]},
            {"datasets": [{"dataset_name": "d", "dataset_digest": "1"}]},
            {"datasets": [{"dataset_name": "d", "dataset_digest": "2"}]},
            {"datasets": [{"dataset_name": "other"}]},
            {"filter": "params.a = '2'"},
            {"filter": "tags.x = 'y'"},
            {"filter": "attributes.model_type = 't'"},
            {"order_by": [{"field_name": "metrics.acc", "ascending": True}]},
            {"order_by": [{"field_name": "metrics.acc", "ascending": False}]},
            {"order_by": [{"field_name": "name", "ascending": False}]},
            {"max_results": 1, "order_by": [{"field_name": "name"}]},
            {"datasets": [{"dataset_name": ""}]},
            {"order_by": [{"field_name": "params.a"}]},
        ]
    ),
    post(
        "logged-models/search",
        {"experiment_ids": ["{e}"], "datasets": [{"dataset_name": "d"}]},
        differs="MLflow takes a digest that is not given for one that must be absent, against its own words",
    ),
    Step("DELETE", "logged-models/{n}", raw=b"", headers={}),
    Step(
        "PATCH",
        "logged-models/{m}",
        {"model_id": "{m}", "status": "NONSENSE"},
        differs="MLflow forgets the status",
    ),
    read("logged-models/{n}"),
]


VERSIONS_OF_RUNS = [
    *start("versions of runs"),
    post("registered-models/create", {"name": "of-runs"}),
    post("model-versions/create", {"name": "of-runs", "source": "s3://bucket/1"}),
    post("model-versions/create", {"name": "of-runs", "source": "s3://bucket/2", "run_id": "{r}"}),
    *(
        read(
            "model-versions/search",
            filter=f"name = 'of-runs' AND {text}",
            order_by="version_number",
            max_results="9",
        )
        for text in [
            *("run_id != 'a'", "run_id NOT IN ('a')", "run_id = ''", "run_id IN ('', 'a')", "run_id != ''"),
            *("run_id = '{r}'", "run_id != '{r}'", "run_id NOT IN ('{r}')", "run_id IN ('{r}')"),
        ]
    ),
]


LISTS = {
    "experiments": EXPERIMENTS,
    "runs": RUNS,
    "batches": BATCHES,
    "forms": FORMS,
    "searches": SEARCHES,
    "logged models": LOGGED_MODELS,
    "versions of runs": VERSIONS_OF_RUNS,
}


def answers_to(name: str, server: Tracking) -> list[tuple[int, Any]]:
    return ask(server.port, LISTS[name])


@pytest.mark.slow
@pytest.mark.parametrize("name", LISTS)
def test_answers_are_equal(tracking: Tracking, own_mlflow: Callable[[], Tracking], name: str) -> None:
    ours = plain(answers_to(name, tracking))
    peer = fact(
        answers_to, lambda: answers_to(name, own_mlflow()), program="mlflow", case=name, inputs=LISTS[name]
    )
    wrong = []
    for step, mine, theirs in zip(LISTS[name], ours, peer, strict=True):
        if step.differs:
            assert mine[0] < 500, (str(step), mine)
            if mine == theirs:
                wrong.append(f"{step}\n  does not differ any more")
        elif mine != theirs:
            wrong.append(f"{step}\n  {difference(mine, theirs)}")
    assert not wrong, "\n".join(wrong)
