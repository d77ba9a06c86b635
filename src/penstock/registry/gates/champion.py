"""No worse than the champion on the same held-out rows, beyond a margin and chance."""

from __future__ import annotations

from dataclasses import asdict

import numpy as np

from penstock.registry.entities import CheckResult, CheckStatus, Severity
from penstock.registry.gates.check import Evidence
from penstock.registry.gates.settings import ChampionGate
from penstock.stats.significance import paired_bootstrap


def check_champion(gate: ChampionGate, severity: Severity, evidence: Evidence) -> CheckResult:
    """Test non-inferiority against the champion by the paired bootstrap, with a fixed seed."""
    baseline = evidence.held_out.champion_scores()
    champion = evidence.held_out.champion
    if baseline is None:
        what = f"this is {champion} itself" if champion else "there is no champion in this store yet"
        return _result(gate, severity, "pass", f"{what}: nothing to compare with", {"champion": champion})
    labels, candidate = evidence.held_out.labels(), evidence.held_out.candidate_scores()
    if len(labels) < gate.min_rows:
        sentence = (
            f"{len(labels)} held-out rows are too few to compare with {champion}: {gate.min_rows} are needed"
        )
        return _result(gate, severity, "fail", sentence, {"row_count": len(labels)})
    found = paired_bootstrap(
        gate.metric,
        labels,
        candidate,
        baseline,
        generator=np.random.default_rng(gate.seed),
        resample_count=gate.resamples,
        alpha=gate.alpha,
    )
    status: CheckStatus = "pass" if found.low > -gate.max_drop else "fail"
    sentence = (
        f"{gate.metric} {found.candidate:.4f} against {found.baseline:.4f} of {champion}: "
        f"{'better' if found.difference >= 0 else 'worse'} by {abs(found.difference):.4f} "
        f"[{found.low:+.4f}, {found.high:+.4f}], may lose {gate.max_drop:g}"
    )
    return _result(
        gate, severity, status, sentence, {"champion": champion, **asdict(found), "seed": gate.seed}
    )


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
