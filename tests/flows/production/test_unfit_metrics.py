"""A guardrail on a metric that the deployed model can never have is refused, where the file says it."""

from __future__ import annotations

from pathlib import Path

import pytest

from penstock.base.errors import Invalid
from penstock.flows.production.checking import answers_classes
from penstock.flows.production.policing import plan_policies
from penstock.project.settings import load_project_settings
from penstock.records.signature import Column
from projects import Sample
from serving.fixtures import released_root

__all__ = ["released_root"]


def test_an_error_of_numbers_is_no_guardrail_of_a_classifier(released_root: Path, tmp_path: Path) -> None:
    sample = Sample.copy(released_root, tmp_path / "project")
    path = sample.root / "penstock.yaml"
    text = path.read_text()
    try:
        for wrong, kind in (
            ("quality: {metric: mae, max: 40}", "quality"),
            ("slices: {metric: rmse, max_drop: 3}", "slices"),
        ):
            sliced = text.replace("flush_s: 0.1}", "flush_s: 0.1, slices: [{feature: carrier}]}")
            path.write_text(
                sliced.replace("- drift: {features: any, psi_max: 0.25, action: alert}", f"- {wrong}")
            )
            sample.project.go_by(load_project_settings(sample.root))
            with pytest.raises(Invalid) as caught:
                plan_policies(sample.project)
            said = caught.value
            assert said.code == "settings.metric_unfit" and "late/1 answers classes" in said.message
            assert said.fields["line"] == path.read_text().splitlines().index(f"      - {wrong}") + 1
            assert kind in said.message
        path.write_text(text)
        sample.project.go_by(load_project_settings(sample.root))
        plan_policies(sample.project)
    finally:
        sample.close()


def test_fractions_are_no_classes_whatever_stands_beside_them() -> None:
    number, count = Column("prediction", "FP64"), Column("prediction", "INT64")
    one, other = Column("probability", "FP64"), Column("probability_late", "FP64")
    for outputs, is_sure in (
        ((number, other), False),
        ((number,), False),
        ((), False),
        ((number, one), True),
        ((count,), True),
        ((count, other), True),
        ((other,), True),
    ):
        assert answers_classes(outputs) is is_sure, outputs
