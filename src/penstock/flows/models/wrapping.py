"""A model that is one file, as a folder that says what it is: its flavour, what it takes and what it gives.

What it takes is told by the model itself. The same file gives the same folder.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from penstock.base.digest import digest_file
from penstock.base.errors import Invalid, PenstockError
from penstock.base.replacing import appearing
from penstock.records.flavours import import_flavour
from penstock.records.signature import Signature
from penstock.registry.flavours import describe
from penstock.registry.package import MODEL_FILE

FLAVOUR_OF_SUFFIX = {
    ".skops": "sklearn",
    ".pkl": "sklearn",
    ".pickle": "sklearn",
    ".joblib": "sklearn",
    ".ubj": "xgboost",
    ".json": "xgboost",
    ".lgb": "lightgbm",
    ".txt": "lightgbm",
    ".cb": "catboost",
    ".cbm": "catboost",
    ".onnx": "onnx",
}


def wrap_file(parent: Path, file: Path) -> Path:
    """Return the folder below `parent` that holds a model's file with its description; reading the file may run code.

    Raises:
        Invalid: no flavour has such files, it does not load, or the model does not say what it takes.
        Unavailable: the library that it needs is not installed.
    """
    name = FLAVOUR_OF_SUFFIX.get(file.suffix)
    if name is None:
        raise Invalid(
            f"{file.name} is a file, and its ending names no library of models",
            code="registry.model_is_a_file",
            hint=f"write a folder with penstock.save_model, or a file with one of {', '.join(FLAVOUR_OF_SUFFIX)}",
            path=str(file),
        )
    flavour: Any = import_flavour(name)
    folder = parent / digest_file(file)
    if (folder / MODEL_FILE).is_file():
        return folder
    with appearing(folder, force=True) as made:
        made.mkdir(parents=True)
        shutil.copyfile(file, made / file.name)
        try:
            options = flavour.file_options(made / file.name)
            signature = flavour.try_folder(made, options, Signature((), ()), "numpy", None)
        except Exception as error:
            message = (
                error.message
                if isinstance(error, PenstockError)
                else f"{type(error).__name__}: {_first_line(error)}"
            )
            raise Invalid(
                f"{file.name} cannot be used as a model of {name}: {message}",
                code="registry.bad_model_file",
                hint="write it with penstock.save_model(model, folder, inputs=rows), which knows what it takes",
                path=str(file),
            ) from error
        has_names = not any(column.is_tensor for column in signature.inputs)
        describe(made, flavour, options, signature, "polars" if has_names else "numpy", None)
    return folder


def _first_line(error: Exception) -> str:
    """Return what an error says before the stack of the library's own code, which XGBoost adds."""
    return next((line.strip() for line in str(error).splitlines() if line.strip()), "")
