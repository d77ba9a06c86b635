"""Dashboards as values: rows of panels, each with its questions to Prometheus. What draws them is in `building`."""

from __future__ import annotations

from typing import Literal

import msgspec

Kind = Literal["lines", "stat", "bars", "states", "table"]
OWN = 'endpoint=~"$endpoint"'
"""Selects the endpoints that the reader chose."""


class Query(msgspec.Struct, frozen=True):
    """One question: an expression, and what its series are called in the legend."""

    expr: str
    legend: str = ""


class Panel(msgspec.Struct, frozen=True, kw_only=True):
    """One picture. `unit` is Grafana's name of one; `limits` colour it from a value on, the first is the base.

    `names` are words for values of `states`; `columns` name the questions of a `table`.
    """

    title: str
    description: str
    kind: Kind = "lines"
    unit: str = "short"
    queries: tuple[Query, ...]
    width: int = 8
    height: int = 8
    least: float | None = None
    most: float | None = None
    limits: tuple[tuple[float | None, str], ...] = ()
    names: tuple[tuple[str, str, str], ...] = ()
    columns: tuple[tuple[str, str], ...] = ()


class Row(msgspec.Struct, frozen=True):
    """A heading with panels under it."""

    title: str
    panels: tuple[Panel, ...]


class Variable(msgspec.Struct, frozen=True, kw_only=True):
    """What a reader chooses: a label's values. `has_all` lets all be chosen at once."""

    name: str
    label: str
    query: str
    has_all: bool = True


class Board(msgspec.Struct, frozen=True, kw_only=True):
    """One dashboard. `page` is the path of our page about the same."""

    uid: str
    title: str
    description: str
    variables: tuple[Variable, ...]
    rows: tuple[Row, ...]
    page: str = "/"


ENDPOINT = Variable(
    name="endpoint", label="Endpoint", query="label_values(penstock_traffic_share_ratio, endpoint)"
)
STATES = (
    ("0", "held", "green"),
    ("1", "not judged, or beyond and not sure", "yellow"),
    ("2", "breached", "red"),
)
"""What the number of a guardrail means; see `guardrail_states`."""
GOOD_IS_ZERO = ((None, "green"), (1.0, "red"))


def guardrail_states(by: str) -> str:
    """Return the expression of a guardrail's state as a number: 0 held, 1 not judged or not surely held, 2 breached."""

    def state(name: str) -> str:
        return f'max by ({by}) (penstock_guardrail_state{{{OWN},state=~"{name}"}})'

    return f"2 * {state('breached')} + {state('unjudged|beyond')}"
