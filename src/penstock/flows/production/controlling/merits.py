"""Why a canary gets its next share, in words: the reason of the revision that gives it."""

from __future__ import annotations

from collections.abc import Sequence

from penstock.base.numbers import counted
from penstock.flows.production.progress import Progress, Tally
from penstock.monitoring.findings import Finding
from penstock.monitoring.guardrails.next_steps import OF_LABELS
from penstock.serving.deployments import Revision

NAMED = 3
"""So many findings are named in a reason."""


def merits_of(revision: Revision, step: Tally, canary: Sequence[Finding], progress: Progress) -> str:
    """Return in words what speaks for a canary's next share: that every guardrail on it holds is only said where each was judged.

    Args:
        step: the canary's traffic since the revision began.
        canary: the findings on the canary.
    """
    unjudged = [one for one in canary if one.unjudged is not None]
    breached = [one for one in canary if one.breached]  # none that calls for a rollback: that goes first
    shown = next((one.sentence for one in canary if one.kind in OF_LABELS and one.unjudged is None), "")
    version = revision.canary.version if revision.canary else revision.stable
    kept = (
        f"kept what was judged ({_named(unjudged)} {'was' if len(unjudged) == 1 else 'were'} not, as the policy allows)"
        if unjudged
        else "kept every guardrail that acts"
        if breached
        else "kept every guardrail"
    )
    verb = "is" if len(breached) == 1 else "are"
    alerts = f"; {_named(breached)} {verb} breached, which only alerts" if breached else ""
    return (
        f"{revision.model}/{version} {kept} at {progress.percent:g} % over "
        f"{counted(step.request_count, 'request')} and {counted(step.label_count, 'label')}{alerts}"
        + (f": {shown}" if shown else "")
    )


def _named(findings: Sequence[Finding]) -> str:
    names = ", ".join(f"{one.kind} of {one.name}" for one in findings[:NAMED])
    return names + (f" and {len(findings) - NAMED} more" if len(findings) > NAMED else "")
