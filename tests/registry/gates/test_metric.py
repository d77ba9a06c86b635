"""A metric that its file does not have is refused, and told with those that it has."""

from __future__ import annotations

from pathlib import Path

from penstock.registry.gates.check import Evidence
from penstock.registry.gates.kinds.metric import MetricGate, check_metric
from registry.gates.asking import NOTHING


def test_a_metric_of_another_kind_of_model_is_told_with_those_there_are(tmp_path: Path) -> None:
    asked = MetricGate(name="mae", max=3.0)
    found = check_metric(asked, Evidence(tmp_path, {"roc_auc": 0.9, "brier": 0.1}, NOTHING, "metrics.json"))
    assert (found.status, found.sentence) == (
        "error",
        "mae is not in metrics.json, which has brier, roc_auc; it must be at most 3",
    )
    many = {f"m{number}": 1.0 for number in range(12)}
    assert "m5 and 4 more" in check_metric(asked, Evidence(tmp_path, many, NOTHING, "m.json")).sentence
    assert "which has none" in check_metric(asked, Evidence(tmp_path, {}, NOTHING, "m.json")).sentence
    assert "names no `metrics:` file" in check_metric(asked, Evidence(tmp_path, {}, NOTHING)).sentence
    assert check_metric(asked, Evidence(tmp_path, {"mae": float("nan")}, NOTHING, "m.json")).status == "error"
