"""What a difference was found to be made of: its numbers, its words and its document."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import msgspec

from penstock.flows.comparing.parts import Part
from penstock.flows.comparing.sides import Side
from penstock.flows.comparing.swapping import Measured
from penstock.stats.attribution import Share


@dataclass(frozen=True)
class Cell:
    """One set of parts taken from the second side, and what was measured with it, by repetition."""

    swapped: tuple[str, ...]
    measured: tuple[Measured, ...]


@dataclass(frozen=True)
class Attribution:
    """What the differences of metrics are made of. `shares` is by metric and part; empty for a plan."""

    parts: tuple[Part, ...]
    cells: tuple[Cell, ...]
    ends: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    shares: Mapping[str, Mapping[str, Share]] = field(default_factory=dict)
    orders_used: int = 0
    orders_total: int = 0
    is_exact: bool = True
    repetitions: int = 1
    notes: tuple[str, ...] = ()
    evidence: str | None = None


def sentences(found: Attribution) -> list[str]:
    """Return a sentence a metric: `roc_auc +0.030: data +0.028 ± 0.004, parameters +0.002 ± 0.001`."""
    return [
        f"{metric} {found.ends[metric][1] - found.ends[metric][0]:+.4g}: "
        + ", ".join(f"{part} {_signed(share)}" for part, share in shares.items())
        for metric, shares in found.shares.items()
    ]


def _signed(share: Share) -> str:
    return f"{share.value:+.4g}" + (f" ± {share.half_width:.2g}" if share.half_width is not None else "")


def attribution_document(found: Attribution, first: Side, second: Side) -> dict[str, Any]:
    """Return the result as a document: sides, parts, every measurement, shares with their intervals."""
    return {
        "first": {"name": first.name, "commit": first.commit},
        "second": {"name": second.name, "commit": second.commit},
        "parts": [{"name": one.name, "kind": one.kind, "files": list(one.files)} for one in found.parts],
        "metrics": {
            metric: {
                "first": found.ends[metric][0],
                "second": found.ends[metric][1],
                "difference": found.ends[metric][1] - found.ends[metric][0],
                "shares": {
                    part: {"value": share.value, "half_width": share.half_width}
                    for part, share in shares.items()
                },
            }
            for metric, shares in found.shares.items()
        },
        "orders": {
            "used": found.orders_used, "total": found.orders_total, "is_exact": found.is_exact
        },
        "repetitions": found.repetitions,
        "mixtures": [
            {"of_second": list(cell.swapped), "runs": [msgspec.to_builtins(one) for one in cell.measured]}
            for cell in found.cells
        ],
        "notes": list(found.notes),
        "evidence": found.evidence,
    }  # fmt: skip
