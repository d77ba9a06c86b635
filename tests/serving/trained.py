"""Small real models of every library: each trained, with rows that it takes and what it answers for the first five."""

from __future__ import annotations

import pickle
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl

import penstock
import sharing
from serving.own_models import Doubling

FRAME = pl.DataFrame({"age": [31, 60, 44, 25], "plan": ["a", "b", "a", "b"], "left": [0, 1, 1, 0]})
Case = Callable[[], tuple[Any, Any, dict[str, Any]]]


def matrix(count: int = 60) -> np.ndarray:
    """Return random numbers, the same each time."""
    return np.random.default_rng(0).normal(size=(count, 4))


X = matrix()
PAIR = (X[:, 0] > 0).astype(int)
THREE = np.array(["a", "b", "c"])[np.argmax(X[:, :3], axis=1)]


def _pandas() -> pd.DataFrame:
    frame = pd.DataFrame(X, columns=list("abcd"))
    return frame.assign(kind=pd.Categorical(THREE))


def _each(probabilities: np.ndarray) -> dict[str, np.ndarray]:
    return {f"probability_{one}": probabilities[:, index] for index, one in enumerate("abc")}


def _sklearn_matrix() -> tuple[Any, Any, dict[str, Any]]:
    from sklearn.linear_model import LogisticRegression

    model = LogisticRegression().fit(X, PAIR)
    return model, X, {"prediction": model.predict(X[:5]), "probability": model.predict_proba(X[:5])[:, 1]}


def _sklearn_classes() -> tuple[Any, Any, dict[str, Any]]:
    from sklearn.ensemble import RandomForestClassifier

    frame = pl.DataFrame(X, schema=list("abcd"))
    model = RandomForestClassifier(5, random_state=0).fit(frame, THREE)
    few = frame.head(5)
    return model, frame, {"prediction": model.predict(few), **_each(model.predict_proba(few))}


def _sklearn_several() -> tuple[Any, Any, dict[str, Any]]:
    from sklearn.linear_model import LinearRegression

    model = LinearRegression().fit(X, X[:, :2] * 3)
    return model, X.tolist(), {"prediction": model.predict(X[:5])}


def _sklearn_text() -> tuple[Any, Any, dict[str, Any]]:
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline

    texts = ["good wine", "bad wine", "good beer", "bad beer", "good tea"]
    model = make_pipeline(TfidfVectorizer(), LogisticRegression()).fit(texts, [1, 0, 1, 0, 1])
    expected = {"prediction": model.predict(texts), "probability": model.predict_proba(texts)[:, 1]}
    return model, texts, expected


def _xgboost_booster() -> tuple[Any, Any, dict[str, Any]]:
    import xgboost

    model = xgboost.train({"max_depth": 2}, xgboost.DMatrix(X, label=PAIR), 3)
    return model, X, {"prediction": model.predict(xgboost.DMatrix(X[:5]))}


def _xgboost_classes() -> tuple[Any, Any, dict[str, Any]]:
    import xgboost

    frame = _pandas()
    model = xgboost.XGBClassifier(n_estimators=3, enable_categorical=True).fit(frame, PAIR)
    few = frame.head(5)
    return model, frame, {"prediction": model.predict(few), "probability": model.predict_proba(few)[:, 1]}


def _lightgbm_booster() -> tuple[Any, Any, dict[str, Any]]:
    import lightgbm

    model = lightgbm.train({"verbose": -1}, lightgbm.Dataset(X, label=X[:, 1]), 3)
    return model, X, {"prediction": model.predict(X[:5])}


def _lightgbm_classes() -> tuple[Any, Any, dict[str, Any]]:
    import lightgbm

    frame = _pandas()
    model = lightgbm.LGBMClassifier(n_estimators=3, verbose=-1).fit(frame, THREE)
    few = frame.head(5)
    return model, frame, {"prediction": model.predict(few), **_each(model.predict_proba(few))}


def _catboost_classes() -> tuple[Any, Any, dict[str, Any]]:
    import catboost

    frame = pl.DataFrame(X, schema=list("abcd"))
    options = {"iterations": 3, "verbose": 0, "allow_writing_files": False}
    model = catboost.CatBoostClassifier(**options).fit(pd.DataFrame(X, columns=list("abcd")), PAIR)
    return model, frame, {"prediction": model.predict(X[:5]), "probability": model.predict_proba(X[:5])[:, 1]}


def _onnx_converted() -> tuple[Any, Any, dict[str, Any]]:
    from skl2onnx import to_onnx

    model, _, expected = _sklearn_matrix()
    graph = to_onnx(model, X[:1].astype(np.float32), options={"zipmap": False})
    probability = expected["probability"].astype(np.float32)
    return graph, X.astype(np.float32), {**expected, "probability": probability}


def _torch_net() -> Any:
    import torch

    torch.manual_seed(0)
    return torch.nn.Sequential(torch.nn.Linear(4, 3), torch.nn.ReLU(), torch.nn.Linear(3, 1)).eval()


def _torch_script() -> tuple[Any, Any, dict[str, Any]]:
    import torch

    net, rows = _torch_net(), X.astype(np.float32)
    expected = net(torch.from_numpy(rows[:5])).detach().numpy()[:, 0]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        made = torch.jit.trace(net, torch.from_numpy(rows[:5]))
    return made, rows, {"prediction": expected}


def _torch_exported() -> tuple[Any, Any, dict[str, Any]]:
    import torch

    net, rows = _torch_net(), X.astype(np.float32)
    expected = net(torch.from_numpy(rows[:5])).detach().numpy()[:, 0]
    batch = {0: torch.export.Dim("batch")}
    program = torch.export.export(net, (torch.from_numpy(rows[:5]),), dynamic_shapes=(batch,))
    return program, rows, {"prediction": expected}


def _pyfunc() -> tuple[Any, Any, dict[str, Any]]:
    import mlflow.pyfunc

    class Sums(mlflow.pyfunc.PythonModel):
        def predict(self, context: Any, model_input: Any, params: Any = None) -> Any:
            return np.asarray(model_input).sum(axis=1)

    return Sums(), X, {"prediction": X[:5].sum(axis=1)}


def _python_class() -> tuple[Any, Any, dict[str, Any]]:
    return Doubling(), X, {"twice": X[:5] * 2, "first": X[:5, 0]}


def _chain() -> tuple[Any, Any, dict[str, Any]]:
    from sklearn.linear_model import LogisticRegression
    from sklearn.preprocessing import StandardScaler

    scaler = StandardScaler().fit(X)
    model = LogisticRegression().fit(scaler.transform(X), PAIR)
    few = scaler.transform(X[:5])
    expected = {"prediction": model.predict(few), "probability": model.predict_proba(few)[:, 1]}
    return penstock.Chain(scaler, model), X, expected


def _vote() -> tuple[Any, Any, dict[str, Any]]:
    from sklearn.linear_model import LogisticRegression
    from sklearn.naive_bayes import GaussianNB
    from sklearn.tree import DecisionTreeClassifier

    models = [
        kind.fit(X, PAIR)
        for kind in (LogisticRegression(), GaussianNB(), DecisionTreeClassifier(max_depth=1, random_state=0))
    ]
    votes = np.array([model.predict(X[:5]) for model in models]).sum(axis=0)
    probability = np.mean([model.predict_proba(X[:5])[:, 1] for model in models], axis=0)
    expected = {"prediction": (votes > 1).astype(int), "probability": probability}
    return penstock.Vote(*models), X, expected


# the first word is the package that has to be there
CASES: list[tuple[str, Case]] = [
    ("sklearn matrix", _sklearn_matrix),
    ("sklearn classes", _sklearn_classes),
    ("sklearn several", _sklearn_several),
    ("sklearn text", _sklearn_text),
    ("xgboost booster", _xgboost_booster),
    ("xgboost classes", _xgboost_classes),
    ("lightgbm booster", _lightgbm_booster),
    ("lightgbm classes", _lightgbm_classes),
    ("catboost classes", _catboost_classes),
    ("skl2onnx converted", _onnx_converted),
    ("torch script", _torch_script),
    ("torch exported", _torch_exported),
    ("mlflow function", _pyfunc),
    ("penstock class", _python_class),
    ("penstock chain", _chain),
    ("penstock vote", _vote),
]


def saved(name: str) -> tuple[Path, dict[str, Any]]:
    """Return the folder of a case's model, and what its library answers for the first five rows.

    One process of the run trains it; whoever looks at the answers does so in the library's own types.
    """

    def train(place: Path) -> None:
        model, rows, expected = dict(CASES)[name]()
        place.mkdir(exist_ok=True)
        penstock.save_model(model, place / "model", inputs=rows)
        (place / "expected.pkl").write_bytes(pickle.dumps(expected))

    made = sharing.made(f"flavour-{name.replace(' ', '-')}", train)
    return made / "model", pickle.loads((made / "expected.pkl").read_bytes())
