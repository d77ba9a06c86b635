"""No worse than the champion on the same held-out rows, beyond a margin and chance."""

from __future__ import annotations

from dataclasses import asdict

import numpy as np
from numpy.typing import NDArray

from penstock.registry.entities import CheckResult, CheckStatus, Severity
from penstock.registry.gates.check import Evidence, Floats
from penstock.registry.gates.settings import ChampionGate
from penstock.stats.significance import paired_bootstrap

OF_SCORES = frozenset({"roc_auc", "log_loss"})
"""Metrics that mean nothing of classes alone."""


def check_champion(gate: ChampionGate, severity: Severity, evidence: Evidence) -> CheckResult:
    """Test non-inferiority against the champion by the paired bootstrap, with a fixed seed."""
    champion = evidence.held_out.champion
    classes = evidence.held_out.of_classes(gate.metric)
    baseline = classes[2] if classes is not None else evidence.held_out.champion_scores()
    if baseline is None:
        what = f"this is {champion} itself" if champion else "there is no champion in this store yet"
        return _result(gate, severity, "pass", f"{what}: nothing to compare with", {"champion": champion})
    labels, candidate = (
        classes[:2]
        if classes is not None
        else (evidence.held_out.labels(), evidence.held_out.candidate_scores())
    )
    groups = evidence.held_out.groups(gate.group) if gate.group is not None else None
    obstacle = _obstacle(gate, labels, groups, {"the candidate": candidate, str(champion): baseline})
    if obstacle is not None:
        sentence = f"cannot be compared with {champion}: {obstacle}"
        return _result(gate, severity, "fail", sentence, {"row_count": len(labels)})
    found = paired_bootstrap(
        gate.metric,
        labels,
        candidate,
        baseline,
        generator=np.random.default_rng(gate.seed),
        groups=groups,
        resample_count=gate.resamples,
        alpha=gate.alpha,
    )
    is_same = bool(np.array_equal(candidate, baseline))
    status: CheckStatus = "pass" if is_same or found.low > -gate.max_drop else "fail"
    sentence = (
        f"{gate.metric} {found.candidate:.4f} against {found.baseline:.4f} of {champion}: "
        f"{'better' if found.difference >= 0 else 'worse'} by {abs(found.difference):.4f} "
        f"[{found.low:+.4f}, {found.high:+.4f}], may lose {gate.max_drop:g}"
    )
    return _result(
        gate, severity, status, sentence, {"champion": champion, **asdict(found), "seed": gate.seed}
    )


def _obstacle(
    gate: ChampionGate, labels: Floats, groups: NDArray[np.int64] | None, scores: dict[str, Floats]
) -> str | None:
    """Say why the rows or the scores do not allow the comparison; None when they do."""
    if len(labels) < gate.min_rows:
        return f"{len(labels)} held-out rows are too few, {gate.min_rows} are needed"
    if groups is not None and int(groups.max()) + 1 < gate.min_groups:
        return f"{int(groups.max()) + 1} groups are too few, {gate.min_groups} are needed"
    if gate.metric == "roc_auc":
        positives = int((labels > 0.5).sum())
        fewest = min(positives, len(labels) - positives)
        if fewest < gate.min_of_class:
            return f"{fewest} held-out rows of the rarer class are too few, {gate.min_of_class} are needed"
    if gate.metric in OF_SCORES:
        hard = [name for name, values in scores.items() if np.isin(values, (0.0, 1.0)).all()]
        if hard:
            return (
                f"{gate.metric} needs scores, but {' and '.join(hard)} gives classes only (no `probability`)"
            )
    return None


def _result(
    gate: ChampionGate, severity: Severity, status: CheckStatus, sentence: str, evidence: dict[str, object]
) -> CheckResult:
    return CheckResult(
        kind="champion",
        name=gate.metric,
        status=status,
        severity=severity,
        sentence=sentence,
        evidence=evidence,
    )
