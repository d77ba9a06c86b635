"""A small real project: a CSV, a pipeline of two stages that trains a model, gates, an endpoint."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Literal

import numpy as np

import sharing
from penstock.base.git import Git
from penstock.data.verbs.creation import init_repository
from penstock.flows.models.aliases import apply_promotion, plan_promotion
from penstock.flows.models.judging import run_gate
from penstock.flows.models.registering import register_model
from penstock.flows.pipelines.execution import reproduce_and_record
from penstock.flows.store.copying import copy_store
from penstock.flows.tracked import versioning
from penstock.project.project import Project
from penstock.workspace import open_workspace
from servers.quick_python import quick_python

PENSTOCK_YAML = """\
project: sample
model:
  name: late
  path: models/late
  reference: data/train.csv
  metrics: metrics.json
  test: data/test.csv
  label: late
gates:
  - metric: {name: roc_auc, min: 0.6}
  - schema: {table: data/train.csv, schema: schema.json}
  - champion: {metric: roc_auc, max_drop: 0.02, resamples: 200, min_rows: 50}
endpoints:
  delay:
    model: late@champion
    rollout: {steps: [20, 100], min_requests: 50, min_labels: 200, hold_s: 0}
    monitor: {window_s: 1, windows: 50, flush_s: 0.1}
    guardrails:
      - errors: {max_ratio: 0.05}
      - quality: {metric: roc_auc, max_drop: 0.1, min_labels: 150}
      - drift: {features: any, psi_max: 0.25, action: alert}
    on_breach: [rollback, alert]
ci:
  tests: "true"
"""
DVC_YAML = """\
stages:
  split:
    cmd: {python} split.py
    deps:
      - data/raw.csv
      - split.py
    outs:
      - data/test.csv
      - data/train.csv
  train:
    cmd: {python} train.py
    deps:
      - data/test.csv
      - data/train.csv
      - train.py
    params:
      - features
      - strength
    outs:
      - models/late
    metrics:
      - metrics.json:
          cache: false
"""
PARAMS_YAML = "features: [hour, wind, carrier]\nstrength: 1.0\n"
SPLIT_PY = """\
rows = open("data/raw.csv").read().splitlines()
head, body = rows[0], rows[1:]
open("data/train.csv", "w").write("\\n".join([head, *[r for i, r in enumerate(body) if i % 4]]) + "\\n")
open("data/test.csv", "w").write("\\n".join([head, *[r for i, r in enumerate(body) if not i % 4]]) + "\\n")
"""
TRAIN_PY = """\
import json
import polars as pl, yaml
from sklearn.compose import make_column_transformer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder
import penstock

params = yaml.safe_load(open("params.yaml"))
train, test = pl.read_csv("data/train.csv"), pl.read_csv("data/test.csv")
encode = make_column_transformer((OneHotEncoder(handle_unknown="ignore"), ["carrier"]), remainder="passthrough")
model = make_pipeline(encode, LogisticRegression(C=params["strength"], max_iter=1000))
model.fit(train.select(params["features"]), train["late"].to_numpy())
score = model.predict_proba(test.select(params["features"]))[:, 1]
penstock.save_model(model, "models/late", train.select(params["features"]))
json.dump({"roc_auc": roc_auc_score(test["late"].to_numpy(), score)}, open("metrics.json", "w"))
"""
SCHEMA_JSON = """\
{"columns": {"hour": {"type": "integer", "min": 0, "max": 23}, "wind": {"type": "number", "min": 0, "max": 100},
 "carrier": {"type": "string", "values": ["AA", "DL", "UA"]}, "late": {"type": "integer", "min": 0, "max": 1}}}
"""


def rows(count: int, seed: int = 0, *, wind_unit: float = 1.0) -> str:
    """Return a CSV of flights; later hours and wind make them late."""
    generator = np.random.default_rng(seed)
    hour = generator.integers(0, 24, count)
    wind = np.abs(generator.normal(10, 3, count))
    carrier = generator.choice(["AA", "DL", "UA"], count)
    late = (hour + wind + generator.normal(0, 6, count) > 26).astype(int)
    lines = [f"{h},{w * wind_unit:.3f},{c},{y}" for h, w, c, y in zip(hour, wind, carrier, late, strict=True)]
    return "\n".join(["hour,wind,carrier,late", *lines]) + "\n"


State = Literal["new", "trained", "released"]


@dataclass
class Sample:
    """The project's root and what tests do with it."""

    root: Path

    @classmethod
    def make(cls, root: Path, state: State = "new") -> Sample:
        """Copy the project in a state that one process of the run made.

        `new`: committed; `trained`: also reproduced and committed; `released`: also judged by its gate, registered
        as `late/1` and its champion.
        """
        made = sharing.made(f"sample-{state}", lambda place: MAKERS[state](cls(place)))
        shutil.copytree(made, root, symlinks=True, dirs_exist_ok=True)
        return cls(root)

    def begin(self) -> None:
        """Write, initialise and commit it."""
        root = self.root
        (root / "data").mkdir(parents=True)
        files = {
            "penstock.yaml": PENSTOCK_YAML,
            "dvc.yaml": DVC_YAML.replace("{python}", quick_python()),
            "params.yaml": PARAMS_YAML,
            "split.py": SPLIT_PY,
            "train.py": TRAIN_PY,
            "schema.json": SCHEMA_JSON,
            "data/raw.csv": rows(1200),
        }
        for name, text in files.items():
            (root / name).write_text(text)
        git = Git(root)
        git.run("init", "--quiet", "--initial-branch", "main")
        git.run("config", "user.name", "Ada")
        git.run("config", "user.email", "ada@example.org")
        init_repository(root)
        self.add("data/raw.csv")
        self.commit("Begin")
        self.project.close()

    def train(self) -> None:
        """Bring a copy to the state `trained`."""
        Sample.make(self.root)
        reproduce_and_record(self.project)
        self.commit("Train")
        self.project.close()

    def release(self) -> None:
        """Bring a copy to the state `released`."""
        Sample.make(self.root, "trained")
        assert run_gate(self.project).passed
        register_model(self.project)
        apply_promotion(self.project, plan_promotion(self.project, "late/1"))
        self.project.close()

    @classmethod
    def copy(cls, made: Path, root: Path) -> Sample:
        """Copy a project that nothing has open."""
        shutil.copytree(made, root, symlinks=True)
        return cls(root)

    @cached_property
    def git(self) -> Git:
        """Git in the project."""
        return Git(self.root)

    @cached_property
    def project(self) -> Project:
        """The opened project."""
        return open_workspace(self.root, {"USER": "ada"})

    def close(self) -> None:
        """Close the project, if it was opened."""
        if "project" in self.__dict__:
            self.project.close()

    def add(self, name: str) -> None:
        """Track a path."""
        versioning.add(self.project.data, [self.root / name])

    def write(self, name: str, text: str) -> None:
        """Replace a file."""
        path = self.root / name
        path.unlink(missing_ok=True)
        path.write_text(text)

    def move_store(self, url: str) -> None:
        """Go on with what the store holds in another one, which is empty."""
        self.close()
        copy_store(f"sqlite:///{self.root}/.penstock/penstock.db", url)
        self.write("penstock.yaml", f"{(self.root / 'penstock.yaml').read_text()}store: {url}\n")

    def commit(self, message: str) -> str:
        """Commit everything and return the commit."""
        self.git.run("add", "--all")
        self.git.run("commit", "--quiet", "--message", message)
        return self.git.resolve("HEAD")


MAKERS: dict[State, Callable[[Sample], None]] = {
    "new": Sample.begin,
    "trained": Sample.train,
    "released": Sample.release,
}
