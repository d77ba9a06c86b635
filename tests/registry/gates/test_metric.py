"""A metric that its file does not have is refused, and told with those that it has."""

from __future__ import annotations

from pathlib import Path

import pytest

from penstock.base.errors import Invalid
from penstock.pipeline.parameters import load_metrics
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
    for number in (float("inf"), float("-inf")):
        odd = check_metric(
            MetricGate(name="b", min=0.6), Evidence(tmp_path, {"b": number}, NOTHING, "m.json")
        )
        assert (odd.status, odd.sentence) == ("error", "b is infinite; it must be at least 0.6")


def test_two_metrics_of_one_dotted_name_are_refused(tmp_path: Path) -> None:
    (tmp_path / "m.json").write_text('{"a": {"b": 0.9}, "a.b": 0.1, "n": 1}')
    with pytest.raises(Invalid, match=r"two metrics are called 'a\.b'"):
        load_metrics(tmp_path / "m.json")
    (tmp_path / "m.json").write_text('{"a": {"b": 0.9, "c": {}}, "a.c": 0.1, "t": "x"}')
    assert load_metrics(tmp_path / "m.json") == {"a.b": 0.9, "a.c": 0.1}
