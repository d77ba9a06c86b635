"""The report of a CI run as JUnit's XML, which CI systems show as tests: one case a step and one a gate check."""

from __future__ import annotations

import re
from xml.etree import ElementTree

from penstock.ci.report import CheckReport, CiReport, StepReport

_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def render_junit(report: CiReport) -> str:
    """Render the report; a check that only warns is a case that passed with its finding as output."""
    suites = ElementTree.Element("testsuites", name=_text(report.project))
    cases = [
        ("penstock.ci", [_step(step) for step in report.steps]),
        ("penstock.gate", [_check(check) for check in report.checks]),
    ]
    for name, members in cases:
        suite = ElementTree.SubElement(
            suites,
            "testsuite",
            name=name,
            tests=str(len(members)),
            failures=str(sum(case.find("failure") is not None for case in members)),
            skipped=str(sum(case.find("skipped") is not None for case in members)),
            errors="0",
            time=f"{sum(float(case.get('time', '0')) for case in members):.3f}",
        )
        suite.extend(members)
    ElementTree.indent(suites)
    return ElementTree.tostring(suites, encoding="unicode", xml_declaration=True) + "\n"


def _step(step: StepReport) -> ElementTree.Element:
    case = ElementTree.Element(
        "testcase", classname="penstock.ci", name=_text(step.name), time=f"{step.seconds:.3f}"
    )
    if step.status == "failed":
        _fail(case, step.sentence, "\n".join(step.details))
    elif step.status == "skipped":
        ElementTree.SubElement(case, "skipped", message=_text(step.sentence))
    else:
        ElementTree.SubElement(case, "system-out").text = _text(step.sentence)
    return case


def _check(check: CheckReport) -> ElementTree.Element:
    case = ElementTree.Element(
        "testcase", classname="penstock.gate", name=_text(f"{check.kind} {check.name}"), time="0"
    )
    if check.status not in {"pass", "waiting"} and check.severity != "warn":
        _fail(case, check.sentence, "")
    else:
        ElementTree.SubElement(case, "system-out").text = _text(check.sentence)
    return case


def _fail(case: ElementTree.Element, sentence: str, output: str) -> None:
    ElementTree.SubElement(case, "failure", message=_text(sentence)).text = _text(output)


def _text(text: str) -> str:
    return _NOT_XML.sub("�", text)
