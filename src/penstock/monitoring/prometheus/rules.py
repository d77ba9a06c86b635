"""Rules of Prometheus as values, their text, and the file that a set of policies makes.

Metrics themselves are told in `http/prometheus`; nothing here asks or starts anything.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import msgspec
import yaml

MIN_REQUESTS = 20
"""With fewer requests in a span a ratio of them is no reason to wake anybody."""


class Case(msgspec.Struct, frozen=True, kw_only=True):
    """What an alert must do on given series: fire with these labels beside its own, or be silent (None).

    `series` are pairs of a series and its values a minute apart, in promtool's notation; `at` is when.
    """

    name: str
    series: tuple[tuple[str, str], ...]
    at: str
    fires: Mapping[str, str] | None = None


class Rule(msgspec.Struct, frozen=True, kw_only=True):
    """A recording rule or an alert; an alert has labels, annotations, and the cases that it is tested with.

    `stills` are series without which it fires, for tests of the same alert on another endpoint.
    """

    name: str
    expr: str
    hold: str = ""
    labels: Mapping[str, str] = {}
    annotations: Mapping[str, str] = {}
    cases: tuple[Case, ...] = ()
    stills: tuple[tuple[str, str], ...] = ()

    @property
    def is_alert(self) -> bool:
        """Whether somebody is told."""
        return bool(self.annotations)

    def document(self) -> dict[str, Any]:
        """Return it as it stands in a file of rules."""
        found: dict[str, Any] = {"alert" if self.is_alert else "record": self.name, "expr": self.expr}
        if self.hold:
            found["for"] = self.hold
        for key, values in (("labels", self.labels), ("annotations", self.annotations)):
            if values:
                found[key] = dict(values)
        return found


class Group(msgspec.Struct, frozen=True, kw_only=True):
    """Rules that are evaluated one after the other."""

    name: str
    rules: tuple[Rule, ...]


def quoted(text: str) -> str:
    """Return a text as PromQL writes it.

    Example:
        >>> quoted('a "b"')
        '"a \\\\"b\\\\""'
    """
    return json.dumps(text, ensure_ascii=False)


def number(value: float) -> str:
    """Return a number as PromQL writes it, as short as it is exact to nine digits."""
    return f"{value:.9g}"


def render_rules(groups: tuple[Group, ...], comment: str) -> str:
    """Return the text of a file of rules: the same rules give the same bytes."""
    document = {
        "groups": [{"name": one.name, "rules": [rule.document() for rule in one.rules]} for one in groups]
    }
    return f"# {comment}\n{render_yaml(document)}"


def render_yaml(document: Any) -> str:
    """Return YAML in the order of the document, lines unbroken."""
    text: str = yaml.safe_dump(document, sort_keys=False, allow_unicode=True, width=10_000)
    return text
