"""Every library's models: what Penstock answers for a saved one is what the library itself answers."""

from __future__ import annotations

import subprocess
import sys
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest

import penstock
from penstock.base.errors import Conflict, Invalid, Refused, Unavailable
from penstock.flows.models.folders import files_of_folder
from penstock.flows.models.loading import Trust, load_folder
from penstock.records import flavours
from penstock.serving.loaders import load_model
from penstock.serving.loaders.compiled.proved import ShortcutPredictor
from penstock.serving.loaders.fed import FedPredictor, example_columns, row_count_of
from penstock.serving.loaders.model import Matrix, Predictor
from penstock.serving.repository import LoadedModel, prove
from serving.own_models import Custom, Doubling
from serving.trained import CASES, FRAME, matrix, saved

NAMES = [name for name, _ in CASES]


def served(folder: Path) -> tuple[Predictor, dict[str, Any], int]:
    """Return the predictor of a folder, and its example with the number of rows."""
    files = files_of_folder(folder, "m", 1, "d")
    predictor = load_model(files)
    prove(LoadedModel(files, predictor), files)
    columns = example_columns(predictor.signature, files.example)
    assert columns is not None
    return predictor, dict(columns), row_count_of(predictor.signature, columns)


@pytest.mark.parametrize("name", NAMES)
def test_a_saved_model_answers_as_its_library_does(name: str) -> None:
    pytest.importorskip(name.partition(" ")[0])
    folder, expected = saved(name)
    predictor, columns, row_count = served(folder)
    outputs = predictor.predict(columns, row_count)
    assert list(outputs) == list(expected)
    for output in predictor.signature.outputs:
        given, library = outputs[output.name], np.asarray(expected[output.name])
        assert given.shape == library.shape
        if library.dtype.kind == "f":
            assert np.allclose(given, library, rtol=1e-5 if library.dtype.itemsize == 4 else 1e-12)
        else:
            assert given.tolist() == library.tolist()
    loaded = load_folder(folder, "m", Trust(is_registered=True, pickle=True))
    assert any(hasattr(loaded, verb) for verb in ("predict", "run", "transform", "forward", "module"))


def test_what_mlflow_wrote_without_names_is_served_with_probabilities(tmp_path: Path) -> None:
    """The folder of an ordinary `mlflow.sklearn.log_model(…, input_example=X)`, and one without any signature."""
    model, rows, expected = dict(CASES)["sklearn matrix"]()
    penstock.save_model(model, tmp_path / "m", inputs=rows)
    described = (tmp_path / "m" / "MLmodel").read_text()
    (tmp_path / "m" / "input_example.json").write_text(str(rows[:5].tolist()))
    spec = '[{"type": "tensor", "tensor-spec": {"dtype": "float64", "shape": [-1, 4]}}]'
    out = '[{"type": "tensor", "tensor-spec": {"dtype": "int64", "shape": [-1]}}]'
    before = described.partition("signature:")[0].partition("metadata:")[0]
    written = before + "mlflow_version: 3.17.2\nsaved_input_example_info: {type: ndarray}\n"
    for signature in (f"signature: {{inputs: '{spec}', outputs: '{out}', params: null}}\n", ""):
        (tmp_path / "m" / "MLmodel").write_text(written + signature)
        predictor, columns, row_count = served(tmp_path / "m")
        assert [one.name for one in predictor.signature.outputs] == ["prediction", "probability"]
        assert predictor.signature.inputs[0].shape == (-1, 4)
        if signature:
            assert np.allclose(predictor.predict(columns, row_count)["probability"], expected["probability"])


def test_a_class_of_ones_own_takes_its_source_and_what_it_learned_along(tmp_path: Path) -> None:
    penstock.save_model(Custom(factor=3.0), tmp_path / "m", inputs=matrix(5))
    code = (
        "import sys, numpy as np\nfrom pathlib import Path\n"
        "from penstock.flows.models.folders import files_of_folder\n"
        "from penstock.serving.loaders import load_model\n"
        "loaded = load_model(files_of_folder(Path(sys.argv[1]), 'm', 1, 'd'))\n"
        "print(loaded.predict({'input-0': np.ones((2, 4))}, 2)['prediction'].tolist())\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "m")], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[12.0, 12.0]"
    with pytest.raises(Refused, match="runs code of its own"):
        load_folder(tmp_path / "m", "m", Trust())
    learned = Doubling()
    learned.secret = 5
    with pytest.raises(Invalid, match="has learned secret"):
        penstock.save_model(learned, tmp_path / "n", inputs=matrix(5))

    class Local(Doubling):
        """Nobody else can import it."""

    with pytest.raises(Invalid, match="cannot be found"):
        penstock.save_model(Local(), tmp_path / "n", inputs=matrix(5))
    assert not (tmp_path / "n").exists()


def test_columns_reach_a_booster_in_its_own_order(tmp_path: Path) -> None:
    xgboost = pytest.importorskip("xgboost")
    rows = pd.DataFrame(matrix(40), columns=list("abcd"))
    model = xgboost.XGBRegressor(n_estimators=5, random_state=0).fit(rows, rows["a"] * 3)
    penstock.save_model(model, tmp_path / "m", inputs=rows[["d", "c", "b", "a"]].head())
    predictor, columns, row_count = served(tmp_path / "m")
    assert np.allclose(predictor.predict(columns, row_count)["prediction"], model.predict(rows.head()))


def test_a_model_of_frames_is_called_with_the_frames_it_was_saved_with(tmp_path: Path) -> None:
    from sklearn.linear_model import LinearRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import FunctionTransformer

    frame = FRAME.select("age").to_dict(as_series=False)
    rows = pd.DataFrame(frame)
    model = make_pipeline(FunctionTransformer(lower), LinearRegression()).fit(rows, [1.0, 2.0, 3.0, 4.0])
    penstock.save_model(model, tmp_path / "m", inputs=rows)
    predictor, columns, row_count = served(tmp_path / "m")
    assert np.allclose(predictor.predict(columns, row_count)["prediction"], model.predict(rows))
    with pytest.raises(Invalid, match="cannot score"):
        penstock.save_model(model, tmp_path / "n", inputs=pl.DataFrame(frame))


def lower(rows: Any) -> Any:
    """Call what only a frame of pandas has."""
    return rows.assign(age=rows["age"].clip(upper=50))


def test_a_flavour_of_another_package_is_found_and_one_given_twice_is_told() -> None:
    def point(name: str, target: str) -> EntryPoint:
        return EntryPoint(name, target, flavours.GROUP)

    merged = flavours.merge_entries([point("keras", "keras_penstock:FLAVOUR")])
    assert merged["keras"].target == "keras_penstock:FLAVOUR"
    assert set(flavours.OWN) < set(merged)
    same = point("xgboost", flavours.OWN["xgboost"].target)
    assert flavours.merge_entries([same]) == flavours.OWN
    for twice in (
        [point("xgboost", "other:FLAVOUR")],
        [point("keras", "one:FLAVOUR"), point("keras", "two:FLAVOUR")],
    ):
        with pytest.raises(Conflict, match="is given by"):
            flavours.merge_entries(twice)


def test_what_the_project_declares_are_the_flavours_it_has() -> None:
    import tomllib

    document = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())
    declared = document["project"]["entry-points"][flavours.GROUP]
    assert declared == {name: entry.target for name, entry in flavours.OWN.items()}


def test_a_library_that_is_missing_is_named_with_what_installs_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "penstock.serving.loaders.xgboost", None)
    monkeypatch.setitem(sys.modules, "penstock.serving.loaders.pyfunc", None)
    with pytest.raises(Unavailable, match="xgboost need") as error:
        flavours.choose_flavour(["xgboost", "python_function"])
    assert error.value.hint == "pip install 'penstock[xgboost]'"
    with pytest.raises(Invalid, match="none can be served"):
        flavours.choose_flavour(["spark"])


def test_a_common_estimator_is_asked_by_a_shortcut_that_answers_as_the_library_does(tmp_path: Path) -> None:
    """Also rows that the shortcut leaves to the library, and in whatever order and form columns come."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import FunctionTransformer, StandardScaler

    frame = pl.DataFrame(matrix(), schema=list("abcd"))
    classes = (matrix()[:, 0] > 0).astype(int)
    model = make_pipeline(StandardScaler(), LogisticRegression()).fit(frame, classes)
    penstock.save_model(model, tmp_path / "m", inputs=frame.select("d", "c", "b", "a"))
    predictor = load_model(files_of_folder(tmp_path / "m", "m", 1, "d"))
    assert isinstance(predictor, ShortcutPredictor)
    rows = frame.tail(20)
    columns = {name: rows[name].to_numpy() for name in "bdca"}
    joined = Matrix(tuple("dcba"), np.column_stack([columns[name] for name in "dcba"]))
    for given in (columns, joined):
        outputs = predictor.predict(given, 20)
        assert outputs["prediction"].tolist() == model.predict(rows).tolist()
        assert np.allclose(outputs["probability"], model.predict_proba(rows)[:, 1])
    with pytest.raises(ValueError, match="NaN"):
        predictor.predict({**columns, "a": np.full(20, np.nan)}, 20)
    own = make_pipeline(FunctionTransformer(lower), LogisticRegression())
    table = pd.DataFrame({"age": matrix()[:, 0]})
    penstock.save_model(own.fit(table, classes), tmp_path / "own", inputs=table)
    assert isinstance(load_model(files_of_folder(tmp_path / "own", "m", 1, "d")), FedPredictor)


def test_programs_of_pytorch_know_their_inputs_by_name_and_modules_are_told_to_become_programs(
    tmp_path: Path,
) -> None:
    torch = pytest.importorskip("torch")

    class Pair(torch.nn.Module):  # type: ignore[name-defined,misc]
        def forward(self, left: Any, right: Any) -> dict[str, Any]:
            return {"total": left + right, "product": left * right}

    few = torch.arange(6.0).reshape(3, 2)
    batch = {0: torch.export.Dim("batch")}
    program = torch.export.export(Pair(), (few, few + 1), dynamic_shapes={"left": batch, "right": batch})
    torch.export.save(program, tmp_path / "pair.pt2")
    left, right = few.numpy(), few.numpy() + 1
    penstock.save_model(program, tmp_path / "m", inputs={"right": right, "left": left})
    predictor, columns, row_count = served(tmp_path / "m")
    outputs = predictor.predict(columns, row_count)
    assert {name: values.tolist() for name, values in outputs.items()} == {
        "total": (left + right).tolist(),
        "product": (left * right).tolist(),
    }
    with pytest.raises(Invalid, match="cannot be read without its code"):
        penstock.save_model(Pair(), tmp_path / "n", inputs=left)
    with pytest.raises(Refused, match="runs code of its own"):
        load_folder(tmp_path / "m", "m", Trust())
    found = flavours.import_flavour("penstock_torch").inputs_of(program)
    assert [(one.name, one.datatype, one.shape) for one in found] == [
        ("left", "FP32", (-1, 2)),
        ("right", "FP32", (-1, 2)),
    ]
