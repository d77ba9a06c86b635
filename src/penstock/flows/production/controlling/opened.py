"""Breaches that were told and are not over, beside what is found now: an alert stays open while nothing is judged."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Literal

import msgspec

from penstock.base.clock import format_ms
from penstock.monitoring.alerts import Alert
from penstock.monitoring.findings import OF_FEATURES, Finding
from penstock.monitoring.windows import BATCH


class OpenBreach(msgspec.Struct, frozen=True, kw_only=True):
    """A breach whose alert is open. `state` is how its guardrail stands now; `absent` where nothing is found of it.

    `summary` is what was told when it began, `now` says why it is still open; empty where it is breached now.
    """

    kind: str
    name: str
    route: str
    version: str
    since_ms: int
    state: Literal["breached", "held", "unjudged", "absent"]
    summary: str
    now: str = ""

    @property
    def sentence(self) -> str:
        """Say it in words."""
        began = f"{self.kind} {self.name} of version {self.version} on {self.route} since {format_ms(self.since_ms)}"
        return f"{began}: {self.now or 'breached'}; what was told: {self.summary}"


def view_open(
    alerts: Iterable[Alert], findings: Sequence[Finding], problem: str = ""
) -> tuple[OpenBreach, ...]:
    """Return the breaches among open alerts, oldest first.

    Args:
        findings: what is found of their endpoint now.
        problem: why nothing is, where it cannot be judged at all.
    """
    return tuple(_view(one, findings, problem) for one in alerts if one.labels.get("kind"))


def _view(alert: Alert, findings: Sequence[Finding], problem: str) -> OpenBreach:
    labels = alert.labels
    kind, name, route, version = (labels.get(key, "") for key in ("kind", "name", "route", "version"))
    on_route = [one for one in findings if (one.kind, one.route, str(one.version)) == (kind, route, version)]
    same = [one for one in on_route if one.name == name]
    if not same and kind in OF_FEATURES:  # of which only the worst are told
        same = on_route
    state: Literal["breached", "held", "unjudged", "absent"] = "held"
    if any(one.breached and one.name == name for one in same):
        state, now = "breached", ""
    elif unjudged := [one for one in same if one.unjudged is not None]:
        state, now = "unjudged", f"not judged now, because {unjudged[0].why_unjudged}"
    elif same and alert.clean_ms is not None:
        now = f"within its limit again since {format_ms(alert.clean_ms)}, not yet for long enough to be over"
    elif same:
        now = "within its limit now, not yet surely or for long enough to be over"
    else:
        state, now = "absent", f"not judged now, because {problem or _nothing(route)}"
    return OpenBreach(
        kind=kind,
        name=name,
        route=route,
        version=version,
        since_ms=alert.starts_ms,
        state=state,
        summary=alert.summary,
        now=now,
    )


def _nothing(route: str) -> str:
    if route == BATCH:
        return "no batch job has scored of late: the next penstock score-batch with this version tells whether it is over"
    return f"nothing of {route} is looked at of this kind"
