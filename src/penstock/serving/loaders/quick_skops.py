"""Import skops without all that it imports to learn scikit-learn's public estimators.

skops asks `sklearn.utils.all_estimators`, which imports every package of scikit-learn on its way: its tests with
pytest, and its adapters of other array libraries with PyTorch and the like where they are installed. Only what is
public is looked at here, which gives the same list (tests/serving/loaders/test_quick_skops.py). Measured with
scikit-learn 1.9, pandas and PyTorch installed: 1 s and 177 MB in place of 9 s and 371 MB.

scikit-learn imports pandas where it is installed, and never asks for what it imported: 40 MB and 0.4 s, which a
model costs that is given no pandas frame. It is not found here; whoever needs it imports it.
"""

from __future__ import annotations

import inspect
import pkgutil
import warnings
from collections.abc import Iterator
from importlib import import_module
from operator import itemgetter
from typing import Any

from penstock.serving.loaders.unfound import Unfound

with Unfound("pandas"):
    import sklearn
    import sklearn.utils
    from sklearn.base import BaseEstimator

SKLEARN_VERSION: str = sklearn.__version__
_NOT_PUBLIC = frozenset({"tests", "externals", "setup", "conftest", "experimental", "estimator_checks"})


def public_estimators() -> list[tuple[str, type]]:
    """Return scikit-learn's public estimators by name, as `sklearn.utils.all_estimators()` does."""
    found: set[tuple[str, type]] = set()
    with warnings.catch_warnings(), Unfound("pandas"):
        warnings.simplefilter("ignore", FutureWarning)
        for name in _modules(sklearn.__path__, "sklearn."):
            found.update(inspect.getmembers(import_module(name), inspect.isclass))
    return sorted((one for one in found if _is_public(*one)), key=itemgetter(0))


def _is_public(name: str, kind: type) -> bool:
    is_estimator = issubclass(kind, BaseEstimator) and name != "BaseEstimator"
    return is_estimator and not name.startswith("_") and not getattr(kind, "__abstractmethods__", None)


def _modules(path: Any, prefix: str) -> Iterator[str]:
    for _, name, is_package in pkgutil.iter_modules(path, prefix):
        last = name.rpartition(".")[2]
        if last in _NOT_PUBLIC or last.startswith("_"):
            continue
        yield name
        if is_package:
            yield from _modules(import_module(name).__path__, f"{name}.")


def import_skops() -> Any:
    """Return `skops.io`."""
    before = sklearn.utils.all_estimators
    sklearn.utils.all_estimators = public_estimators
    try:
        return import_module("skops.io")
    finally:
        sklearn.utils.all_estimators = before
