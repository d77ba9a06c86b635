"""How far a canary is, for who shows it, and what is wanted of it and not done. Reads only what was observed."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from penstock.flows.production.controlling.deciding import FAILED, HELD, NOT_JUDGED, NOT_ROLLED_BACK
from penstock.flows.production.progress import Progress
from penstock.flows.production.watching import Observation, whole_look_s
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


def view_rollout(seen: Observation, undone: Iterable[Alert], nobody_acts: str = "") -> RolloutView | None:
    """Return how far a canary is; what refused it its next share holds it too. None without a canary.

    Args:
        undone: what `list_undone` says of the same look.
        nobody_acts: why no controller looks, where none does.
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
        sentence=_when(progress, seen, nobody_acts) if progress.is_ready else progress.sentence,
    )


def _when(progress: Progress, seen: Observation, nobody_acts: str) -> str:
    """Say when a canary goes on that is ready, or what the controller's look waits for."""
    not_judged = [one.summary for one in seen.history.alerts if one.name == NOT_JUDGED]
    obstacle = next(iter([nobody_acts] if nobody_acts else [*seen.problems, *not_judged]), "")
    if obstacle:
        return f"is ready, and {progress.then} when a controller can look: {obstacle}"
    return f"{progress.then} at the controller's next whole look, within {whole_look_s(seen.settings):g} s"


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
