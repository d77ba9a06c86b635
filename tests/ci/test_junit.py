"""JUnit's XML says what failed, and no text from outside breaks it."""

from __future__ import annotations

from xml.etree import ElementTree

from hypothesis import given
from hypothesis import strategies as st

from penstock.ci.junit import render_junit
from penstock.ci.report import CheckReport, CiReport, StepReport


def rendered(text: str) -> ElementTree.Element:
    report = CiReport(
        project=text,
        commit="c" * 40,
        subject=text,
        started_ms=0,
        passed=False,
        steps=(
            StepReport(name="tests", status="failed", seconds=2.5, sentence=text, details=(text, "boom")),
            StepReport(name="gate", status="skipped", seconds=0.0, sentence="an earlier step failed"),
            StepReport(name="data", status="passed", seconds=0.25, sentence="ok"),
        ),
        checks=(
            CheckReport(kind="schema", name=text, status="fail", severity="block", sentence=text),
            CheckReport(kind="metric", name="auc", status="fail", severity="warn", sentence="low"),
        ),
    )
    return ElementTree.fromstring(render_junit(report).encode())


def test_failures_skips_and_warnings_are_told_apart() -> None:
    steps, gate = rendered("too <far> & wide")
    assert (steps.get("tests"), steps.get("failures"), steps.get("skipped")) == ("3", "1", "1")
    assert steps.get("time") == "2.750"
    assert (gate.get("tests"), gate.get("failures")) == ("2", "1")
    failure = steps.find("testcase/failure")
    assert failure is not None
    assert failure.get("message") == "too <far> & wide"
    assert "boom" in (failure.text or "")


@given(st.text())
def test_no_text_breaks_it(text: str) -> None:
    assert len(rendered(text)) == 2
