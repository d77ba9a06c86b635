"""Writers of model folders, one library a file, imported with the first model of it."""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from penstock.base.errors import Unavailable

SKLEARN = "penstock.registry.flavours.sklearn"


def save_estimator(model: Any, folder: Path, inputs: Any, optional: Sequence[str] = ()) -> None:
    """Write a fitted estimator as a model folder; see `flavours.sklearn.save_model`.

    Raises:
        Invalid: it cannot score its rows, or a column's type has no counterpart.
        Unavailable: its library is not installed.
    """
    try:
        module = importlib.import_module(SKLEARN)
    except ModuleNotFoundError as error:
        raise Unavailable(
            f"writing this model needs {error.name}",
            code="registry.library_missing",
            hint="pip install 'penstock[sklearn]'",
        ) from None
    module.save_model(model, folder, inputs, optional=optional)
