"""skops trusts the same estimators however quickly it is imported."""

from __future__ import annotations

import subprocess
import sys

import numpy
import scipy.special
import sklearn.utils

from penstock.serving.loaders.quick_skops import Homes, import_skops, public_estimators

SCRIPT = """
import sys
from penstock.serving.loaders.quick_skops import import_skops
import_skops()
import sklearn.utils, sklearn.utils.discovery
assert sklearn.utils.all_estimators is sklearn.utils.discovery.all_estimators
print(sorted({"torch", "pytest", "pandas", "sklearn.utils._testing"} & set(sys.modules)))
import pandas, sklearn.compose, sklearn.preprocessing
frame = pandas.DataFrame({"a": [1.0, 2.0], "b": pandas.Categorical(["x", None])})
encoder = sklearn.preprocessing.OrdinalEncoder()
made = sklearn.compose.make_column_transformer((encoder, ["b"]), remainder="passthrough").set_output(transform="pandas")
print(list(made.fit_transform(frame).columns))
"""


def test_the_public_estimators_are_those_that_scikit_learn_tells() -> None:
    assert public_estimators() == sklearn.utils.all_estimators()
    trusted = import_skops()._trusted_types.SKLEARN_ESTIMATOR_TYPE_NAMES
    told = [f"{kind.__module__}.{kind.__qualname__}" for _, kind in sklearn.utils.all_estimators()]
    assert trusted == [name for name in told if name.startswith("sklearn.")]


def test_functions_of_numpy_and_scipy_are_told_the_modules_that_skops_tells() -> None:
    utils = import_skops()._utils
    assert not isinstance(utils.whichmodule, Homes), "it is put back"
    find, functions = Homes(utils.whichmodule), 0
    for module in (numpy, scipy.special):
        for name in dir(module):
            value = getattr(module, name)
            if isinstance(value, numpy.ufunc):
                functions += 1
                assert find(value, value.__name__) == utils.whichmodule(value, value.__name__), name
    assert functions > 300
    own = numpy.frompyfunc(abs, 1, 1)
    assert find(own, own.__name__) == utils.whichmodule(own, own.__name__) == "__main__"


def test_neither_tests_nor_pandas_nor_other_array_libraries_are_imported_until_they_are_needed() -> None:
    done = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == ["[]", "['ordinalencoder__b', 'remainder__a']"]
