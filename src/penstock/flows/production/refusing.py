"""Whether an endpoint refuses all that it is asked: no request was answered, and some were not right for what it serves."""

from __future__ import annotations

from collections.abc import Sequence

import sqlalchemy as sa

from penstock.base.clock import format_ms
from penstock.monitoring.guardrails.traffic import Traffic
from penstock.monitoring.refusals import MINUTE_S, RECENT_S, list_refused
from penstock.monitoring.windows import has_windows_before
from penstock.serving.deployments import Revision

OF_INPUTS = frozenset({"serving.unknown_input", "serving.missing_input"})
"""Errors that name an input, which is not kept here: who asked was told it."""
FEW = 5
"""So many refused requests and fewer are no reason for an alert."""


def why_all_refused(
    connection: sa.Connection, revision: Revision, traffic: Sequence[Traffic | None], time_ms: int
) -> tuple[str, bool]:
    """Say that all requests since the revision began, or since the last one answered, were refused; empty where not so.

    Refusals are counted by the minute, so those of the minute in which the revision began count as its own.

    Returns: the words, and whether the revisions before were answered, which makes of it an alert.
    """
    routes = [one for one in traffic if one is not None]
    if any(one.recent is not None for one in routes):
        return "", False
    last_s = max((one.last_s for one in routes if one.last_s is not None), default=None)
    began_s = revision.created_ms // 1000 // MINUTE_S * MINUTE_S if last_s is None else last_s
    now_s = time_ms // 1000
    since_s = max(began_s, now_s - RECENT_S)
    found = list_refused(connection, since_s, endpoint=revision.endpoint, until_s=now_s)
    refused = found.get(revision.endpoint, ())
    if not refused:
        return "", False
    began = f"revision {revision.number}, which began {format_ms(revision.created_ms)}"
    since = began if last_s is None else format_ms(1000 * last_s)
    if since_s > began_s:
        since += ", in the last hour"
    words = ", ".join(f"{one.count} × {one.code}" for one in refused)
    is_alert = (
        last_s is None
        and sum(one.count for one in refused) > FEW
        and has_windows_before(connection, revision.endpoint, revision.number)
    )
    where = "; each answer names the input" if any(one.code in OF_INPUTS for one in refused) else ""
    return f"refuses all requests: {words} since {since}{where}", is_alert
