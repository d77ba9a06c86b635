"""The metrics of model versions as tables tell them, all numbers of a table with the same decimals. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from penstock.flows.chain.outings import LiveOn, Outing
from penstock.http.pages.telling.formatting import column, columns, signed_column
from penstock.registry.entities import ModelVersion
from penstock.stats.metric_names import LOWER_IS_BETTER, METRICS


@dataclass(frozen=True)
class Measure:
    """A metric of a version: offline, live on each endpoint, and what the champion has; the difference is to the champion."""

    name: str
    offline: float | None
    live: tuple[float | None, ...]
    champion: float | None
    is_loss: bool | None
    is_comparable: bool = True

    @property
    def difference(self) -> float | None:
        """How much more than the champion's the offline value is."""
        if self.offline is None or self.champion is None:
            return None
        return self.offline - self.champion

    @property
    def is_better(self) -> bool | None:
        """Whether it is better than the champion's; None where nobody knows which is better, or both are of other rows."""
        if not self.difference or self.is_loss is None or not self.is_comparable:
            return None
        return (self.difference < 0) is self.is_loss


@dataclass(frozen=True)
class MeasureRow:
    """A metric of a version as a row of texts."""

    name: str
    offline: str
    live: tuple[str, ...]
    champion: str
    difference: str
    is_better: bool | None


def measures_of(
    version: ModelVersion, outing: Outing, champion: ModelVersion | None, *, is_comparable: bool = True
) -> list[Measure]:
    """Return the metrics of a version, those that are known live first, then those that it has live or the champion alone.

    Args:
        is_comparable: whether its offline numbers and the champion's are of the same rows.
    """
    told = {name for one in outing.live for name in one.metrics}
    names = sorted(
        {*version.metrics, *told, *(champion.metrics if champion else ())},
        key=lambda name: (name not in version.metrics, name not in told, name not in METRICS, name),
    )
    return [
        Measure(
            name,
            version.metrics.get(name),
            tuple(one.metrics.get(name) for one in outing.live),
            champion.metrics.get(name) if champion else None,
            name in LOWER_IS_BETTER if name in METRICS else None,
            is_comparable,
        )
        for name in names
    ]


def measure_rows(measures: Sequence[Measure]) -> list[MeasureRow]:
    """Return metrics as rows: the values have the same decimals, and so have the differences."""
    values = columns((one.offline, one.champion, *one.live) for one in measures)
    differences = signed_column([one.difference for one in measures])
    return [
        MeasureRow(one.name, offline, tuple(live), champion, difference, one.is_better)
        for one, (offline, champion, *live), difference in zip(measures, values, differences, strict=True)
    ]


def beside_each_other(
    ours: Mapping[str, float], theirs: Mapping[str, float], names: Sequence[str]
) -> list[tuple[str, str, str, str]]:
    """Return metrics of two versions as rows: name, ours, theirs, how much more ours is."""
    values = columns((ours.get(name), theirs.get(name)) for name in names)
    more = [ours[name] - theirs[name] if name in ours and name in theirs else None for name in names]
    return [
        (name, mine, other, difference)
        for name, (mine, other), difference in zip(names, values, signed_column(more), strict=True)
    ]


def version_numbers(
    versions: Sequence[ModelVersion], names: Sequence[str], outings: Mapping[tuple[str, int], Outing]
) -> dict[str, dict[str, tuple[str, list[tuple[LiveOn, str]]]]]:
    """Return the texts of metrics by version and metric, offline and live on each endpoint; a metric's have the same decimals."""
    found: dict[str, dict[str, tuple[str, list[tuple[LiveOn, str]]]]] = {one.ref: {} for one in versions}
    for name in names:
        live = [outings[(one.model, one.number)].live_values(name) for one in versions]
        numbers = [one.metrics.get(name) for one in versions] + [value for each in live for _, value in each]
        texts = iter(column(numbers))
        offline = [next(texts) for _ in versions]
        for one, text, each in zip(versions, offline, live, strict=True):
            found[one.ref][name] = (text, [(place, next(texts)) for place, _ in each])
    return found
