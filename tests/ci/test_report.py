"""The report is truthful Markdown; what came from outside cannot break out of it."""

from __future__ import annotations

import subprocess
import sys

from hypothesis import given
from hypothesis import strategies as st

from penstock.base.running import name_process
from penstock.ci.report import Changes, CheckReport, CiReport, StepReport, render_markdown


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


def test_odd_texts_make_no_cell_link_mention_or_end_of_what_holds_them() -> None:
    """A gate's command with a pipe, a file called like code, a commit that calls for people, an output with a fence."""
    odd = "![x](https://example.org/x.png) [y][z] @ada a@b <b> a|b"
    text = render_markdown(
        report(
            passed=False,
            subject=odd,
            steps=(
                StepReport(
                    name="tests", status="failed", seconds=1.0, sentence=odd, details=("~~~~", "~~~~~ <i>")
                ),
            ),
            checks=(
                CheckReport(
                    kind="command", name="cat `a` | grep ``", status="pass", severity="block", sentence=odd
                ),
            ),
            changes=Changes(base="m/1", data={"a`b|c <d>.csv": ("1", "2")}, code=("x```y.py", "`")),
        )
    )
    assert "](" not in text.replace("\\](", "")
    assert "][" not in text.replace("\\][", "")
    assert "@ada" not in text
    assert "a@b" in text
    assert "<b>" not in text
    assert "| command ``` cat `a` \\| grep `` ``` | ✅ |" in text
    assert "| data | ``a`b\\|c <d>.csv`` | 1 | 2 |" in text
    assert "````x```y.py````, `` ` ``" in text
    lines = text.splitlines()
    first = lines.index("~~~~~~")
    assert lines[first : first + 4] == ["~~~~~~", "~~~~", "~~~~~ <i>", "~~~~~~"]
    for row in (line for line in lines if line.startswith("| command")):
        assert row.replace("\\|", "").count("|") == 4


def test_a_report_that_has_not_ended_is_under_way_while_its_process_is_and_else_cut_off() -> None:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as other:
        begun = report(passed=False, process=name_process(other.pid))
        assert begun.state == "under way"
        assert "⏳ p: under way" in render_markdown(begun)
        other.communicate(b"\n")
    assert begun.state == "cut off"
    assert "❌" not in render_markdown(begun).splitlines()[0]
    assert report(passed=False, process="1.5.elsewhere").state == "not ended"
    assert [report(passed=one).state for one in (True, False)] == ["passed", "refused"]
