"""A version that does not load is told where it is registered, and no door opens to it where the gates are away."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from sklearn.linear_model import LogisticRegression

import penstock
from penstock.base.errors import Invalid, Refused
from penstock.flows.models.aliases import plan_promotion
from penstock.flows.models.judging import run_gate
from penstock.flows.models.registering import register_model
from penstock.workspace import open_workspace
from projects import Sample
from servers.forking import run_penstock
from serving.fixtures import released_root

__all__ = ["released_root"]

FILES = {
    "scaling_helper.py": "class Scale:\n    def __init__(self, factor):\n        self.factor = factor\n",
    "doubling_model.py": """\
import pickle
class Doubles:
    scale = None
    def predict(self, rows):
        return rows["x"].to_numpy() * self.scale.factor
    def save(self, folder):
        (folder / "scale.pickle").write_bytes(pickle.dumps(self.scale))
    def load(self, folder):
        self.scale = pickle.loads((folder / "scale.pickle").read_bytes())
""",
    "train.py": """\
import pandas as pd
import penstock
from doubling_model import Doubles
from scaling_helper import Scale
model = Doubles()
model.scale = Scale(2.0)
penstock.save_model(model, "models/doubles", inputs=pd.DataFrame({"x": [1.0, 2.0]}))
""",
    "penstock.yaml": "project: p\nmodel: {name: doubles, path: models/doubles}\ngates: [{latency: {p99_ms: 60000}}]\n",
}


def train(root: Path) -> None:
    subprocess.run([sys.executable, "train.py"], cwd=root, check=True, timeout=300)


def test_a_helper_that_only_the_state_needs_is_told_where_it_must_be_imported(tmp_path: Path) -> None:
    """The classes lay in modules beside the script: the hint to put them there was followed already."""
    for name, text in FILES.items():
        (tmp_path / name).write_text(text)
    subprocess.run(["git", "init", "-q"], cwd=tmp_path, check=True)
    assert run_penstock(tmp_path, "init").returncode == 0
    train(tmp_path)
    project = open_workspace(tmp_path)
    try:
        with pytest.raises(Invalid, match="No module named 'scaling_helper'") as told:
            run_gate(project)
    finally:
        project.close()
    assert "write `import scaling_helper` into doubling_model.py, the file of Doubles" in str(told.value.hint)
    done = run_penstock(tmp_path, "model", "register")
    assert done.returncode == 0
    assert "warning: doubles version 1 does not load" in done.stderr
    assert "write `import scaling_helper` into doubling_model.py" in done.stderr
    (tmp_path / "doubling_model.py").write_text("import scaling_helper\n" + FILES["doubling_model.py"])
    train(tmp_path)
    again = run_penstock(tmp_path, "model", "register")
    assert again.returncode == 0
    assert "does not load" not in again.stderr


def test_a_version_that_no_gate_passed_does_not_become_champion_where_penstock_yaml_is_away(
    released_root: Path, tmp_path: Path
) -> None:
    sample = Sample.copy(released_root, tmp_path / "project")
    rows = {"hour": [1, 2, 3, 4]}
    penstock.save_model(
        LogisticRegression().fit([[1], [2], [3], [4]], [0, 0, 1, 1]), sample.root / "other", inputs=rows
    )
    version, is_new = register_model(sample.project, "late", "other")
    sample.close()
    assert is_new
    (sample.root / "penstock.yaml").unlink()
    done = run_penstock(sample.root, "promote", version.ref, "--dry-run")
    assert done.returncode != 0
    assert "no gate has judged exactly this model; there is no penstock.yaml here" in done.stderr
    assert "would" not in done.stdout
    project = open_workspace(sample.root)
    try:
        with pytest.raises(Refused, match="cannot become champion"):
            plan_promotion(project, version.ref)
        assert plan_promotion(project, version.ref, "candidate").verdict is None
        assert plan_promotion(project, "late/1").verdict is not None
    finally:
        project.close()
