"""Trees: boosted ones of histograms as one walk for all of them, forests tree by tree without ceremony."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from penstock.serving.loaders.compiled.table import Array, Matrix, NotCompiled

try:
    from sklearn.ensemble._hist_gradient_boosting._predictor import _predict_from_raw_data as walk
except ImportError:
    walk = None

Values = Callable[[Matrix], Array]


def boosted_values(estimator: Any) -> Values:
    """Return the raw sums of histogram-boosted trees, `(n, trees an iteration)`, as a function of a matrix.

    The library walks tree by tree, with a call and threads for each. Here all trees hang below one tree
    that branches on a further column, the tree's number, and the library's own walk goes through it once
    with each row once for every tree.
    """
    if walk is None:
        raise NotCompiled("this release of scikit-learn keeps its walk elsewhere")
    kinds = estimator.n_trees_per_iteration_
    trees = [tree for iteration in estimator._predictors for tree in iteration]
    width = _width(estimator)
    nodes, bitsets = _hang_together(trees, width)
    known_bitsets, places = estimator._bin_mapper.make_known_categories_bitsets()
    places = np.append(places, np.zeros(1, places.dtype))
    baseline = np.asarray(estimator._baseline_prediction, dtype=np.float64).reshape(1, 1, kinds)
    numbers = np.arange(len(trees), dtype=np.float64)

    def values(matrix: Matrix) -> Array:
        row_count = len(matrix)
        rows = np.empty((len(trees), row_count, width + 1))
        rows[:, :, :width] = matrix
        rows[:, :, width] = numbers[:, None]
        leaves = np.empty(len(trees) * row_count)
        flat = rows.reshape(-1, width + 1)
        walk(nodes, flat, bitsets, known_bitsets, places, 1, leaves)
        by_kind = leaves.reshape(-1, kinds, row_count).transpose(0, 2, 1)
        start = np.broadcast_to(baseline, (1, row_count, kinds))
        summed: Array = np.add.reduce(np.concatenate((start, by_kind)), axis=0)
        return summed

    return values


def _width(estimator: Any) -> int:
    is_categorical = estimator._is_categorical_remapped
    return int(estimator.n_features_in_ if is_categorical is None else len(is_categorical))


def _hang_together(trees: list[Any], feature: int) -> tuple[Array, Array]:
    """Return the nodes of one tree that holds all, and the bitsets of its categorical splits.

    Args:
        feature: the index of the column that holds the tree's number.
    """
    dtype = trees[0].nodes.dtype
    starts = np.cumsum([len(trees) - 1, *(len(tree.nodes) for tree in trees)])
    branches: list[Any] = []

    def branch(low: int, high: int) -> int:
        """Add the nodes that lead to the trees `low` to `high`, and return where they begin."""
        if high - low == 1:
            return int(starts[low])
        index, middle = len(branches), (low + high) // 2
        node = np.zeros(1, dtype)
        branches.append(node)
        node["feature_idx"], node["num_threshold"] = feature, middle - 0.5
        node["left"] = branch(low, middle)
        node["right"] = branch(middle, high)
        return index

    branch(0, len(trees))
    parts, bitsets, bitset_count = branches, [], 0
    for tree, start in zip(trees, starts, strict=False):
        nodes = tree.nodes.copy()
        nodes["left"] += np.uint32(start)
        nodes["right"] += np.uint32(start)
        nodes["bitset_idx"] += np.uint32(bitset_count)
        parts.append(nodes)
        bitsets.append(tree.raw_left_cat_bitsets)
        bitset_count += len(tree.raw_left_cat_bitsets)
    return np.concatenate(parts), np.ascontiguousarray(np.concatenate(bitsets))


def forest_values(estimator: Any) -> Values:
    """Return the mean of a forest's trees, `(n, classes)` or `(n, 1)`, as a function of a matrix.

    Raises:
        NotCompiled: it has several outputs.
    """
    if estimator.n_outputs_ != 1:
        raise NotCompiled("a forest of several outputs")
    members = [member.tree_ for member in estimator.estimators_]
    classes = getattr(estimator, "n_classes_", 1)

    def values(matrix: Matrix) -> Array:
        rows = _single(matrix)
        found = np.zeros((len(rows), classes))
        for member in members:
            found += member.predict(rows)[:, :classes]
        found /= len(members)
        return found

    return values


def tree_values(estimator: Any) -> Values:
    """Return what a tree says, `(n, classes)` or `(n, 1)`, as a function of a matrix.

    Raises:
        NotCompiled: it has several outputs.
    """
    if estimator.n_outputs_ != 1:
        raise NotCompiled("a tree of several outputs")
    member, classes = estimator.tree_, getattr(estimator, "n_classes_", 1)

    def values(matrix: Matrix) -> Array:
        found: Array = member.predict(_single(matrix))[:, :classes]
        return found

    return values


def _single(matrix: Matrix) -> Array:
    rows = np.ascontiguousarray(matrix, dtype=np.float32)
    if not np.isfinite(rows).all():
        raise NotCompiled("numbers that are missing or too large")
    return rows
