"""A store full of what breaks pages: long names, hidden characters, markup, infinities, hundreds of metrics, many runs."""

from __future__ import annotations

import math
from dataclasses import dataclass

import sqlalchemy as sa

from penstock.project.project import Project
from penstock.registry.entities import Manifest, ModelVersion, Provenance
from penstock.registry.models import ensure_model, set_model_tag
from penstock.registry.notes import describe_version
from penstock.registry.versions import add_version
from penstock.tracking.datasets import link_models
from penstock.tracking.entities import PARENT_TAG, LoggedModel, MetricPoint, ModelLink, Run
from penstock.tracking.experiments import ensure_experiment
from penstock.tracking.logged_models import READY, create_model
from penstock.tracking.metrics import RunReference, log_points
from penstock.tracking.runs import create_run
from penstock.tracking.tables import run_latest_metrics, run_metrics, run_params, runs

START_MS = 1_700_000_000_000
MARKUP = "<script>alert('x')</script>\"><img src=x onerror=alert(1)>"
LONG = "long-" + "x" * 240 + "-tail"
TURNED = "invoice\u202efdp.exe"
NOTE = (
    "# What it is\n\n**Bold** and <b onclick=alert(1)>markup</b>, [a page](https://example.org/), "
    "[a script](javascript:alert(1)) and ![a picture](https://evil.example/x.png).\n\n| a | b |\n|--:|---|\n| 1 | 2 |\n"
)


@dataclass(frozen=True)
class Hostile:
    """The ids of what was made."""

    experiment: int
    crowd: int
    long: str
    turned: str
    markup: str
    endless: str
    many: str
    parent: str
    child: str
    model_run: str
    logged_model: str


def fill(project: Project, run_count: int = 10_000) -> Hostile:
    """Fill a store, always with the same, in one transaction."""
    ids = {name: f"{place:032x}" for place, name in enumerate(
        ("long", "turned", "markup", "endless", "many", "parent", "child", "model_run"), start=1
    )}  # fmt: skip
    tags: dict[str, dict[str, str]] = {
        "markup": {"mlflow.note.content": NOTE, MARKUP: TURNED},
        "child": {PARENT_TAG: ids["parent"]},
    }
    names = {"long": LONG, "turned": TURNED, "markup": MARKUP}
    metrics: dict[str, dict[str, float]] = {
        "long": {"loss": 0.25, LONG[:240]: 1.0},
        "turned": {"loss": 0.5},
        "markup": {"loss": 10_769.0, "a<b>c": 3.0, "group/x": 1.0},
        "endless": {"loss": math.inf, "gain": -math.inf, "none": math.nan},
    }
    with project.database.write() as connection:
        for place, (name, run_id) in enumerate(ids.items()):
            create_run(
                connection,
                Run(
                    id=run_id,
                    experiment="hostile",
                    name=names.get(name, name),
                    status="FINISHED",
                    start_ms=START_MS + 1000 * place,
                    end_ms=START_MS + 1000 * place + 312_000,
                    user=MARKUP if name == "markup" else "ada",
                    params={"path": LONG, "name": TURNED} if name == "long" else {"depth": str(place)},
                    metrics=metrics.get(name, {}),
                    tags=tags.get(name, {}),
                ),
            )
        experiment = ensure_experiment(connection, "hostile")
        points = [
            MetricPoint(f"{group}/{part}_{number:02d}", 1 / (step + 1 + number), START_MS + step, step)
            for group, part in (("train", "loss"), ("valid", "loss"), ("system", "gpu"))
            for number in range(100)
            for step in range(3)
        ]
        log_points(connection, RunReference(ids["many"], experiment), points)
        logged = LoggedModel(
            id="m-" + "7" * 32,
            experiment_id=experiment,
            name="classifier",
            status=READY,
            created_ms=START_MS,
            updated_ms=START_MS,
            source_run_id=ids["model_run"],
        )
        create_model(connection, logged)
        link_models(connection, ids["model_run"], [ModelLink(logged.id, "output", 0)])
        _add_models(connection, ids["markup"])
        crowd = ensure_experiment(connection, "crowd")
        _add_crowd(connection, crowd, run_count)
    return Hostile(experiment=experiment, crowd=crowd, logged_model=logged.id, **ids)


def _add_models(connection: sa.Connection, run_id: str) -> None:
    for name in (LONG[:200], MARKUP.replace("/", "|").replace(":", "|")):
        ensure_model(connection, name)
        version = add_version(
            connection,
            ModelVersion(
                model=name,
                number=0,
                digest="",
                created_ms=START_MS,
                actor=MARKUP,
                path="",
                manifest=Manifest(()),
                provenance=Provenance(run_id=run_id),
                metrics={"roc_auc": math.nan, "rows": 10_769.0},
                source="s3://bucket/x",
            ),
        )
        set_model_tag(connection, name, "tag", MARKUP, "ada")
        describe_version(connection, name, version.number, NOTE, "ada")


def _add_crowd(connection: sa.Connection, experiment: int, count: int) -> None:
    """Add runs as rows; what a client would log takes minutes for so many."""
    ids = [f"{place:032x}" for place in range(1_000_000, 1_000_000 + count)]
    metrics = ("loss", "roc_auc", "accuracy", "seconds", "rows")
    values = [
        (run_id, key, (place * 7919 % 10_007) / 10_007 + shift)
        for place, run_id in enumerate(ids)
        for shift, key in enumerate(metrics)
    ]
    connection.execute(
        runs.insert(),
        [
            {
                "id": run_id, "experiment_id": experiment, "name": f"run-{place:05d}", "status": "FINISHED",
                "start_ms": START_MS + 1000 * place, "end_ms": START_MS + 1000 * place + 5432, "user": "ada",
            }
            for place, run_id in enumerate(ids)
        ],
    )  # fmt: skip
    point = {"step": 0, "time_ms": START_MS, "is_nan": False}
    rows = [{"run_id": run_id, "key": key, "value": value, **point} for run_id, key, value in values]
    connection.execute(run_metrics.insert(), rows)
    connection.execute(run_latest_metrics.insert(), [{**row, "experiment_id": experiment} for row in rows])
    connection.execute(
        run_params.insert(),
        [
            {"run_id": run_id, "key": key, "value": str(place % size)}
            for place, run_id in enumerate(ids)
            for key, size in (("depth", 7), ("seed", 1000), ("model", 2))
        ],
    )
