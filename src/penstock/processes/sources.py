"""What a serve process asks of whoever keeps models: their files, their references, and who may be asked for."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

import numpy as np
import numpy.typing as npt

from penstock.serving.loaders.model import ModelFiles


class ModelSource(Protocol):
    """Where the files of model versions come from."""

    def fetch(self, model: str, version: int) -> ModelFiles:
        """Return a version's files on the local disk.

        Raises:
            PenstockError: there is no such version, or it cannot be had now.
        """
        ...

    def admit(self, model: str, version: int, new: tuple[str, int] | None) -> str:
        """Let a version answer; return what there is to tell of it, empty for nothing.

        Args:
            new: the endpoint and revision that it would begin to answer in: that it does so elsewhere already says nothing.

        Raises:
            NotFound: there is no such version.
            Refused: it may not, and has never answered.
            Unavailable: that cannot be told now.
        """
        ...

    def edges(self, model: str, version: int) -> Mapping[str, npt.NDArray[np.float64]]:
        """Return the edges of a version's reference, at which live values are counted; empty without one.

        Raises:
            PenstockError: the reference cannot be had now.
        """
        ...

    def allow(self, model: str, version: int) -> None:
        """Make sure that a version may be asked for by number although no revision serves it.

        Raises:
            NotFound: there is no such version.
            Refused: it may not.
            Unavailable: that cannot be told now.
        """
        ...
