"""Propose a penstock.yaml for a repository from what its dvc.yaml and its files say. Writes nothing.

What was found is filled in; what was not stands as a comment to be completed, and is told as a note. The text
of the file is made in `penstock.flows.setup.writing`.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from penstock.base.errors import NotFound, PenstockError
from penstock.data.formats.tables import load_table
from penstock.data.repository import DataRepository
from penstock.flows.models.evidence.measured import TABLES, Order, likeness
from penstock.flows.models.wrapping import FLAVOUR_OF_SUFFIX
from penstock.flows.pipelines.measures import read_metrics
from penstock.flows.pipelines.snapshot import Snapshot, at_revision
from penstock.pipeline.definition import load_all_stages
from penstock.pipeline.parameters import numbers
from penstock.pipeline.stage import Stage
from penstock.registry.package import MODEL_FILE, describe_model
from penstock.stats.metric_names import LOWER_IS_BETTER, METRICS

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


@dataclass(frozen=True)
class Made:
    """An output that looks like a model, what it would be called, and the stage that makes it."""

    likeness: int
    stage: Stage
    path: str
    name: str

    @property
    def shown(self) -> str:
        """How a note tells of it."""
        return f"{self.path} (model {self.name}, made by stage `{self.stage.address}`)"


def look(repo: DataRepository, model: str | None = None) -> Findings:
    """Return what a repository says of its model, tables, metrics and tests.

    Args:
        model: the name or the path of the one that is meant, where several are made.

    Raises:
        Invalid: a dvc.yaml cannot be read.
        NotFound: nothing that looks like a model is called so.
    """
    stages = load_all_stages(repo)
    project = _plain(repo.root.name) or "project"
    notes: list[str] = []
    models = _find_models(repo.root, stages, project)
    taken = _choose(models, model)
    maker, path = (taken.stage, taken.path) if taken else (None, None)
    is_folder = path is not None and (repo.root / path / MODEL_FILE).is_file()
    name = taken.name if taken else project
    if not stages:
        notes.append("there is no dvc.yaml: `penstock stage add` writes the steps that make the model")
    elif path is None:
        notes.append("no output of dvc.yaml looks like a model: put its folder under `model: path`")
    elif (repo.root / path).is_file():
        notes.append(_told_file(path, name))
    elif not is_folder:
        notes.append(f"{path} is not made yet: penstock repro")
    others = [one for one in models if one is not taken]
    notes += [_other(one, path) for one in others]
    order = Order(repo.root, stages)
    reference, test = _find_tables(maker, _together(order, maker))
    if reference is None:
        notes.append("no table was found that the model learns from: without `reference` no drift is told")
    with at_revision(repo, None) as snapshot:
        file, metric, value = _find_metric(snapshot, order, taken, is_only=not others, notes=notes)
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


def _told_file(path: str, name: str) -> str:
    """Say what a model that is one file lacks: it is taken as it is, or has to be a folder where no library is known to read it."""
    folder = f"{Path(path).parent.as_posix()}/{name}".removeprefix("./")
    saved = f'penstock.save_model(model, "{folder}", inputs=frame.head())'
    if Path(path).suffix in FLAVOUR_OF_SUFFIX:
        return f"{path} is one file, which is taken as it is; a folder that {saved} writes also says what the model takes"
    return f"{path} is a file, and its ending names no library of models: write a folder with {saved} and name it in dvc.yaml and here"


def _plain(text: str) -> str:
    return re.sub(r"[^\w.-]+", "-", text).strip("-")


def _model_name(path: str | None, project: str) -> str:
    stem = _plain(Path(path).name.partition(".")[0]) if path else ""
    return project if stem in {"", "model", "models", "clf", "estimator"} else stem


def _find_models(root: Path, stages: Iterable[Stage], project: str) -> list[Made]:
    """Return the outputs that look like models."""
    found = []
    for stage in stages:
        for output in stage.outputs:
            place = stage.place(output.path)
            degree = likeness(root, place) if output.kind == "out" else 0
            if degree:
                found.append(Made(degree, stage, place, _model_name(place, project)))
    return found


def _choose(models: Sequence[Made], wanted: str | None) -> Made | None:
    """Return the model that is meant, else the output most like one; a later stage wins.

    Raises:
        NotFound: none is called so.
    """
    if wanted is None:
        return max(reversed(models), key=lambda one: one.likeness, default=None)
    named = [one for one in models if wanted in {one.path, one.name}]
    if not named:
        known = ", ".join(f"{one.name} ({one.path})" for one in models)
        raise NotFound(
            f"no stage makes a model that is called {wanted}",
            code="settings.no_such_model",
            hint=f"there are: {known}" if known else "penstock stage add writes the step that makes it",
        )
    return max(reversed(named), key=lambda one: one.likeness)


def _other(one: Made, path: str | None) -> str:
    """Say that a model was found and not taken, and how it is added."""
    return (
        f"{one.shown} is not in this proposal, which is for {path}: `penstock start --model {shlex.quote(one.path)} --dry-run` shows its "
        "own; what stands there under `model:` goes into the list `models:`, with its gates as `gates:` of that entry, and its endpoint under `endpoints:`"
    )


def _together(order: Order, maker: Stage | None) -> list[Stage]:
    """Return the stages that a model comes from or that use it; all where none makes one."""
    if maker is None:
        return list(order.stages)
    wanted = order.up_to(maker) | set(order.from_on(maker))
    return [one for one in order.stages if one.address in wanted]


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


def _find_metric(
    snapshot: Snapshot, order: Order, model: Made | None, *, is_only: bool, notes: list[str]
) -> tuple[str | None, str | None, float | None]:
    """Return the metrics file of a model that holds a number, a metric of it and its value now.

    Those of the model's own stage come first, then those of the stages that depend on it, the nearest first. What is of
    another model is not taken; what no stage relates to a model is, where there is one model only. What was left is noted.
    """
    readings = read_metrics(snapshot)
    files = list(readings) if model is None else _of_model(readings, order, model, is_only, notes)
    for file in files:
        data = readings[file].data
        values = numbers(data) if isinstance(data, dict) else {}
        for name in (*PREFERRED, *values):
            if name in values:
                if len(files) > 1:
                    rest = ", ".join(other for other in files if other != file)
                    notes.append(
                        f"metrics are read from {file}; there is also {rest}: mend `metrics:` if that is meant"
                    )
                return file, name, values[name]
    return next(iter(files), None), None, None


def _of_model(
    readings: Iterable[str], order: Order, model: Made, is_only: bool, notes: list[str]
) -> list[str]:
    steps = order.from_on(model.stage)
    found: list[tuple[int, str]] = []
    for file in readings:
        kind, maker = order.measures(file, model.path), order.maker(file)
        if kind == "own" and maker is not None:
            found.append((steps[maker.address], file))
        elif kind == "other" or not is_only:
            notes.append(f"{order.told(file, model.path)}: it is not taken for the metrics of {model.name}")
        else:
            found.append((len(steps), file))
            if kind == "apart":
                notes.append(order.told(file, model.path))
    return [file for _, file in sorted(found, key=lambda one: one[0])]


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
