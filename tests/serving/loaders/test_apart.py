"""A linear model is served by what a child hands over of it: equal to the library's, and the library is not imported."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler, StandardScaler
from sklearn.svm import SVC

from penstock.records.signature import Column, Signature
from penstock.serving.loaders import load_model
from penstock.serving.loaders.compiled.apart import may_be_numbers
from penstock.serving.loaders.compiled.linear import Logistic, Scaled, logistic, softmax
from penstock.serving.loaders.compiled.portable import from_bytes, to_bytes
from penstock.serving.loaders.model import ModelFiles
from penstock.serving.loaders.quick_skops import import_skops

RNG = np.random.default_rng(3)
ROWS = RNG.normal(size=(200, 4))
CLASSES = np.array(["low", "middle", "high"])[np.digitize(ROWS[:, 0], [-0.5, 0.5])]
SERVING = """
import json, sys
import msgspec, numpy as np
from pathlib import Path
from penstock.serving.loaders.compiled.apart import load_lightly
from penstock.serving.loaders.model import ModelFiles

told = []
for one in json.loads(sys.stdin.read()):
    files = msgspec.convert(one, ModelFiles, dec_hook=lambda kind, value: kind(value))
    predictor = load_lightly(files)
    rows = np.array(one["example"]["x"])
    answer = predictor.predict({"x": rows}, len(rows))
    told.append([{name: values.tolist() for name, values in answer.items()}, "sklearn" in sys.modules])
print(json.dumps(told))
"""


def saved(folder: Path, model: Any) -> ModelFiles:
    folder.mkdir()
    import_skops().dump(model, folder / "model.skops")
    return ModelFiles(
        path=folder,
        name=folder.name,
        version=1,
        digest=f"digest of {folder.name}",
        flavour="sklearn",
        options={"serialization_format": "skops", "pickled_model": "model.skops", "skops_trusted_types": []},
        signature=Signature((Column("x", "FP64", shape=(-1, 4)),), ()),
        example={"x": ROWS[:5].tolist()},
    )


def as_json(files: ModelFiles) -> dict[str, Any]:
    told: dict[str, Any] = msgspec.to_builtins({**msgspec.structs.asdict(files), "path": str(files.path)})
    return told


def test_linear_models_answer_as_the_library_in_a_process_that_does_not_import_it(tmp_path: Path) -> None:
    models: dict[str, Any] = {
        "logistic": LogisticRegression().fit(ROWS, CLASSES == "low"),
        "scaled": make_pipeline(StandardScaler(), MinMaxScaler(clip=True), LogisticRegression()).fit(
            ROWS, CLASSES
        ),
        "linear": LinearRegression().fit(ROWS, ROWS[:, 1] * 3),
        "of-vectors": SVC().fit(ROWS, CLASSES),  # last: it needs the library
    }
    every = [saved(tmp_path / name, model) for name, model in models.items()]
    asked = json.dumps([as_json(files) for files in every])
    done = subprocess.run(
        [sys.executable, "-c", SERVING], input=asked, capture_output=True, text=True, check=True
    )
    for files, (answer, has_library) in zip(every, json.loads(done.stdout), strict=True):
        wanted = load_model(files).predict({"x": ROWS[:5]}, 5)
        assert answer.keys() == wanted.keys(), files.name
        for name, values in wanted.items():
            if values.dtype.kind == "f":
                np.testing.assert_allclose(answer[name], values, rtol=1e-9, err_msg=files.name)
            else:
                assert answer[name] == values.tolist(), files.name
        assert has_library == (files.name == "of-vectors"), files.name


def test_a_child_is_asked_only_of_what_may_be_numbers(tmp_path: Path, monkeypatch: Any) -> None:
    files = saved(tmp_path / "model", LogisticRegression().fit(ROWS, CLASSES))
    assert not may_be_numbers(files), "the library is in memory"
    monkeypatch.delitem(sys.modules, "sklearn")
    assert may_be_numbers(files)
    change = msgspec.structs.replace
    column = files.signature.inputs[0]
    for reason, other in {
        "it runs code": change(files, options={**files.options, "serialization_format": "pickle"}),
        "it brings code": change(files, options={**files.options, "code": "code"}),
        "a value may be missing": change(files, signature=Signature((change(column, required=False),), ())),
        "text": change(files, signature=Signature((change(column, datatype="BYTES"),), ())),
        "no inputs are known": change(files, signature=Signature((), ())),
        "another library": change(files, flavour="onnx"),
        "no file": change(files, path=tmp_path),
    }.items():
        assert not may_be_numbers(other), reason


def test_numbers_are_handed_over_whole_and_nothing_else_is() -> None:
    one = Logistic(ROWS[:, :2], np.zeros(2), np.array(["a", "bb"]))
    found = from_bytes(to_bytes(one), Logistic)
    for name in ("weights", "intercept", "classes"):
        np.testing.assert_array_equal(getattr(found, name), getattr(one, name))
        assert getattr(found, name).dtype == getattr(one, name).dtype
    assert from_bytes(to_bytes(Scaled(None, None)), Scaled) == Scaled(None, None)
    for strange in (np.array([print], dtype=object), print):
        try:
            to_bytes(Logistic(strange, np.zeros(2), np.zeros(2)))  # type: ignore[arg-type]
        except TypeError:
            continue
        raise AssertionError(strange)


def test_probabilities_neither_overflow_nor_lose_their_sum() -> None:
    far = np.array([-1e308, -745.0, -1e-300, 0.0, 3.0, 745.0, 1e308])
    with np.errstate(all="raise", under="ignore"):
        np.testing.assert_allclose(logistic(far) + logistic(-far), 1.0)
        np.testing.assert_allclose(softmax(np.array([[1e308, 0.0, -1e3], [1.0, 1.0, 1.0]])).sum(axis=1), 1.0)
