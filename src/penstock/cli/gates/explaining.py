"""A verdict in the words of a person: each check with what was found, what was asked, and what follows."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING, Any

from penstock.base.clock import format_ms
from penstock.base.errors import PenstockError
from penstock.base.numbers import format_number
from penstock.registry.entities import CheckResult, Verdict
from penstock.registry.proof import Proof

if TYPE_CHECKING:
    from penstock.flows.models.evidence.approving import Standing
    from penstock.flows.models.evidence.doors import Doors
    from penstock.flows.models.evidence.holds import Hold

MARKS = {"pass": "pass", "fail": "FAIL", "error": "ERROR", "skipped": "skip", "waiting": "wait"}


def render_verdict(verdict: Verdict) -> str:
    """Render a verdict, a line a check."""
    lines = [_line(check) for check in verdict.checks]
    if not lines:
        lines = [f"{verdict.summary[0].upper()}{verdict.summary[1:]}: write `gates:` in penstock.yaml."]
    word = "passed" if verdict.passed else "refused"
    return "\n".join(
        [*lines, f"The gate {word} {verdict.model} {verdict.model_digest[:12]} (verdict {verdict.id})."]
    )


def explain_verdict(verdict: Verdict, proof: Proof, doors: Doors) -> str:
    """Render a verdict with what each check saw and was asked, who judged, and what it is worth now."""
    lines = []
    for check in verdict.checks:
        lines.append(_line(check))
        lines += [f"         {one}" for one in (_numbers(check), _asked(check), _files(check)) if one]
    if not lines:
        lines = [f"{verdict.summary[0].upper()}{verdict.summary[1:]}."]
    word = "passed" if verdict.passed else "refused"
    lines += [
        f"The gate {word} {verdict.model} {verdict.model_digest[:12]}: {verdict.summary}.",
        f"Judged on {format_ms(verdict.created_ms)} by {verdict.actor} (verdict {verdict.id}).",
    ]
    if verdict.data:
        named = [f"{path} {digest[:12]}" for path, digest in sorted(verdict.data.items())]
        lines.append(
            f"Data: {', '.join(named[:5])}{f' and {len(named) - 5} more' if len(named) > 5 else ''}."
        )
    lines.append(f"{proof.state[0].upper()}{proof.state[1:]}: {proof.sentence}.")
    lines += [one for one in (_changed(doors),) if one]
    return "\n".join(lines)


def explain_people(people: Standing) -> str:
    """Render who approved a version, a line a person, and who is lacking; nothing where nobody is asked or said anything."""
    lines = []
    for one in people.approvals:
        why = f": {one.comment}" if one.comment else ""
        lines.append(f"{one.actor} on {format_ms(one.time_ms)}: {one.sentence}{why}")
    if people.lacking:
        lines.append(f"No door opens yet: {people.lacking}.")
    return "".join(f"\n{one}" for one in lines)


def explain_doors(shut: PenstockError | None, held: Hold | None = None) -> str:
    """Render whether a door opens for a version; `shut` is what it would be refused with, `held` why CI did not release it."""
    if held is not None and shut is None:
        by_hand = "" if held.waits else f"\nBy hand it may go out: penstock promote {shlex.quote(held.ref)}."
        return f"\n{held.sentence}.{by_hand}"
    if shut is None:
        return "\nIt may go out; its files are read when it is promoted."
    return f"\nIt may not go out: {shut.message.partition(': ')[2] or shut.message}."


def _changed(doors: Doors) -> str:
    if doors.newer is not None:
        told = f"verdict {doors.newer.id} of {format_ms(doors.newer.created_ms)}"
        return f"These are the gates of now; it was judged again since, by other gates, which no door asks: {told}."
    if doors.is_current:
        return ""
    if not doors.is_judged:
        is_refused = doors.verdict is not None and not doors.verdict.passed
        rest = "what they refused stays refused" if is_refused else "no door asks for a verdict"
        return f"No gates are set now: {rest}."
    return "The gates or their code changed since then: it opens no door until the gate is run again."


def _line(check: CheckResult) -> str:
    if check.waiver is not None:
        return f"{'waive':5}  {check.kind}: {check.sentence}"
    warns = " (only a warning)" if check.status not in {"pass", "waiting"} and not check.is_blocking else ""
    return f"{MARKS[check.status]:5}  {check.kind}: {check.sentence}{warns}"


def _numbers(check: CheckResult) -> str:
    words = []
    if check.observed is not None:
        words.append(f"observed {_value(check.observed)}")
    if check.expected:
        words.append(f"expected {check.expected}")
    if check.n is not None:
        words.append(f"n {check.n:,}")
    if check.interval is not None:
        low, high = ("…" if one is None else _value(one) for one in check.interval)
        words.append(f"interval [{low}, {high}]")
    return " · ".join(words)


def _asked(check: CheckResult) -> str:
    if not isinstance(check.asked, dict) or not check.asked:
        return ""
    given = ", ".join(
        f"{key}: {_value(one)}" for key, one in check.asked.items() if one not in (None, [], {})
    )
    return f"asked: {check.kind} {{{given}}}"


def _files(check: CheckResult) -> str:
    files = check.evidence.get("files")
    return f"kept: {', '.join(files)} (penstock gate evidence)" if isinstance(files, dict) and files else ""


def _value(value: Any) -> str:
    if isinstance(value, float):
        return format_number(value)
    if isinstance(value, list):
        return f"[{', '.join(map(_value, value))}]"
    return str(value)
