"""A folder that nobody registered: ordinary estimators load, and nothing that reads files or runs programs is made of it."""

from __future__ import annotations

import os
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import make_column_selector, make_column_transformer
from sklearn.datasets import load_svmlight_file
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, KBinsDiscretizer, StandardScaler

import penstock
from penstock.base.errors import Refused
from penstock.records.signature import Signature
from penstock.registry.package import write_description
from penstock.serving.loaders.quick_skops import import_skops

X = pd.DataFrame(np.random.default_rng(0).normal(size=(60, 2)), columns=["a", "b"])
Y = (X["a"] > 0).astype(int)
ORDINARY: dict[str, Any] = {
    "calibrated": CalibratedClassifierCV(HistGradientBoostingClassifier(max_iter=2), cv=2),
    "bins": make_pipeline(
        KBinsDiscretizer(n_bins=3, encode="ordinal", dtype=np.float64), LogisticRegression()
    ),
    "from dtype": HistGradientBoostingClassifier(max_iter=2, categorical_features="from_dtype"),
    "selector": make_pipeline(
        make_column_transformer((StandardScaler(), make_column_selector(dtype_include="number"))),
        LogisticRegression(),
    ),
}


def forge(folder: Path, function: Any) -> Path:
    """Write a folder as someone would who wants the function called."""
    folder.mkdir()
    model = FunctionTransformer(function)
    skops = import_skops()
    skops.dump(model, folder / "model.skops")
    held = skops.get_untrusted_types(file=folder / "model.skops")
    options = {
        "pickled_model": "model.skops",
        "serialization_format": "skops",
        "skops_trusted_types": held,
        "code": None,
    }
    write_description(folder, {"sklearn": options}, Signature((), ()))
    return folder


def test_ordinary_estimators_load_from_the_folder_they_were_saved_to(tmp_path: Path) -> None:
    given = X.assign(kind=pd.Categorical(np.where(X["b"] > 0, "x", "y")))
    for name, model in ORDINARY.items():
        rows = given if name == "from dtype" else X
        penstock.save_model(model.fit(rows, Y), tmp_path / name, inputs=rows)
        for allows in (False, True):
            loaded = penstock.load_model(tmp_path / name, allow_pickle=allows)
            assert loaded.predict(rows).tolist() == model.predict(rows).tolist(), name


def test_functions_that_read_files_or_run_programs_are_refused_alone_and_within_a_partial(
    tmp_path: Path,
) -> None:
    for at, function in enumerate((os.system, np.load, load_svmlight_file)):
        for kind, given in (("alone", function), ("partial", partial(function, "/etc/passwd"))):
            folder = forge(tmp_path / f"{kind}-{at}", given)
            with pytest.raises(Refused, match="types that nobody vouched for") as caught:
                penstock.load_model(folder)
            assert "trusted=[" in str(caught.value.hint)


def test_who_lets_a_pickle_run_has_the_libraries_functions_too_and_nothing_of_other_packages(
    tmp_path: Path,
) -> None:
    for at, function in enumerate((np.nan_to_num, partial(np.clip, a_min=0.0, a_max=1.0))):
        folder = forge(tmp_path / str(at), function)
        with pytest.raises(Refused):
            penstock.load_model(folder)
        loaded = penstock.load_model(folder, allow_pickle=True)
        assert loaded.transform([[0.5]]) == [[0.5]]
    with pytest.raises(Refused, match="system"):
        penstock.load_model(forge(tmp_path / "system", os.system), allow_pickle=True)
