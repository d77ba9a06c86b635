"""Score the held-out flights."""

import json
from pathlib import Path

import polars as pl
import skops.io
from sklearn.metrics import accuracy_score, brier_score_loss, roc_auc_score


def main() -> None:
    """Write metrics.json."""
    path = Path("models/delay/model.skops")
    model = skops.io.load(path, trusted=skops.io.get_untrusted_types(file=path))
    table = pl.read_parquet("data/test.parquet")
    scores = model.predict_proba(table.select(model.feature_names_in_))[:, 1]
    late = table["late"].to_numpy()
    metrics = {
        "roc_auc": roc_auc_score(late, scores),
        "brier": brier_score_loss(late, scores),
        "accuracy": accuracy_score(late, scores >= 0.5),
        "rows": len(late),
    }
    metrics = {name: round(float(value), 6) for name, value in metrics.items()}
    Path("metrics.json").write_text(json.dumps(metrics, indent=2) + "\n")
    print(metrics)


if __name__ == "__main__":
    main()
