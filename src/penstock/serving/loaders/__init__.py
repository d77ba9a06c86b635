"""Loaders: one model flavour a module, found here by the flavour's name, imported with its first model."""

from __future__ import annotations

import importlib

from penstock.base.errors import Invalid
from penstock.serving.loaders.model import ModelFiles, Predictor

LOADERS: dict[str, str] = {"sklearn": "penstock.serving.loaders.sklearn:load_sklearn"}
READERS: dict[str, str] = {"sklearn": "penstock.serving.loaders.sklearn"}
"""Modules with `is_pickle` and `read_estimator`: the model itself, for programs that call it directly."""

__all__ = ["LOADERS", "READERS", "ModelFiles", "Predictor", "load_model"]


def load_model(files: ModelFiles) -> Predictor:
    """Load a model version into memory.

    Raises:
        Invalid: its flavour is unknown, or it does not load (`serving.model_does_not_load`).
    """
    loader = LOADERS.get(files.flavour)
    if loader is None:
        raise Invalid(
            f"{files.name} version {files.version} has the flavour {files.flavour!r}, which cannot be served",
            code="serving.flavour_unknown",
            hint=f"known flavours: {', '.join(sorted(LOADERS))}",
        )
    module, function = loader.split(":")
    loaded: Predictor = getattr(importlib.import_module(module), function)(files)
    return loaded
