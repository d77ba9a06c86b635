"""MLflow's python_function flavour: any folder that MLflow's client can load, asked through `mlflow.pyfunc`.

It needs MLflow, and the libraries that the model needs. Such a folder may run code of its own when it is read.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import mlflow.pyfunc

from penstock.serving.loaders.answers import as_answer
from penstock.serving.loaders.fed import Answer
from penstock.serving.loaders.flavour import Flavour, Saving
from penstock.serving.loaders.model import ModelFiles, Predictor


class PyfuncFlavour(Flavour):
    """What a model returns is `prediction`, or the columns of its table, or the entries of its mapping."""

    name = "python_function"

    def takes(self, model: Any) -> bool:
        """Whether it is a model of `mlflow.pyfunc`."""
        return isinstance(model, mlflow.pyfunc.PythonModel)

    def save(self, model: Any, folder: Path, saving: Saving) -> dict[str, Any]:
        """Let MLflow write it."""
        mlflow.pyfunc.save_model(str(folder / "written"), python_model=model, pip_requirements=[])
        for path in (folder / "written").iterdir():
            path.replace(folder / path.name)
        (folder / "written").rmdir()
        options = mlflow.models.Model.load(str(folder)).flavors[self.name]
        return dict(options)

    def runs_code(self, options: Mapping[str, Any]) -> bool:
        """A function of Python is code."""
        return True

    def read(self, folder: Path, options: Mapping[str, Any], trusted: Sequence[str] | None = None) -> Any:
        """Load it as MLflow does."""
        return mlflow.pyfunc.load_model(str(folder))

    def takes_matrix(self, model: Any) -> bool:
        """MLflow passes frames on as they are."""
        return False

    def open(self, model: Any, files: ModelFiles) -> Predictor:
        """Return the predictor; MLflow checks frames of pandas, arrays and mappings, so frames are pandas's."""
        rows = "numpy" if files.rows == "numpy" else "pandas"
        changed = {name: getattr(files, name) for name in files.__struct_fields__}
        return super().open(model, ModelFiles(**{**changed, "rows": rows}))

    def answer(self, model: Any, rows: Any, wanted: frozenset[str] | None) -> Answer:
        """Ask it."""
        return _answer(model.predict(rows))

    def answer_with(
        self, model: Any, rows: Any, wanted: frozenset[str] | None, params: Mapping[str, Any]
    ) -> Answer:
        """Ask it; what `params` leaves out has the value that the signature says."""
        return _answer(model.predict(rows, params=dict(params)))

    def parameters_of(self, model: Any) -> Mapping[str, Callable[[Any], Any]]:
        """Return those of the model's signature, checked as MLflow does."""
        schema = model.metadata.get_params_schema()
        return {} if schema is None else {one.name: partial(_value_of, one) for one in schema.params}


def _value_of(spec: Any, value: Any) -> Any:
    if value is None and spec.default is not None:
        raise ValueError("it takes no null; what is left out has its default")
    try:
        return type(spec).validate_param_spec(value, spec)
    except mlflow.exceptions.MlflowException as error:
        raise ValueError(error.message) from error


def _answer(given: Any) -> Answer:
    if hasattr(given, "columns") and hasattr(given, "iloc") and len(given.columns) == 1:
        return {"prediction": given.iloc[:, 0].to_numpy()}
    return as_answer(given)


FLAVOUR = PyfuncFlavour()
