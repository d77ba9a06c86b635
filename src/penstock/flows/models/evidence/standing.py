"""Which verdict a version went out on, and which came after: versions with the same files share their verdicts.

What a door says of a version now is in `flows/models/evidence/doors`.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import sqlalchemy as sa

from penstock.registry.entities import CHAMPION, ModelVersion, Verdict
from penstock.registry.tables import alias_moves
from penstock.registry.tables import versions as version_rows
from penstock.registry.verdicts import list_verdicts_since
from penstock.serving.deployments import revisions

MOST = 20
"""So many later verdicts are told of."""


class JudgedAgain(msgspec.Struct, frozen=True, kw_only=True):
    """A later verdict on the same files; `for_ref` is the version that was registered on it, empty where it was none."""

    verdict: Verdict
    for_ref: str = ""


def went_out_ms(connection: sa.Connection, models: Sequence[str]) -> dict[tuple[str, int], int]:
    """Return when each version of these models last went out, by model and number: became champion, or began to answer.

    A version that answers without a break went out when it began to; a step of its rollout, or another canary beside it,
    is no release of it.
    """
    moves = sa.select(alias_moves.c.model, alias_moves.c.version, alias_moves.c.time_ms).where(
        alias_moves.c.model.in_(models), alias_moves.c.name == CHAMPION, alias_moves.c.version.is_not(None)
    )
    champions = {
        (row.model, row.version): row.time_ms for row in connection.execute(moves.order_by(alias_moves.c.id))
    }
    columns = revisions.c
    query = sa.select(
        columns.endpoint_id,
        columns.number,
        columns.model,
        columns.stable,
        columns.canary_version,
        columns.created_ms,
    ).where(columns.model.in_(models))
    spans: dict[tuple[str, int], dict[int, tuple[int, int]]] = {}
    for row in connection.execute(query.order_by(columns.endpoint_id, columns.number)):
        for version in {row.stable, row.canary_version} - {None}:
            known = spans.setdefault((row.model, version), {})
            began = known.get(row.endpoint_id)
            lasts = began is not None and began[0] == row.number - 1
            known[row.endpoint_id] = (row.number, began[1] if lasts and began else row.created_ms)
    served = {key: min(began for _, began in of.values()) for key, of in spans.items()}
    return {key: min(served.get(key, ms), ms) for key, ms in champions.items()} | {
        key: ms for key, ms in served.items() if key not in champions
    }


def list_judged_again(
    connection: sa.Connection, version: ModelVersion, verdict: Verdict | None
) -> list[JudgedAgain]:
    """Return the verdicts on a version's files that came after one, newest first, and for which version each was."""
    later = list_verdicts_since(
        connection, version.model, version.digest, verdict.created_ms if verdict else 0, MOST
    )
    columns = version_rows.c
    query = sa.select(columns.number, columns.created_ms).where(
        columns.model == version.model, columns.digest == version.digest, columns.number != version.number
    )
    told: dict[str, str] = {}
    for row in connection.execute(query.order_by(columns.number)):
        own = next((one for one in later if one.created_ms <= row.created_ms), None)
        if own is not None:
            told.setdefault(own.id, f"{version.model}/{row.number}")
    return [JudgedAgain(verdict=one, for_ref=told.get(one.id, "")) for one in later]
