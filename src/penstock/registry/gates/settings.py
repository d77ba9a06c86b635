"""Gate settings: the `gates:` list of penstock.yaml. Every entry is one check; all must pass."""

from __future__ import annotations

from typing import Literal

import msgspec

from penstock.base.digest import digest_value
from penstock.registry.entities import Severity

MetricName = Literal["roc_auc", "brier", "accuracy", "log_loss", "mae"]


class MetricGate(msgspec.Struct, frozen=True, kw_only=True):
    """A metric of the metrics file within fixed limits."""

    name: str
    min: float | None = None
    max: float | None = None

    def __post_init__(self) -> None:
        """Refuse a check that cannot fail."""
        if self.min is None and self.max is None:
            raise ValueError("a metric check needs `min` or `max`")


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


class SchemaGate(msgspec.Struct, frozen=True, kw_only=True):
    """A table has the columns, types and ranges that a schema file states."""

    table: str
    schema: str


class GateEntry(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One entry under `gates:`: exactly one check, and whether its failure blocks or warns."""

    metric: MetricGate | None = None
    champion: ChampionGate | None = None
    schema: SchemaGate | None = None
    severity: Severity = "block"

    def __post_init__(self) -> None:
        """Refuse an entry without a check, or with two."""
        if sum(getattr(self, kind) is not None for kind in KINDS) != 1:
            raise ValueError(f"a gate entry names exactly one of {', '.join(f'`{kind}`' for kind in KINDS)}")

    @property
    def kind(self) -> str:
        """The name of its check, one of `KINDS`."""
        return next(kind for kind in KINDS if getattr(self, kind) is not None)


KINDS = tuple(name for name in GateEntry.__struct_fields__ if name != "severity")
"""The kinds of checks there are: the fields of an entry. `judge.CHECKS` has the function of each."""


def settings_digest(gates: tuple[GateEntry, ...]) -> str:
    """Return the digest a verdict is bound to: other gates, other digest.

    Settings that came later count only where they are used, so that older verdicts keep holding.
    """
    written = msgspec.to_builtins(gates)
    for champion in (entry["champion"] for entry in written if "champion" in entry):
        for name, default in (("group", None), ("min_of_class", 20), ("min_groups", 10)):
            if champion[name] == default:
                del champion[name]
    return digest_value(written)
