"""Flavours: one library's models a module, found by the catalogue, imported with the first model of it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from penstock.base.errors import Invalid, PenstockError, described
from penstock.records.flavours import import_flavour
from penstock.serving.loaders.model import ModelFiles, Predictor

__all__ = ["ModelFiles", "Predictor", "load_model", "naming"]


def load_model(files: ModelFiles) -> Predictor:
    """Load a model version into memory.

    Raises:
        Invalid: its flavour is unknown, or it does not load (`serving.model_does_not_load`).
        Unavailable: a package that it needs is not installed.
    """
    try:
        flavour = import_flavour(files.flavour)
    except PenstockError as error:
        if error.code != "serving.flavour_unknown":
            raise
        raise Invalid(
            f"{files.name} version {files.version} has the flavour {files.flavour!r}, which cannot be served",
            code=error.code,
            hint=error.hint,
        ) from None
    try:
        loaded: Predictor = flavour.load(files)
    except (
        SystemExit,
        StopIteration,
    ) as error:  # of a script that was not written to be imported; no future takes it
        ends = (
            "its code ends the process (SystemExit: " if isinstance(error, SystemExit) else "(StopIteration: "
        )
        raise Invalid(
            f"{files.name} version {files.version} does not load: {ends}{error})",
            code="serving.model_does_not_load",
            hint="let its modules only define what they hold, and register it again",
            model=files.name,
            version=files.version,
        ) from error
    return loaded


@contextmanager
def naming(version: int) -> Iterator[None]:
    """Let whatever goes wrong say of which version, as its field `version`.

    Raises:
        PenstockError: what was raised, or of whatever else a model may raise (`serving.load_failed`).
    """
    try:
        yield
    except PenstockError as error:
        error.fields["version"] = version  # a part of a version may have named itself
        raise
    except Exception as error:
        raise PenstockError(described(error), code="serving.load_failed", version=version) from error
