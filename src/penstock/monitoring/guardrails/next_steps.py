"""What to do about a guardrail that is not judged: the next command by the reason, one home for all who tell it."""

from __future__ import annotations

import shlex

from penstock.monitoring.findings import Kind, Unjudged

OF_LABELS: frozenset[Kind] = frozenset({"quality", "slices"})
NEXT: dict[Unjudged, str] = {
    "too_few": "penstock endpoint show {endpoint} tells what answers; more traffic is needed",
    "no_traffic": "penstock endpoint show {endpoint} tells what answers it",
    "no_reference": "penstock model register with a reference, then penstock deploy",
    "feature_unknown": "mend the name in penstock.yaml, then penstock endpoint apply {endpoint}",
    "metric_absent": "choose another metric or a bound in penstock.yaml, then penstock endpoint apply {endpoint}",
    "no_probability": "choose a metric of classes in penstock.yaml, then penstock endpoint apply {endpoint}",
    "undecided": "penstock feedback {endpoint} with more labels",
    "not_kept": "raise monitor.feature_ratio in penstock.yaml, then penstock endpoint apply {endpoint}",
}
FEEDBACK = "penstock feedback {endpoint} sends labels"


def next_step(kind: Kind, reason: Unjudged, endpoint: str) -> str:
    """Return the next command, or the change, that gets a guardrail judged."""
    words = FEEDBACK if kind in OF_LABELS and reason == "too_few" else NEXT[reason]
    return words.format(endpoint=shlex.quote(endpoint))
