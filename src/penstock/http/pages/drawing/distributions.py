"""Two distributions of one feature beside each other, as coordinates. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from penstock.monitoring.reporting.changes import FeatureChange

WIDTH, HEIGHT, BOTTOM, TOP, MOST_LABELS = 480, 132, 20, 6, 6


@dataclass(frozen=True)
class Pair:
    """The two bars of one place: left edge, width of each, tops and heights, and what a pointer over them says."""

    x: float
    width: float
    before: tuple[float, float]
    after: tuple[float, float]
    text: str


@dataclass(frozen=True)
class Distribution:
    """Bars before and after, with some of their labels."""

    pairs: tuple[Pair, ...]
    labels: tuple[tuple[float, str], ...]
    summary: str
    width: int = WIDTH
    height: int = HEIGHT
    base: int = HEIGHT - BOTTOM


def draw_distribution(change: FeatureChange) -> Distribution | None:
    """Return both distributions of a feature; None where there is nothing to draw."""
    most = max((max(one.reference, one.current) for one in change.bars), default=0.0)
    if not most:
        return None
    step = WIDTH / len(change.bars)
    scale = (HEIGHT - BOTTOM - TOP) / most

    def bar(share: float) -> tuple[float, float]:
        return round(HEIGHT - BOTTOM - share * scale, 1), round(share * scale, 1)

    pairs = tuple(
        Pair(
            round(at * step + 0.06 * step, 1),
            round(0.42 * step, 1),
            bar(one.reference),
            bar(one.current),
            f"{one.label}: {100 * one.reference:.3g} % before, {100 * one.current:.3g} % after",
        )
        for at, one in enumerate(change.bars)
    )
    each = max(1, -(-len(change.bars) // MOST_LABELS))
    labels = tuple(
        (round((at + 0.5) * step, 1), one.label if len(one.label) <= 12 else f"{one.label[:11]}…")
        for at, one in enumerate(change.bars)
        if at % each == 0
    )
    return Distribution(pairs, labels, f"{change.name}: {change.sentence}")
