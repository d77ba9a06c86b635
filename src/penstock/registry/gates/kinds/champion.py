"""`champion`: no worse than the champion on the same held-out rows, beyond a margin and chance."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any, Literal

import msgspec
import numpy as np
from numpy.typing import NDArray

from penstock.registry.entities import CheckStatus
from penstock.registry.gates.check import Evidence, Floats, Gate, MetricName, Outcome
from penstock.stats.significance import paired_bootstrap

OF_SCORES = frozenset({"roc_auc", "log_loss"})
"""Metrics that mean nothing of classes alone."""
CAME_LATER = {"group": None, "min_of_class": 20, "min_groups": 10}
"""Settings that count for a verdict only where they differ from these, so that older verdicts keep holding."""


class ChampionGate(msgspec.Struct, frozen=True, kw_only=True):
    """No worse than the champion on the same held-out rows, beyond `max_drop`.

    The lower bound (at confidence 1 - `alpha` / 2) of candidate minus champion must lie above
    -`max_drop`: non-inferiority. The first version has no champion and passes with that said. Rows with the
    same value in the column `group` (a customer, an hour) belong together and are resampled together.
    `min_of_class` rows of the rarer class are needed for `roc_auc`, `min_groups` groups for any metric.
    """

    metric: MetricName
    max_drop: float = 0.005
    test: Literal["paired_bootstrap"] = "paired_bootstrap"
    resamples: int = 1000
    alpha: float = 0.05
    seed: int = 0
    min_rows: int = 200
    group: str | None = None
    min_of_class: int = 20
    min_groups: int = 10

    def __post_init__(self) -> None:
        """Refuse values outside their range."""
        if self.max_drop < 0 or not 0 < self.alpha < 1 or self.resamples < 100:
            raise ValueError("`max_drop` must be at least 0, `alpha` in (0, 1), `resamples` at least 100")
        if self.min_of_class < 2 or self.min_groups < 2:
            raise ValueError("`min_of_class` and `min_groups` must be at least 2")


def check_champion(gate: ChampionGate, evidence: Evidence) -> Outcome:
    """Test non-inferiority against the champion by the paired bootstrap, with a fixed seed."""
    champion = evidence.held_out.champion
    classes = evidence.held_out.of_classes(gate.metric)
    baseline = classes[2] if classes is not None else evidence.held_out.champion_scores()
    if baseline is None:
        what = f"this is {champion} itself" if champion else "there is no champion in this store yet"
        return Outcome(
            "pass", f"{what}: nothing to compare with", expected="a champion", evidence={"champion": champion}
        )
    labels, candidate = (
        classes[:2]
        if classes is not None
        else (evidence.held_out.labels(), evidence.held_out.candidate_scores())
    )
    groups = evidence.held_out.groups(gate.group) if gate.group is not None else None
    obstacle = _obstacle(gate, labels, groups, {"the candidate": candidate, str(champion): baseline})
    if obstacle is not None:
        sentence = f"cannot be compared with {champion}: {obstacle}"
        return Outcome("fail", sentence, n=len(labels), evidence={"row_count": len(labels)})
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
    return Outcome(
        status,
        sentence,
        observed=found.difference,
        expected=f"surely more than {-gate.max_drop:g}",
        n=found.row_count,
        interval=(found.low, found.high),
        evidence={"champion": champion, **asdict(found), "seed": gate.seed},
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


def _written(gate: ChampionGate) -> dict[str, Any]:
    written: dict[str, Any] = msgspec.to_builtins(gate)
    return {key: value for key, value in written.items() if key not in CAME_LATER or value != CAME_LATER[key]}


GATE = Gate(settings=ChampionGate, check=check_champion, title=lambda gate: gate.metric, written=_written)
