"""Loaders: one model flavour a module, found here by the flavour's name."""

from __future__ import annotations

from collections.abc import Callable

from penstock.base.errors import Invalid
from penstock.serving.loaders.model import ModelFiles, Predictor
from penstock.serving.loaders.sklearn import load_sklearn

LOADERS: dict[str, Callable[[ModelFiles], Predictor]] = {"sklearn": load_sklearn}

__all__ = ["LOADERS", "ModelFiles", "Predictor", "load_model"]


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
    return loader(files)
