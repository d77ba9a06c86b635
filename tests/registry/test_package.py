"""A model folder is known by its bytes: equal models are equal, a changed byte is found."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import mlflow
import numpy as np
import pandas as pd
import polars as pl
import pytest
from sklearn.linear_model import LinearRegression, LogisticRegression

from penstock.base.errors import Conflict, Corrupt, Invalid, NotFound
from penstock.flows.models.folders import files_of_folder
from penstock.records.signature import Column
from penstock.registry.flavours import save_model
from penstock.registry.package import describe_model, digest_manifest, scan_model, verify_model
from penstock.serving.loaders import load_model
from serving.own_models import Ages

FRAME = pl.DataFrame({"a": [1.0, 2.0, 3.0, 4.0], "b": [1, 0, 1, 0]})


def fitted() -> LogisticRegression:
    return LogisticRegression().fit(FRAME, [0, 0, 1, 1])


def test_the_signature_says_what_goes_in_and_out(tmp_path: Path) -> None:
    save_model(fitted(), tmp_path / "m", FRAME, optional=["a"])
    signature = describe_model(tmp_path / "m").signature
    assert signature.inputs == (Column("a", "FP64", False), Column("b", "INT64"))
    assert [column.name for column in signature.outputs] == ["prediction", "probability"]


def test_the_same_model_saved_by_another_process_has_the_same_digest(tmp_path: Path) -> None:
    code = (
        "import sys, polars as pl; junk = [object() for _ in range(int(sys.argv[2]))]\n"
        "from sklearn.ensemble import HistGradientBoostingClassifier as H\n"
        "import penstock\n"
        "x = pl.DataFrame({'a': [float(i % 7) for i in range(200)]}); y = [i % 7 > 3 for i in range(200)]\n"
        "penstock.save_model(H(max_iter=5, random_state=0).fit(x, y), sys.argv[1], x)\n"
    )
    digests = set()
    for number in (1, 5000):
        folder = tmp_path / str(number)
        subprocess.run([sys.executable, "-c", code, str(folder), str(number)], check=True)
        digests.add(digest_manifest(scan_model(folder)))
    assert len(digests) == 1


@pytest.mark.parametrize("damage", ["change", "remove", "add"])
def test_damage_is_found(tmp_path: Path, damage: str) -> None:
    folder = tmp_path / "m"
    save_model(fitted(), folder, FRAME)
    manifest = scan_model(folder)
    verify_model(folder, manifest)
    if damage == "change":
        data = bytearray((folder / "model.skops").read_bytes())
        data[len(data) // 2] ^= 1
        (folder / "model.skops").write_bytes(data)
    elif damage == "remove":
        (folder / "model.skops").unlink()
    else:
        (folder / "extra.py").write_text("x")
    with pytest.raises(Corrupt, match="is not the registered one"):
        verify_model(folder, manifest)


def test_a_folder_that_is_no_model_is_never_overwritten(tmp_path: Path) -> None:
    (tmp_path / "precious").write_text("x")
    with pytest.raises(Conflict):
        save_model(fitted(), tmp_path, FRAME)
    assert (tmp_path / "precious").exists()


def test_rows_the_model_cannot_score_are_refused(tmp_path: Path) -> None:
    with pytest.raises(Invalid, match="cannot score"):
        save_model(fitted(), tmp_path / "m", FRAME.select("a"))


@pytest.mark.parametrize(
    "text", ["", "a: [", "flavors: {}", "flavors: {sklearn: {}}\nsignature: {inputs: 'x'}"]
)
def test_a_broken_description_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "MLmodel").write_text(text)
    with pytest.raises(Invalid, match="cannot be used"):
        describe_model(tmp_path)


def test_a_missing_model_is_named(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="not a model folder"):
        scan_model(tmp_path / "none")


def test_columns_of_a_frame_may_have_the_names_that_arrays_get(tmp_path: Path) -> None:
    frame = pd.DataFrame({"x": [1.0, 2, 3, 5], "input-0": [4.0, 5, 7, 1]})
    for number, names in enumerate((["x", "input-0"], ["input-0", "x"], ["input-0"])):
        rows = frame[names]
        model = LinearRegression().fit(rows, [1.0, 2, 3, 9])
        folder = tmp_path / f"{number}"
        save_model(model, folder, inputs=rows)
        assert [one.name for one in describe_model(folder).signature.inputs] == names
        predictor = load_model(files_of_folder(folder, "m", 1, "d"))
        columns = {name: rows[name].to_numpy() for name in names}
        assert np.allclose(predictor.predict(columns, 4)["prediction"], model.predict(rows))
        assert np.allclose(mlflow.pyfunc.load_model(str(folder)).predict(rows), model.predict(rows))
    tensors = {"age": np.ones((2, 2)), "input-0": np.ones((2, 2))}
    save_model(Ages(), tmp_path / "tensors", inputs=tensors)
    assert [one.name for one in describe_model(tmp_path / "tensors").signature.inputs] == list(tensors)
    read = mlflow.models.Model.load(str(tmp_path / "tensors")).signature
    assert read.inputs.input_names() == list(tensors)
