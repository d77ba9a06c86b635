"""The metrics of model versions as tables tell them, all numbers of a table with the same decimals. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from penstock.flows.chain.outings import Outing
from penstock.http.pages.telling.formatting import column, columns, signed_column
from penstock.records.metric_names import LOWER_IS_BETTER, METRICS
from penstock.registry.entities import ModelVersion


@dataclass(frozen=True)
class Measure:
    """A metric of a version: offline, live, and what the champion has; the difference is to the champion."""

    name: str
    offline: float | None
    live: float | None
    champion: float | None
    is_loss: bool | None

    @property
    def difference(self) -> float | None:
        """How much more than the champion's the offline value is."""
        if self.offline is None or self.champion is None:
            return None
        return self.offline - self.champion

    @property
    def is_better(self) -> bool | None:
        """Whether it is better than the champion's; None where nobody knows which is better."""
        if not self.difference or self.is_loss is None:
            return None
        return (self.difference < 0) is self.is_loss


@dataclass(frozen=True)
class MeasureRow:
    """A metric of a version as a row of texts."""

    name: str
    offline: str
    live: str
    champion: str
    difference: str
    is_better: bool | None


def measures_of(version: ModelVersion, outing: Outing, champion: ModelVersion | None) -> list[Measure]:
    """Return the metrics of a version, those that are known live first."""
    names = sorted(version.metrics, key=lambda name: (name not in outing.live, name not in METRICS, name))
    return [
        Measure(
            name,
            version.metrics.get(name),
            outing.live.get(name),
            champion.metrics.get(name) if champion else None,
            name in LOWER_IS_BETTER if name in METRICS else None,
        )
        for name in names
    ]


def measure_rows(measures: Sequence[Measure]) -> list[MeasureRow]:
    """Return metrics as rows: the values have the same decimals, and so have the differences."""
    values = columns((one.offline, one.live, one.champion) for one in measures)
    differences = signed_column([one.difference for one in measures])
    return [
        MeasureRow(one.name, offline, live, champion, difference, one.is_better)
        for one, (offline, live, champion), difference in zip(measures, values, differences, strict=True)
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
) -> dict[str, dict[str, tuple[str, str]]]:
    """Return the texts of metrics by version and metric, offline and live; those of a metric have the same decimals."""
    found: dict[str, dict[str, tuple[str, str]]] = {one.ref: {} for one in versions}
    for name in names:
        offline = [one.metrics.get(name) for one in versions]
        live = [outings[(one.model, one.number)].live.get(name) for one in versions]
        texts = column([*offline, *live])
        for place, one in enumerate(versions):
            found[one.ref][name] = (texts[place], texts[place + len(versions)])
    return found
