"""Asks NannyML, Evidently and scipy in their own environment: a JSON document of tables on stdin, one of numbers out."""

from __future__ import annotations

import json
import os
import sys
import warnings
from typing import Any

METHODS = ["jensen_shannon", "kolmogorov_smirnov", "wasserstein"]
EVIDENTLY = ["wasserstein", "jensenshannon", "psi"]


def distances(before: list[float], now: list[float]) -> dict[str, float]:
    """Return what each says of one column of numbers."""
    import nannyml as nml
    import pandas as pd
    from evidently.legacy.calculations.stattests.registry import get_stattest
    from evidently.legacy.core import ColumnType
    from scipy import stats

    reference, current = pd.DataFrame({"x": before}), pd.DataFrame({"x": now})
    calculator = nml.UnivariateDriftCalculator(column_names=["x"], continuous_methods=METHODS, chunk_number=1)
    table = calculator.fit(reference).calculate(current).filter(period="analysis").to_df()
    found = {f"nannyml {name}": float(table[("x", name, "value")].iloc[0]) for name in METHODS}
    for name in EVIDENTLY:
        test = get_stattest(reference.x, current.x, ColumnType.Numerical, name)
        found[f"evidently {name}"] = float(
            test(reference.x, current.x, ColumnType.Numerical, 0.1).drift_score
        )
    found["scipy ks"] = float(stats.ks_2samp(before, now).statistic)
    found["scipy wasserstein"] = float(stats.wasserstein_distance(before, now))
    return found


def probabilities(reference: dict[str, list[float]], scores: list[float]) -> dict[str, float]:
    """Return what NannyML's CBPE expects of a window."""
    import nannyml as nml
    import pandas as pd

    known = pd.DataFrame(reference)
    now = pd.DataFrame({"score": scores})
    for table in (known, now):
        table["predicted"] = (table.score >= 0.5).astype(int)
    estimator = nml.CBPE(
        metrics=["roc_auc", "accuracy"], y_true="label", y_pred="predicted", y_pred_proba="score",
        problem_type="classification_binary", chunk_number=1,
    )  # fmt: skip
    table = estimator.fit(known).estimate(now).filter(period="analysis").to_df()
    return {name: float(table[(name, "value")].iloc[0]) for name in ("roc_auc", "accuracy")}


def losses(reference: dict[str, list[Any]], windows: list[dict[str, list[Any]]]) -> list[dict[str, float]]:
    """Return what NannyML's DLE expects of each window, its loss model as it comes."""
    import nannyml as nml
    import pandas as pd

    known = pd.DataFrame(reference)
    features = [name for name in known.columns if name not in ("answer", "label")]
    estimator = nml.DLE(
        feature_column_names=features,
        y_true="label",
        y_pred="answer",
        metrics=["mae", "rmse"],
        chunk_number=1,
    )
    estimator.fit(known)
    found = []
    for window in windows:
        table = estimator.estimate(pd.DataFrame(window)).filter(period="analysis").to_df()
        found.append({name: float(table[(name, "value")].iloc[0]) for name in ("mae", "rmse")})
    return found


if __name__ == "__main__":
    os.environ |= {"DO_NOT_TRACK": "1", "NML_DISABLE_USAGE_LOGGING": "1"}
    warnings.filterwarnings("ignore")
    asked = json.load(sys.stdin)
    out = {
        "distances": {name: distances(*pair) for name, pair in asked["distances"].items()},
        "probabilities": probabilities(**asked["probabilities"]),
        "losses": losses(**asked["losses"]),
    }
    print(json.dumps(out))
    sys.stdout.flush()
    os._exit(0)  # their telemetry threads would wait for the network
