"""Propose a penstock.yaml for a repository from what its dvc.yaml and its files say. Writes nothing.

What was found is filled in; what was not stands as a comment to be completed, and is told as a note. The text
of the file is made in `penstock.flows.setup.writing`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from penstock.base.errors import PenstockError
from penstock.data.formats.tables import load_table
from penstock.data.repository import DataRepository
from penstock.flows.pipelines.measures import read_metrics
from penstock.flows.pipelines.snapshot import Snapshot, at_revision
from penstock.pipeline.definition import load_all_stages
from penstock.pipeline.parameters import numbers
from penstock.pipeline.stage import Stage
from penstock.registry.package import MODEL_FILE, describe_model
from penstock.stats.metric_names import LOWER_IS_BETTER, METRICS

TABLES = (".csv", ".parquet")
MODEL_FILES = (".pkl", ".pickle", ".joblib", ".skops", ".onnx", ".pt", ".pth", ".h5", ".ubj", ".cbm", ".bin")
PREFERRED = ("roc_auc", "accuracy", "rmse", "mae", "log_loss", "brier")
"""The metrics a gate is proposed for, the first that a repository has."""


@dataclass(frozen=True)
class Findings:
    """What a repository says of the model it makes; None is what it does not say."""

    project: str
    model: str
    path: str | None = None
    stage: str | None = None
    is_folder: bool = False
    reference: str | None = None
    test: str | None = None
    label: str | None = None
    metrics_file: str | None = None
    metric: str | None = None
    value: float | None = None
    has_tests: bool = False
    notes: tuple[str, ...] = ()

    @property
    def is_loss(self) -> bool:
        """Whether the metric is better when it is lower."""
        return self.metric in LOWER_IS_BETTER

    @property
    def is_known(self) -> bool:
        """Whether the metric is one that Penstock knows: which way is better, and what it is on live traffic."""
        return self.metric in METRICS


def look(repo: DataRepository) -> Findings:
    """Return what a repository says of its model, tables, metrics and tests.

    Raises:
        Invalid: a dvc.yaml cannot be read.
    """
    stages = load_all_stages(repo)
    project = _plain(repo.root.name) or "project"
    notes: list[str] = []
    maker, path = _find_model(repo.root, stages)
    is_folder = path is not None and (repo.root / path / MODEL_FILE).is_file()
    name = _model_name(path, project)
    if not stages:
        notes.append("there is no dvc.yaml: `penstock stage add` writes the steps that make the model")
    elif path is None:
        notes.append("no output of dvc.yaml looks like a model: put its folder under `model: path`")
    elif (repo.root / path).is_file():
        folder = f"{Path(path).parent.as_posix()}/{name}".removeprefix("./")
        notes.append(
            f"{path} is a file, and what is registered and served is a folder: write one with "
            f'penstock.save_model(model, "{folder}", inputs=frame.head()) and name it in dvc.yaml instead'
        )
        path = folder
    elif not is_folder:
        notes.append(f"{path} is not made yet: penstock repro")
    reference, test = _find_tables(maker, stages)
    if reference is None:
        notes.append("no table was found that the model learns from: without `reference` no drift is told")
    with at_revision(repo, None) as snapshot:
        file, metric, value = _find_metric(snapshot)
    if file is None:
        notes.append("no metrics file was found: `metrics:` of a stage in dvc.yaml names one")
    if metric is not None and metric not in METRICS:
        notes.append(
            f"whether more of {metric!r} is better is not known: write its `min` or `max` under `gates`"
        )
    label = _find_label(repo.root, path if is_folder else None, test or reference)
    if test is not None and label is None:
        notes.append(f"which column of {test} is the truth is not known: put it under `label`")
    return Findings(
        project=project,
        model=name,
        path=path,
        stage=maker.address if maker else None,
        is_folder=is_folder,
        reference=reference,
        test=test,
        label=label,
        metrics_file=file,
        metric=metric,
        value=value,
        has_tests=(repo.root / "tests").is_dir(),
        notes=tuple(notes),
    )


def _plain(text: str) -> str:
    return re.sub(r"[^\w.-]+", "-", text).strip("-")


def _model_name(path: str | None, project: str) -> str:
    stem = _plain(Path(path).name.partition(".")[0]) if path else ""
    return project if stem in {"", "model", "models", "clf", "estimator"} else stem


def _find_model(root: Path, stages: Iterable[Stage]) -> tuple[Stage | None, str | None]:
    """Return the output most like a model and the stage that makes it; a later stage wins."""
    best: tuple[int, Stage | None, str | None] = (0, None, None)
    for stage in stages:
        for output in stage.outputs:
            place = stage.place(output.path)
            likeness = _likeness(root, place) if output.kind == "out" else 0
            if likeness and likeness >= best[0]:
                best = (likeness, stage, place)
    return best[1], best[2]


def _likeness(root: Path, place: str) -> int:
    path = Path(place)
    if (root / place / MODEL_FILE).is_file():
        return 3
    if path.suffix in MODEL_FILES:
        return 2
    is_named = any("model" in part.lower() for part in path.parts)
    return 1 if is_named and path.suffix not in {*TABLES, ".json", ".yaml", ".txt", ".png"} else 0


def _find_tables(maker: Stage | None, stages: Sequence[Stage]) -> tuple[str | None, str | None]:
    """Return the tables that the model learns from and is tested on, relative to the root."""
    own = _tables([maker] if maker else [])
    every = [*own, *_tables(stages)]
    test = next(
        (name for name in every if re.search(r"test|valid|holdout|held", Path(name).stem, re.I)), None
    )
    training = [name for name in own if name != test]
    named = [name for name in every if "train" in Path(name).stem.lower()]
    return next(iter([*named, *training]), None), test


def _tables(stages: Iterable[Stage]) -> list[str]:
    """Return the tables that stages read or make, what they read first."""
    read = [stage.place(name) for stage in stages for name in stage.dependencies]
    made = [stage.place(output.path) for stage in stages for output in stage.outputs if output.kind == "out"]
    return [name for name in (*read, *made) if name.endswith(TABLES)]


def _find_metric(snapshot: Snapshot) -> tuple[str | None, str | None, float | None]:
    """Return the first metrics file that holds a number, a metric of it and its value now."""
    readings = read_metrics(snapshot)
    for file, reading in readings.items():
        values = numbers(reading.data) if isinstance(reading.data, dict) else {}
        for name in (*PREFERRED, *values):
            if name in values:
                return file, name, values[name]
    return next(iter(readings), None), None, None


def _find_label(root: Path, model: str | None, table: str | None) -> str | None:
    """Return the only column of the table that the model does not take."""
    if model is None or table is None:
        return None
    try:
        taken = {column.name for column in describe_model(root / model).signature.inputs}
        columns = _columns(root / table)
    except (PenstockError, OSError):
        return None
    left = [name for name in columns if name not in taken]
    return left[0] if len(left) == 1 and taken & set(columns) else None


def _columns(table: Path) -> list[str]:
    if table.suffix == ".parquet":
        return list(pl.read_parquet_schema(table))
    return load_table(table).columns
