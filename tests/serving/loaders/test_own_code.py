"""Models made of modules beside the training script: saved with their sources, read where those are not."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from penstock.base.errors import Invalid, Refused, Unavailable
from penstock.base.threads import begin
from penstock.flows.models.folders import files_of_folder
from penstock.flows.models.loading import Trust, digest_folder, load_folder
from penstock.serving.loaders import import_turns, load_model
from penstock.serving.loaders.own_code import keep_sources, own_code
from servers.tracking import mlflow_python
from stories.live import wait_until

SCALING = """
from sklearn.base import BaseEstimator, TransformerMixin
from shapes import factor
class Scaled(BaseEstimator, TransformerMixin):
    def fit(self, rows, labels=None):
        self.fitted_ = True
        return self
    def transform(self, rows):
        from shapes.late import offset
        return rows * factor.FACTOR + offset()
"""
TRAIN = """
import numpy as np, penstock, sys
from sklearn.linear_model import LinearRegression
from sklearn.pipeline import make_pipeline
from scaling import Scaled
rows = np.arange(8.0).reshape(-1, 2)
model = make_pipeline(Scaled(), LinearRegression()).fit(rows, rows[:, 0] * 3)
penstock.save_model(model, sys.argv[1], rows)
class_made = __import__('own').Doubled()
penstock.save_model(class_made, sys.argv[2], rows)
"""
OWN = """
import shapes.factor
class Doubled:
    def predict(self, rows):
        return rows[:, 0] * shapes.factor.FACTOR
"""


def train(folder: Path, factor: float) -> tuple[Path, Path]:
    """Save a pipeline and an own class from a script with modules and a package beside it."""
    (folder / "shapes").mkdir(parents=True)
    for name, text in {
        "scaling.py": SCALING,
        "own.py": OWN,
        "train.py": TRAIN,
        "unused.py": "raise RuntimeError('not part of the model')",
        "shapes/__init__.py": "",
        "shapes/factor.py": f"FACTOR = {factor}\n",
        "shapes/late.py": "def offset():\n    return 0.0\n",
    }.items():
        (folder / name).write_text(text)
    subprocess.run([sys.executable, "train.py", "pipeline", "own"], cwd=folder, check=True)
    return folder / "pipeline", folder / "own"


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> dict[float, tuple[Path, Path]]:
    """Return two versions, by the factor in their modules."""
    return {factor: train(tmp_path_factory.mktemp("code") / "project", factor) for factor in (2.0, 5.0)}


def test_a_folder_holds_the_sources_that_the_model_needs_and_no_others(
    trained: dict[float, tuple[Path, Path]],
) -> None:
    pipeline, own = trained[2.0]
    sources = {path.relative_to(pipeline / "code").as_posix() for path in pipeline.rglob("*.py")}
    assert sources == {"scaling.py", "shapes/__init__.py", "shapes/factor.py", "shapes/late.py"}
    assert {path.name for path in own.rglob("*.py")} == {"own.py", "__init__.py", "factor.py"}


def test_versions_with_different_sources_of_one_name_are_each_read_with_their_own(
    trained: dict[float, tuple[Path, Path]],
) -> None:
    rows = np.array([[1.0, 2.0]])
    for kind in (0, 1):
        predictors = {
            factor: load_model(files_of_folder(folders[kind], "m", 1, "d"))
            for factor, folders in trained.items()
        }
        before = {factor: digest_folder(folders[kind]) for factor, folders in trained.items()}
        for factor, predictor in predictors.items():
            answer = predictor.predict({"input-0": rows}, 1)["prediction"][0]
            assert answer == pytest.approx(3.0 if kind == 0 else factor), (kind, factor)
            assert digest_folder(trained[factor][kind]) == before[factor]
        assert not list(trained[2.0][kind].rglob("__pycache__"))


def test_code_of_a_folder_runs_only_where_the_caller_vouches_for_it(
    trained: dict[float, tuple[Path, Path]],
) -> None:
    for name in ("scaling", "shapes", "own"):
        for module in [one for one in sys.modules if one.partition(".")[0] == name]:
            del sys.modules[module]
    with pytest.raises(Refused, match="runs code of its own"):
        load_folder(trained[2.0][0], "m", Trust(is_registered=True))
    assert load_folder(trained[2.0][0], "m", Trust(is_registered=True, pickle=True)).predict(np.ones((1, 2)))


def test_mlflow_reads_what_it_is_given(trained: dict[float, tuple[Path, Path]]) -> None:
    script = (
        "import json, sys, numpy, mlflow.sklearn, mlflow.pyfunc\n"
        "types = ['scaling.Scaled']\n"
        "rows = numpy.array([[1.0, 2.0]])\n"
        "print(json.dumps([list(mlflow.sklearn.load_model(sys.argv[1]).predict(rows)),"
        " list(mlflow.pyfunc.load_model(sys.argv[1]).predict(rows))]))\n"
    )
    answered = subprocess.run(
        [mlflow_python(), "-c", script, str(trained[2.0][0])],
        check=True,
        capture_output=True,
        text=True,
        cwd="/",
    )
    sklearn, pyfunc = json.loads(answered.stdout.splitlines()[-1])
    assert sklearn == pyfunc == [pytest.approx(3.0)]


def test_a_module_with_a_name_of_pythons_own_is_refused(tmp_path: Path) -> None:
    (tmp_path / "code").mkdir()
    (tmp_path / "code" / "random.py").write_text("def random():\n    return 4\n")
    with pytest.raises(Invalid, match="'random'"), own_code(tmp_path / "code"):
        pass
    import random

    assert random.__file__ != str(tmp_path / "code" / "random.py")


def test_what_is_installed_is_not_kept(tmp_path: Path) -> None:
    assert keep_sources(["sklearn.linear_model", "json", "nosuch"], tmp_path / "code") == []
    assert not (tmp_path / "code").exists()


def test_an_import_that_hangs_keeps_no_other_model_waiting_and_is_undone_when_it_ends(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(import_turns, "IMPORT_S", 0.2)
    gate = tmp_path / "gate"
    os.mkfifo(gate)
    folders = {name: tmp_path / name for name in ("hanging", "quick", "alike")}
    for folder in folders.values():
        folder.mkdir()
    (folders["hanging"] / "stalled.py").write_text(
        f"with open({str(gate)!r}) as gate:\n    gate.read()\nVALUE = 1\n"
    )
    (folders["quick"] / "prompt.py").write_text("VALUE = 2\n")
    (folders["alike"] / "stalled.py").write_text("VALUE = 3\n")
    before = list(sys.path), sys.dont_write_bytecode

    def read(name: str, module: str) -> int:
        with own_code(folders[name], [module]):
            return int(sys.modules[module].VALUE)

    hanging = begin("test-hanging", lambda: read("hanging", "stalled"))
    wait_until(lambda: "stalled" in sys.modules)
    assert read("quick", "prompt") == 2, "it waited for its turn, and no longer"
    with pytest.raises(Unavailable, match="import of stalled has not ended"):
        read("alike", "stalled")
    gate.write_text("go on")
    with pytest.raises(Invalid, match=r"\(stalled\) took longer than"):
        hanging.result()
    assert "stalled" not in sys.modules
    assert read("alike", "stalled") == 3
    assert (sys.path, sys.dont_write_bytecode) == before
    for name in ("stalled", "prompt"):
        del sys.modules[name]
