"""The report of a CI run, as Markdown for a job summary or a comment."""

from __future__ import annotations

import re
from typing import Literal

import msgspec

from penstock.base.clock import format_ms
from penstock.base.numbers import format_number
from penstock.base.running import has_ended, is_from_here

StepStatus = Literal["passed", "failed", "skipped"]
SHOWN_FILES = 12
_MARKUP = re.compile(r"[\\|]|\](?=[(\[])")
_MENTION = re.compile(r"(?<!\w)@(?=\w)")
_MARKS: dict[str, str] = {"passed": "✅", "failed": "❌", "skipped": "⏭️", "open": "⏳"}


class StepReport(msgspec.Struct, frozen=True, kw_only=True):
    """One step of a CI run; `details` are further lines, such as the end of its output."""

    name: str
    status: StepStatus
    seconds: float
    sentence: str
    details: tuple[str, ...] = ()


class CheckReport(msgspec.Struct, frozen=True, kw_only=True):
    """One gate check."""

    kind: str
    name: str
    status: str
    severity: str
    sentence: str


class Changes(msgspec.Struct, frozen=True, kw_only=True):
    """What a commit changes against `base`: parameters and data with the values before and after, and files of code."""

    base: str
    parameters: dict[str, tuple[str, str]] = {}
    data: dict[str, tuple[str, str]] = {}
    code: tuple[str, ...] = ()


class CiReport(msgspec.Struct, frozen=True, kw_only=True):
    """What a CI run found. `version` is the model version it registered, `model/number`.

    `held` is why what passed was not released though it was asked for. `unjudged` are files that differ where it ran
    from the commit, which alone was judged. `process` is who makes it (see
    `penstock.base.running`) until the run has ended.
    """

    project: str
    commit: str
    subject: str
    started_ms: int
    passed: bool
    steps: tuple[StepReport, ...]
    checks: tuple[CheckReport, ...] = ()
    metrics: dict[str, float] = {}
    champion: str | None = None
    champion_metrics: dict[str, float] = {}
    version: str | None = None
    is_new_version: bool = False
    verdict_id: str | None = None
    run_id: str | None = None
    branch: str | None = None
    released: tuple[str, ...] = ()
    held: str | None = None
    changes: Changes | None = None
    plots: tuple[str, ...] = ()
    plots_problem: str | None = None
    process: str | None = None
    unjudged: tuple[str, ...] = ()

    @property
    def state(self) -> str:
        """Whether it `passed`, was `refused`, is `under way`, or was `cut off` before it ended.

        A run of another machine or container, or of before this one was started again, has `not ended`: nobody can say more.
        """
        if self.process is None:
            return "passed" if self.passed else "refused"
        if has_ended(self.process):
            return "cut off"
        return "under way" if is_from_here(self.process) else "not ended"

    @property
    def outcome(self) -> str:
        """What came of it, in one sentence: the step that failed and why, or the last thing that was done."""
        failed = next((step for step in self.steps if step.status == "failed"), None)
        if failed is not None:
            return f"{failed.name}: {failed.sentence}"
        kept = f"{self.version or 'nothing'} {'registered' if self.is_new_version else 'stays as it is'}"
        if self.held is not None:
            return f"{kept}, not released: {self.held}"
        return "; ".join(self.released) or kept


def render_markdown(report: CiReport) -> str:
    """Render the report; everything that came from outside is escaped."""
    verdict = "passed, not released" if report.passed and report.held else report.state
    lines = [
        f"## {_MARKS['passed' if report.passed else 'failed' if report.process is None else 'open']} {_escape(report.project)}: {verdict}",
        "",
        f"Commit `{report.commit[:10]}` {_escape(report.subject)}, {format_ms(report.started_ms)}",
        "",
        "| step | | time | |",
        "| --- | --- | ---: | --- |",
    ]
    lines += [
        f"| {step.name} | {_MARKS[step.status]} | {step.seconds:.1f} s | {_escape(step.sentence)} |"
        for step in report.steps
    ]
    if report.unjudged:
        lines += [
            "",
            f"Not judged: uncommitted changes in {', '.join(map(_code, report.unjudged[:SHOWN_FILES]))}{_more(report.unjudged)}",
        ]
    if report.checks:
        lines += ["", "| gate | | finding |", "| --- | --- | --- |"]
        lines += [
            f"| {check.kind} {_code(check.name)} | {'✅' if check.status == 'pass' else '⏳' if check.status == 'waiting' else '⚠️' if check.severity == 'warn' else '❌'} "
            f"| {_escape(check.sentence)} |"
            for check in report.checks
        ]
    if report.metrics:
        lines += [
            "",
            f"| metric | this commit | {report.champion or 'champion'} | change |",
            "| --- | ---: | ---: | ---: |",
        ]
        lines += [
            _metric_line(name, value, report.champion_metrics.get(name))
            for name, value in sorted(report.metrics.items())
        ]
    if report.changes is not None:
        lines += _change_lines(report.changes)
    if report.plots:
        names = ", ".join(map(_code, report.plots))
        lines += ["", f"Plots on one page (`penstock ci report --plots FILE`): {names}"]
    if report.plots_problem:
        lines += ["", f"Plots that were not drawn: {_escape(report.plots_problem)}"]
    for step in report.steps:
        if step.status == "failed" and step.details:
            fence = _fence("\n".join(step.details), "~", 4)
            lines += [
                "",
                f"<details><summary>{step.name}: last lines</summary>",
                "",
                fence,
                *step.details,
                fence,
                "",
                "</details>",
            ]
    ids = [
        f"{name} `{value}`"
        for name, value in (
            ("version", report.version),
            ("verdict", report.verdict_id),
            ("run", report.run_id),
        )
        if value
    ]
    if ids:
        lines += ["", ", ".join(ids)]
    return "\n".join(lines) + "\n"


def _change_lines(changes: Changes) -> list[str]:
    """Return what changed, as a table; files of code beyond a few are counted."""
    rows = [
        (kind, _code(name), _escape(before), _escape(after))
        for kind, pairs in (("data", changes.data), ("parameter", changes.parameters))
        for name, (before, after) in pairs.items()
    ]
    if changes.code:
        shown = ", ".join(map(_code, changes.code[:SHOWN_FILES]))
        rows.append(("code", shown + _more(changes.code), "", ""))
    if not rows:
        return ["", f"Nothing changed against {_escape(changes.base)} in data, parameters or code."]
    head = ["", f"| changed against {_escape(changes.base)} | | before | now |", "| --- | --- | --- | --- |"]
    return [*head, *(f"| {' | '.join(row)} |" for row in rows)]


def _more(files: tuple[str, ...]) -> str:
    more = len(files) - SHOWN_FILES
    return f" and {more} more" if more > 0 else ""


def _metric_line(name: str, value: float, before: float | None) -> str:
    if before is None:
        return f"| {_escape(name)} | {format_number(value)} | – | – |"
    return f"| {_escape(name)} | {format_number(value)} | {format_number(before)} | {value - before:+.4g} |"


def _escape(text: str) -> str:
    """Return text that a reader sees as it is, on one line of a table: it makes no cell, tag, link, picture or mention."""
    plain = " ".join(text.splitlines())
    escaped = _MARKUP.sub(lambda found: f"\\{found[0]}", plain).replace("<", "&lt;")
    return _MENTION.sub("@\u200b", escaped)


def _code(text: str) -> str:
    """Return text as code on one line of a table, whatever marks it has."""
    plain = " ".join(text.splitlines()).replace("|", "\\|")
    fence = _fence(plain, "`", 1)
    edge = " " if plain.startswith("`") or plain.endswith("`") or not plain.strip() else ""
    return f"{fence}{edge}{plain}{edge}{fence}"


def _fence(text: str, mark: str, least: int) -> str:
    """Return more of a mark than stand together anywhere in a text."""
    longest = max((len(run) for run in re.findall(f"{re.escape(mark)}+", text)), default=0)
    return mark * max(least, longest + 1)
