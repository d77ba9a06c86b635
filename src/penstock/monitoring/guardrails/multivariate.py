"""The guardrail on live rows as a whole against the rows of the reference."""

from __future__ import annotations

from collections.abc import Collection, Iterator

import msgspec

from penstock.monitoring.findings import Finding
from penstock.monitoring.guardrails.limits import MultivariateLimit
from penstock.monitoring.guardrails.measured import Measured, Reference, make_finding
from penstock.monitoring.rowwise.multivariate import Separated, separation
from penstock.monitoring.rowwise.rows import Rows
from penstock.monitoring.windows import Window, WindowKey

NAME = "auc"
SURELY = 3.0
"""Standard errors by which the area must be above the limit: of looks without number one in some hundreds of rows
that are all but at the limit is over it by chance; rows without drift are far below."""
TOLD = 3
"""So many features are named in a sentence."""


def judge_multivariate(
    limit: MultivariateLimit, key: WindowKey, rows: Rows, reference: Reference, left_out: Collection[str] = ()
) -> Iterator[Finding]:
    """Judge rows against the reference's; no finding while they are too few, or of too few requests.

    Args:
        key: of what the rows are; the finding begins with the oldest of them.
        left_out: columns that are not kept.
    """
    if rows.row_count < limit.min_rows or reference.rows is None:
        return
    found = separation(reference.rows, rows, reference.separation, left_out)
    if found is None:
        return
    surely = found.area - SURELY * found.error
    breached = surely > limit.auc_max and found.area > found.noise
    near = not breached and found.area - 0.5 >= limit.resolve_below * (limit.auc_max - 0.5)
    window = Window(
        key=msgspec.structs.replace(key, start_s=rows.start_s), window_s=max(0, key.start_s - rows.start_s)
    )
    yield make_finding(
        "multivariate",
        window,
        Measured(
            name=NAME,
            observed=found.area,
            limit=limit.auc_max,
            count=found.n_current,
            statistic="lower_bound",
            statistic_value=surely,
            breached=breached,
            near=near and found.area > found.noise,
        ),
        f"a classifier tells {found.n_current:,} live rows from {found.n_reference:,} of the reference with an AUC of "
        f"{found.area:.3f} ± {2 * found.error:.3f} (without drift: up to {found.noise:.3f}); it "
        f"{'is surely over' if breached else 'is not surely over'} the limit of {limit.auc_max:g}"
        f"{_features(found) if found.area > found.noise else ''}",
    )


def _features(found: Separated) -> str:
    if not found.features:
        return ""
    named = [f"{name} ({part:.2f})" for name, part in found.features[:TOLD]]
    more = len(found.features) - TOLD
    others = f" and {more} more" if more > 0 else ""
    return f"; what gives them away, by what the AUC loses without it: {', '.join(named)}{others}"
