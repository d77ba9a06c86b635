"""Which model a metrics file measures, as far as the order of the stages tells. It reads no metric."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import Literal

from penstock.base.errors import Invalid, PenstockError
from penstock.pipeline.definition import load_all_stages
from penstock.pipeline.graph import below, reverse, upstream_of
from penstock.pipeline.stage import Stage
from penstock.project.project import Project
from penstock.project.settings import ModelSettings
from penstock.registry.package import MODEL_FILE

TABLES = (".csv", ".parquet")
MODEL_FILES = (".pkl", ".pickle", ".joblib", ".skops", ".onnx", ".pt", ".pth", ".h5", ".ubj", ".cbm", ".bin")
SURE = 2
"""From this likeness on an output is a model, not only called so."""
Measures = Literal["own", "other", "apart", "unknown"]


def likeness(root: Path, place: str) -> int:
    """Return how much a path is like a model, 0 to 3: by its content, its ending, its name."""
    path = Path(place)
    if (root / place / MODEL_FILE).is_file():
        return 3
    if path.suffix in MODEL_FILES:
        return SURE
    is_named = any("model" in part.lower() for part in path.parts)
    return 1 if is_named and path.suffix not in {*TABLES, ".json", ".yaml", ".txt", ".png"} else 0


@dataclass(frozen=True)
class Order:
    """The stages of a repository, and what each needs.

    Raises:
        Invalid: two stages make one output, wherever the order is asked for.
    """

    root: Path
    stages: Sequence[Stage]

    @cached_property
    def _upstream(self) -> dict[str, tuple[str, ...]]:
        return upstream_of(self.stages)

    @cached_property
    def _downstream(self) -> dict[str, tuple[str, ...]]:
        return reverse(self._upstream)

    def maker(self, place: str) -> Stage | None:
        """Return the stage that makes a path, or what it lies in."""
        asked = PurePosixPath(place)
        own = {asked, *asked.parents}
        return next(
            (one for one in self.stages if any(PurePosixPath(made) in own for made in one.makes)), None
        )

    def from_on(self, stage: Stage) -> dict[str, int]:
        """Return a stage and what depends on it, by address, with how many steps away it is."""
        found, border = {stage.address: 0}, [stage.address]
        while border:
            border = [two for one in border for two in self._downstream[one] if two not in found]
            found |= dict.fromkeys(border, max(found.values()) + 1)
        return found

    def up_to(self, stage: Stage) -> set[str]:
        """Return a stage and what it depends on, by address."""
        return {stage.address} | below(stage.address, self._upstream)

    def measures(self, metrics: str, model: str, others: Collection[str] = ()) -> Measures:
        """Say whether the stage that makes a metrics file is the model's, or depends on it.

        `other`: it makes or depends on another model, which this one does not come from: one of `others`, or what looks like a
        model in a pipeline that reads nothing that this one's reads. `apart`: it does not depend on this model, and may be a
        step of its evaluation. `unknown`: no stage makes the one or the other.

        Args:
            others: the paths of the other models.
        """
        makes, measuring = self.maker(model), self.maker(metrics)
        if makes is None or measuring is None:
            return "unknown"
        if measuring.address in self.from_on(makes):
            return "own"
        apart = self.up_to(measuring) - self.up_to(makes)
        made = [
            one.place(output.path)
            for one in self.stages
            for output in one.outputs
            if one.address in apart and output.kind == "out"
        ]
        is_strange = not self._read_by(self.up_to(measuring)) & self._read_by(self.up_to(makes))
        is_model = any(one in others or (is_strange and likeness(self.root, one) >= SURE) for one in made)
        return "other" if is_model else "apart"

    def _read_by(self, addresses: Collection[str]) -> set[str]:
        """Return all that some stages read, or make."""
        return {path for one in self.stages if one.address in addresses for path in (*one.reads, *one.makes)}

    def told(self, metrics: str, model: str) -> str:
        """Say which stages make the two."""
        makes, measuring = self.maker(model), self.maker(metrics)
        if makes is None or measuring is None:
            return f"no stage says that {metrics} is of {model}"
        return (
            f"{metrics} is made by stage `{measuring.address}`, which does not depend on stage `{makes.address}` "
            f"that makes {model}"
        )


def unmeasured(project: Project, model: ModelSettings) -> tuple[Measures, str]:
    """Return how a model's metrics file belongs to it, and a sentence where its stage does not depend on the model's."""
    if model.metrics is None:
        return "unknown", ""
    try:
        order = Order(project.root, load_all_stages(project.data))
        others = {one.path for one in project.settings.all_models} - {model.path}
        found = order.measures(model.metrics, model.path, others)
        return found, order.told(model.metrics, model.path) if found in {"other", "apart"} else ""
    except PenstockError:  # a dvc.yaml that cannot be read is told by what reads the pipeline
        return "unknown", ""


def require_measured(project: Project, model: ModelSettings) -> str:
    """Return what is to be said of where a model's metrics come from; empty where they are its own.

    Raises:
        Invalid: they are those of another model.
    """
    found, sentence = unmeasured(project, model)
    if found == "other":
        raise Invalid(
            f"{sentence}, but makes or measures another model",
            code="gate.metrics_of_another_model",
            hint=f"name the metrics file of {model.name}'s own stages as `metrics:` of the model in penstock.yaml, or none",
            metrics=model.metrics,
            path=model.path,
        )
    return sentence
