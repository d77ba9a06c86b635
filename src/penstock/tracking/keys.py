"""Which metrics, parameters and tags runs have, by their keys."""

from __future__ import annotations

from collections.abc import Sequence

import sqlalchemy as sa

from penstock.tracking.tables import run_latest_metrics, run_params, run_tags, runs

_PAIRS = {"param": run_params, "tag": run_tags}
KEYED = frozenset({"metric", *_PAIRS})
"""What has keys of its own; attributes have not."""


def has_key(connection: sa.Connection, experiment_ids: Sequence[int], kind: str, key: str) -> bool:
    """Say whether a run of these experiments has a metric, parameter or tag.

    Cost: a look into an index for a metric; for the others, a walk that ends at the first run that has it.
    """
    if kind == "metric":
        found = sa.select(sa.literal(1)).where(
            run_latest_metrics.c.experiment_id.in_(experiment_ids), run_latest_metrics.c.key == key
        )
    else:
        pairs = _PAIRS[kind]
        found = (
            sa.select(sa.literal(1))
            .select_from(pairs.join(runs, runs.c.id == pairs.c.run_id))
            .where(pairs.c.key == key, runs.c.experiment_id.in_(experiment_ids))
        )
    return connection.execute(found.limit(1)).first() is not None
