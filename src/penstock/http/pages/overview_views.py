"""The pages of everything: what needs a person first, and what happened."""

from __future__ import annotations

import shlex
from collections import Counter
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from penstock.base.clock import now_ms
from penstock.base.numbers import counted
from penstock.base.store.events import list_events, list_kinds
from penstock.flows.models.evidence.holds import Hold, Waiting
from penstock.flows.production.controlling.health import Watched
from penstock.flows.production.overview import SLOW_MS, overview
from penstock.http.pages.drawing.sparks import spark_of
from penstock.http.pages.looks import Looks
from penstock.http.pages.queries import query_of
from penstock.http.pages.render import Renderer
from penstock.http.pages.telling.conditions import Condition, condition_of
from penstock.http.pages.telling.formatting import cut
from penstock.http.pages.telling.states import plain_words
from penstock.http.pages.telling.timeline import answer_of_events, group_events
from penstock.monitoring.alerts import list_open_alerts
from penstock.monitoring.ruling import view_rules
from penstock.monitoring.timings import list_counts
from penstock.project.project import Project

EVENTS = 40
ALL_EVENTS = 120
OWN_EVENTS = 30
SPARK = 60
STALE_MS = 10_000
NAMED = 5
"""So many endpoints are named in a sentence."""


class OverviewPages:
    """Shows the endpoints together, and the events."""

    def __init__(self, project: Project, controller: Watched, looks: Looks, renderer: Renderer) -> None:
        self._project = project
        self._controller = controller
        self._looks = looks
        self._renderer = renderer
        self._waiting = Waiting()
        self._kinds: dict[str, int] = {}

    def overview(self, _request: Request) -> Response:
        """Every endpoint as a card, the worst first, and what happened last."""
        return self._renderer.page("overview.html", **self._told())

    def endpoints(self, _request: Request) -> Response:
        """Every endpoint as a row."""
        return self._renderer.page("endpoints.html", **self._told())

    def _told(self) -> dict[str, Any]:
        seen, time_ms = self._controller.health, now_ms()
        looks = self._looks.fresh()
        views = overview(self._project, looks, most_ms=SLOW_MS)
        rules = {
            name: view_rules(one.revision.model, one.settings.traffic.rules) for name, one in looks.items()
        }
        with self._project.database.read() as connection:
            events = list(reversed(list_events(connection, limit=EVENTS)))
            alerts = list_open_alerts(connection)
            held = self._waiting.find(connection)
            own = {
                one.name: list(
                    reversed(list_events(connection, subject=f"endpoint:{one.name}", limit=OWN_EVENTS))
                )
                for one in views
            }
            sparks = {one.name: spark_of(list_counts(connection, one.name, SPARK)) for one in views}
        conditions = [
            condition_of(view, [one for one in alerts if one.endpoint == view.name], own[view.name], time_ms)
            for view in views
        ]
        conditions.sort(key=lambda one: one.rank)
        is_stale = seen.ticked_ms is not None and time_ms - seen.ticked_ms > STALE_MS
        return {
            "conditions": conditions,
            "answer": answer_of(conditions, held, is_watched=not is_stale and seen.problem is None),
            "held": held,
            "sparks": sparks,
            "ruled": {one.name: rules.get(one.name, []) for one in views},
            "rows": group_events(events),
            "controller": seen,
            "is_stale": is_stale,
            "undeployed": self._undeployed({one.name for one in views}),
        }

    def _undeployed(self, deployed: set[str]) -> dict[str, str]:
        """Return the endpoints that `penstock.yaml` names and nobody deployed, with what deploys each."""
        named = self._project.readable_settings.endpoints
        return {name: f"penstock deploy {shlex.quote(name)}" for name in named if name not in deployed}

    def events(self, request: Request) -> Response:
        """What happened, narrowed by kind, subject or words."""
        asked = query_of(request)
        before = asked.number("before")
        with self._project.database.read() as connection:
            found = list_events(
                connection,
                kind=asked["kind"] or None,
                subject=asked["subject"] or None,
                before_id=before,
                words=asked["q"],
                limit=ALL_EVENTS + 1,
            )
            # events stay, so that only those that came since are looked through again
            self._kinds = self._kinds | list_kinds(connection, max(self._kinds.values(), default=0))
        shown, is_cut = found[::-1][:ALL_EVENTS], len(found) > ALL_EVENTS
        return self._renderer.page(
            "events.html",
            answer=answer_of_events(shown, is_cut=is_cut, before=before),
            rows=group_events(shown),
            asked=asked,
            kinds=sorted(self._kinds, key=plain_words),
            older=shown[-1].id if is_cut else None,
            before=before,
            count=len(shown),
        )


def answer_of(conditions: list[Condition], held: list[Hold], *, is_watched: bool = True) -> str:
    """Return how all endpoints are, and how many releases wait for a person; first, where it is so, that nobody watches."""
    names = [cut(one.ref, 60) for one in held]
    waits = f"{counted(len(held), 'release')} {'is' if len(held) == 1 else 'are'} held and wait{'s' if len(held) == 1 else ''} for a person: {_list(names)}."
    nobody = (
        "Nobody watches: the controller of this server has stopped, so nothing is rolled back or advanced."
    )
    told = ("" if is_watched or not conditions else nobody, _endpoints(conditions), waits if held else "")
    return " ".join(one for one in told if one)


def _endpoints(conditions: list[Condition]) -> str:
    """Return in one sentence how all endpoints are."""
    if not conditions:
        return ""
    words = Counter(one.state.word for one in conditions)
    total = len(conditions)
    bad, warned = _named(conditions, "bad"), _named(conditions, "warn")
    if bad:
        more = f"; besides, {_list(warned)}" if warned else ""
        return f"{len(bad)} of {counted(total, 'endpoint')} need{'s' if len(bad) == 1 else ''} you: {_list(bad)}{more}."
    if warned:
        return f"Nothing is down; {len(warned)} of {counted(total, 'endpoint')} alert{'s' if len(warned) == 1 else ''}: {_list(warned)}."
    if total == words["healthy"]:
        return f"{'The endpoint is' if total == 1 else f'All {total} endpoints are'} healthy."
    if total == 1:
        return f"{_sentence(conditions[0])}."
    return f"{counted(total, 'endpoint')}: {', '.join(f'{count} {word}' for word, count in words.items())}."


def _named(conditions: list[Condition], tone: str) -> list[str]:
    return [_sentence(one) for one in conditions if one.state.tone == tone]


def _sentence(one: Condition) -> str:
    verb = "" if one.view.health == "refusing" and one.state.word.startswith("refuses") else "is "
    return f"{cut(one.view.name, 60)} {verb}{one.state.word}"


def _list(names: list[str]) -> str:
    return ", ".join(names[:NAMED]) + (f" and {len(names) - NAMED} more" if len(names) > NAMED else "")
