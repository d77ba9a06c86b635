"""The report is truthful Markdown; what came from outside cannot break out of it."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from penstock.ci.report import CheckReport, CiReport, StepReport, render_markdown


def report(**values: object) -> CiReport:
    base: dict[str, object] = {
        "project": "p",
        "commit": "c" * 40,
        "subject": "s",
        "started_ms": 0,
        "passed": True,
        "steps": (StepReport(name="tests", status="passed", seconds=1.0, sentence="ok"),),
    }
    return CiReport(**(base | values))  # type: ignore[arg-type]


def test_a_refusal_shows_the_failed_check_and_the_output() -> None:
    text = render_markdown(
        report(
            passed=False,
            steps=(
                StepReport(
                    name="tests", status="failed", seconds=2.0, sentence="exited with 1", details=("boom",)
                ),
            ),
            checks=(
                CheckReport(
                    kind="schema", name="t", status="fail", severity="block", sentence="distance: too far"
                ),
            ),
            metrics={"auc": 0.8},
            champion="m/1",
            champion_metrics={"auc": 0.7},
        )
    )
    assert "❌ p: refused" in text
    assert "| schema `t` | ❌ | distance: too far |" in text
    assert "boom" in text
    assert "| auc | 0.8 | 0.7 | +0.1 |" in text


@given(st.text())
def test_foreign_text_stays_in_its_cell(text: str) -> None:
    plain, hostile = render_markdown(report()), render_markdown(report(subject=text, project=text))
    assert len(plain.split("\n")) == len(hostile.split("\n"))
    assert "<script" not in hostile
