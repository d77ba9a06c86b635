"""`champion`: not worse than the champion on the same held-out rows. The comparisons are in `penstock.stats`."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal

import msgspec
import numpy as np
from numpy.typing import NDArray

from penstock.base.numbers import counted
from penstock.registry.entities import CheckStatus
from penstock.registry.gates.asking import Weighed
from penstock.registry.gates.check import Evidence, Floats, Gate, Outcome
from penstock.stats.losses import losses
from penstock.stats.metric_names import Compared
from penstock.stats.paired import PairedTest, delong, holm, mcnemar, paired_means
from penstock.stats.significance import PairedDifference, paired_bootstrap

OF_SCORES = frozenset({"roc_auc", "log_loss"})
"""Metrics that mean nothing of classes alone."""
CAME_LATER = {"group": None, "min_of_class": 20, "min_groups": 10, "mode": None, "margin": None}
"""Settings that count for a verdict only where they differ from these, so that older verdicts keep holding."""


class ChampionGate(msgspec.Struct, frozen=True, kw_only=True):
    """Not worse than the champion on the same held-out rows, in one metric or in each of several.

    `mode: non_inferior` passes what is surely not worse by more than `margin` (also called `max_drop`): the lower bound
    (at confidence 1 - `alpha` / 2) of candidate minus champion must lie above -`margin`. `mode: not_worse` refuses what
    is surely worse, with an error rate of `alpha` over all metrics (Holm). The first version has no champion and passes
    with that said. Rows with the same value in the column `group` (a customer, an hour) belong together.
    `min_of_class` rows of the rarer class are needed for `roc_auc`, `min_groups` groups for any metric.

    Without `mode` it is `non_inferior` by the paired bootstrap.
    """

    metric: Compared | tuple[Compared, ...]
    mode: Literal["non_inferior", "not_worse"] | None = None
    margin: float | None = None
    max_drop: float = 0.005
    test: Literal["by_metric", "paired_bootstrap"] | None = None
    resamples: int = 1000
    alpha: float = 0.05
    seed: int = 0
    min_rows: int = 200
    group: str | None = None
    min_of_class: int = 20
    min_groups: int = 10

    def __post_init__(self) -> None:
        """Refuse values outside their range, and those that another one makes meaningless."""
        if self.max_drop < 0 or not 0 < self.alpha < 1 or self.resamples < 100:
            raise ValueError("`max_drop` must be at least 0, `alpha` in (0, 1), `resamples` at least 100")
        if self.min_of_class < 2 or self.min_groups < 2:
            raise ValueError("`min_of_class` and `min_groups` must be at least 2")
        if self.margin is not None and (self.margin < 0 or self.max_drop != 0.005):
            raise ValueError("`margin` must be at least 0, and is another word for `max_drop`: write one")
        if self.mode == "not_worse" and (self.margin is not None or self.max_drop != 0.005):
            raise ValueError("`not_worse` has no `margin`: it asks whether the candidate is surely worse")
        if not self.metrics or len(set(self.metrics)) != len(self.metrics):
            raise ValueError("`metric` names one metric, or several different ones")
        if self.is_bootstrap and (len(self.metrics) > 1 or self.mode == "not_worse"):
            raise ValueError(
                "the paired bootstrap is for one metric and `non_inferior`: write `test: by_metric`"
            )

    @property
    def metrics(self) -> tuple[Compared, ...]:
        """The metrics, also where there is one."""
        return self.metric if isinstance(self.metric, tuple) else (self.metric,)

    @property
    def is_bootstrap(self) -> bool:
        """Whether the rows are resampled."""
        return self.test == "paired_bootstrap" or (
            self.test is None and self.mode is None and len(self.metrics) == 1
        )

    @property
    def allowed(self) -> float:
        """How much worse a candidate may be."""
        return self.max_drop if self.margin is None else self.margin


@dataclass(frozen=True)
class _Compared:
    """What was found of one metric; the numbers are those of evidence."""

    metric: Compared
    found: PairedTest | PairedDifference
    is_same: bool

    @property
    def sentence(self) -> str:
        found = self.found
        if found.difference >= 0:
            return f"better by {found.difference:.4f} [{found.low:+.4f}, {found.high:+.4f}]"
        return f"worse by {-found.difference:.4f} [{-found.high:+.4f}, {-found.low:+.4f}]"


def check_champion(gate: ChampionGate, evidence: Evidence) -> Outcome:
    """Compare the candidate with the champion.

    Raises:
        Invalid: the rows or the models cannot be compared.
    """
    champion = evidence.held_out.champion
    evidence.held_out.require_columns(*([gate.group] if gate.group is not None else []))
    compared = []
    groups = None
    for metric in gate.metrics:
        classes = evidence.held_out.of_classes(metric)
        baseline = classes[2] if classes is not None else evidence.held_out.champion_scores()
        if baseline is None:
            what = f"this is {champion} itself" if champion else "there is no champion in this store yet"
            return Outcome(
                "pass",
                f"{what}: nothing to compare with",
                expected="a champion",
                evidence={"champion": champion},
            )
        labels, candidate = (
            classes[:2]
            if classes is not None
            else (evidence.held_out.labels(), evidence.held_out.candidate_scores())
        )
        if gate.group is not None and groups is None:
            groups = evidence.held_out.groups(gate.group)
        scores = {"the candidate": candidate, str(champion): baseline}
        obstacle = _obstacle(gate, metric, labels, groups, scores)
        if obstacle is not None:
            sentence = f"cannot be compared with {champion}: {obstacle}"
            return Outcome("error", sentence, n=len(labels), evidence={"row_count": len(labels)})
        found = _compare(gate, metric, labels, candidate, baseline, groups)
        if not np.isfinite((found.difference, found.low, found.high)).all():
            # as of squares too large for a number: neither side of a limit
            sentence = f"cannot be compared with {champion}: {metric} {found.candidate:.4g} against {found.baseline:.4g} is no number"
            return Outcome("error", sentence, n=len(labels), evidence={"row_count": len(labels)})
        compared.append(_Compared(metric, found, bool(np.array_equal(candidate, baseline))))
    return (_not_worse if gate.mode == "not_worse" else _non_inferior)(gate, compared, str(champion))


def _compare(
    gate: ChampionGate,
    metric: Compared,
    labels: Floats,
    candidate: Floats,
    baseline: Floats,
    groups: NDArray[np.int64] | None,
) -> PairedTest | PairedDifference:
    """Return how a candidate differs from the champion in one metric."""
    if gate.is_bootstrap:
        return paired_bootstrap(
            metric,
            labels,
            candidate,
            baseline,
            generator=np.random.default_rng(gate.seed),
            groups=groups,
            resample_count=gate.resamples,
            alpha=gate.alpha,
        )
    if metric == "roc_auc":
        return delong(labels, candidate, baseline, groups=groups, alpha=gate.alpha)
    ours, theirs = losses(metric, labels, candidate), losses(metric, labels, baseline)
    if metric == "accuracy":
        return mcnemar(1 - ours, 1 - theirs, groups=groups, alpha=gate.alpha)
    return paired_means(ours, theirs, groups=groups, alpha=gate.alpha)


def _non_inferior(gate: ChampionGate, compared: list[_Compared], champion: str) -> Outcome:
    """Pass what is surely not worse by more than the margin in any metric.

    It has to hold in each, so no metric gives chance one more try: there is nothing to correct.
    Source: Berger, Technometrics 24 (1982), the intersection-union test.
    """
    lacking = [one for one in compared if not one.is_same and one.found.low <= -gate.allowed]
    status: CheckStatus = "fail" if lacking else "pass"
    words = [
        f"{one.metric} {one.found.candidate:.4f} against {one.found.baseline:.4f} of {champion}: {one.sentence}"
        for one in (lacking or compared)
    ]
    return _outcome(
        gate, status, f"{'; '.join(words)}, may lose {gate.allowed:g}", (lacking or compared)[0], compared,
        f"surely more than {-gate.allowed:g}", champion, {},
    )  # fmt: skip


def _not_worse(gate: ChampionGate, compared: list[_Compared], champion: str) -> Outcome:
    """Refuse what is surely worse in some metric; each one gives chance one more try, which Holm's rule counts."""
    adjusted = holm({one.metric: _chance(one) for one in compared})
    worst = min(compared, key=lambda one: adjusted[one.metric])
    worse = [one for one in compared if adjusted[one.metric] < gate.alpha]
    words = [
        f"{one.metric} {one.found.candidate:.4f} against {one.found.baseline:.4f} of {champion}: {one.sentence}, "
        f"{'surely worse' if worse else 'not surely worse'} (p {adjusted[one.metric]:.3g})"
        for one in (worse or compared)
    ]
    expected = f"not surely worse (p at least {gate.alpha:g}" + (
        f" after Holm over {len(compared)} metrics)" if len(compared) > 1 else ")"
    )
    return _outcome(
        gate, "fail" if worse else "pass", "; ".join(words), worst, compared, expected, champion, adjusted
    )


def _outcome(
    gate: ChampionGate, status: CheckStatus, sentence: str, shown: _Compared, compared: list[_Compared],
    expected: str, champion: str, adjusted: dict[str, float],
) -> Outcome:  # fmt: skip
    kept: dict[str, Any] = {"champion": champion}
    if gate.is_bootstrap:
        kept |= {**asdict(shown.found), "seed": gate.seed}
    else:
        kept["metrics"] = {one.metric: _told(one.found, adjusted.get(one.metric)) for one in compared}
    return Outcome(
        status,
        sentence,
        observed=shown.found.difference,
        expected=expected,
        n=shown.found.row_count,
        interval=(shown.found.low, shown.found.high),
        evidence=kept,
    )


def _chance(one: _Compared) -> float:
    """Return how likely so bad a candidate is, were it as good as the champion."""
    return one.found.p_worse if isinstance(one.found, PairedTest) and not one.is_same else 1.0


def _told(found: PairedTest | PairedDifference, adjusted: float | None) -> dict[str, Any]:
    return {**asdict(found), **({} if adjusted is None else {"p_adjusted": adjusted})}


def _obstacle(
    gate: ChampionGate,
    metric: Compared,
    labels: Floats,
    groups: NDArray[np.int64] | None,
    scores: dict[str, Floats],
) -> str | None:
    """Say why the rows or the scores do not allow the comparison; None when they do."""
    if len(labels) < gate.min_rows:
        return f"{len(labels)} held-out rows are too few, {gate.min_rows} are needed"
    if groups is not None and int(groups.max()) + 1 < gate.min_groups:
        return f"{int(groups.max()) + 1} groups are too few, {gate.min_groups} are needed"
    if metric == "roc_auc":
        is_positive = labels > 0.5
        fewest = min(int(is_positive.sum()), int((~is_positive).sum()))
        if fewest < gate.min_of_class:
            return f"{fewest} held-out rows of the rarer class are too few, {gate.min_of_class} are needed"
        if groups is not None:
            having = min(len(np.unique(groups[is_positive])), len(np.unique(groups[~is_positive])))
            if having < gate.min_groups:
                return f"{counted(having, 'group')} with rows of the rarer class are too few, {gate.min_groups} are needed"
    unknown = [name for name, values in scores.items() if not np.isfinite(values).all()]
    if unknown:
        return f"{' and '.join(unknown)} gives no number for some rows"
    if metric in OF_SCORES:
        hard = [name for name, values in scores.items() if np.isin(values, (0.0, 1.0)).all()]
        if hard:
            return f"{metric} needs scores, but {' and '.join(hard)} gives classes only (no `probability`)"
    return None


def _written(gate: ChampionGate) -> dict[str, Any]:
    written: dict[str, Any] = msgspec.to_builtins(gate)
    if gate.is_bootstrap:
        written["test"] = "paired_bootstrap"
    return {key: value for key, value in written.items() if key not in CAME_LATER or value != CAME_LATER[key]}


def _weighed(gate: ChampionGate) -> dict[str, Weighed]:
    """Return what can ask for less: `alpha` is an error of letting through, but of refusing where the mode is `not_worse`."""
    is_refusing = gate.mode == "not_worse"
    return {
        "metric": Weighed(gate.metrics, "fewer"),
        "mode": Weighed(gate.mode or "non_inferior", {"non_inferior": 0, "not_worse": 1}),
        "max_drop": Weighed(gate.allowed, "higher"),
        "alpha": Weighed(gate.alpha, "lower" if is_refusing else "higher"),
        "group": Weighed(gate.group, "any"),
        "min_rows": Weighed(gate.min_rows, "lower"),
        "min_of_class": Weighed(gate.min_of_class, "lower"),
        "min_groups": Weighed(gate.min_groups, "lower"),
        "test": Weighed("paired_bootstrap" if gate.is_bootstrap else "by_metric", "any"),
        "resamples": Weighed(gate.resamples, "lower"),
        "seed": Weighed(gate.seed, "any"),
    }


GATE = Gate(
    settings=ChampionGate,
    check=check_champion,
    title=lambda gate: ", ".join(gate.metrics),
    written=_written,
    weighed=_weighed,
)
