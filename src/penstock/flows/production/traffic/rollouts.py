"""How far a canary is, for who shows it, and what is wanted of it and not done. Reads only what was observed."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from penstock.flows.production.controlling.deciding import FAILED, HELD, NOT_ROLLED_BACK
from penstock.flows.production.watching import Observation
from penstock.monitoring.alerts import Alert


class RolloutView(msgspec.Struct, frozen=True, kw_only=True):
    """How far a canary is: what its step has seen, what it waits for, what holds it."""

    percent: float
    next_percent: float | None
    request_count: int
    label_count: int
    waits_for: tuple[str, ...]
    blocked: tuple[str, ...]
    sentence: str


def view_rollout(seen: Observation, undone: Iterable[Alert]) -> RolloutView | None:
    """Return how far a canary is; what refused it its next share holds it too. None without a canary.

    Args:
        undone: what `list_undone` says of the same look.
    """
    progress = seen.progress
    if progress is None:
        return None
    refusals = [one.summary.partition(": ")[2] for one in undone if _is_advance(one)]
    progress = msgspec.structs.replace(progress, blocked=(*progress.blocked, *refusals))
    return RolloutView(
        percent=progress.percent,
        next_percent=progress.next_percent,
        request_count=progress.request_count,
        label_count=progress.label_count,
        waits_for=progress.waits_for,
        blocked=progress.blocked,
        sentence=progress.sentence,
    )


def list_undone(seen: Observation) -> list[Alert]:
    """Return the open alerts that say what is wanted of the current revision and not done."""
    undone = [one for one in seen.history.alerts if one.name in (NOT_ROLLED_BACK, HELD, FAILED)]
    return [one for one in undone if _is_current(one, seen)]


def _is_advance(alert: Alert) -> bool:
    return alert.name == FAILED and alert.labels.get("action") == "advance"


def _is_current(alert: Alert, seen: Observation) -> bool:
    """Whether what an alert is about is still so: another revision has another canary, or none."""
    revision = alert.labels.get("revision")
    return revision is None or revision == str(seen.revision.number)
