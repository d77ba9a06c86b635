"""Templates to answers: one Jinja environment with autoescape, the words and numbers of pages."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any
from urllib.parse import quote

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.responses import HTMLResponse

from penstock.base.clock import format_ms, iso_ms, now_ms
from penstock.base.numbers import is_endless

HERE = Path(__file__).parents[1]
STATIC = HERE / "static"
MAX_TEXT = 4000
SKEW_MS = 60_000
"""So far may the clocks of two machines be apart."""
BAD_WORDS = (
    "breached",
    "rolled_back",
    "not_rolled_back",
    "not_judged",
    "held",
    "refused",
    "failed",
    "corrupt",
)
GOOD_WORDS = ("passed", "promoted", "deployed", "registered", "advanced", "finished", "resolved")
HEALTH_MARKS = {
    "healthy": "●",
    "watching": "◐",
    "unjudged": "?",
    "breached": "▲",
    "idle": "○",
    "down": "■",
}


class Renderer:
    """Renders templates for one project. Thread-safe. `base` is what every address of ours begins with."""

    def __init__(self, project_name: str, base: str = "") -> None:
        self.base = base
        self._environment = Environment(
            loader=FileSystemLoader(HERE / "templates"),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self._environment.filters |= {
            "ago": ago,
            "when": format_ms,
            "iso": iso_ms,
            "number": number,
            "percent": percent,
            "milliseconds": milliseconds,
            "segment": segment,
            "path": path,
            "tone": tone,
            "mark": lambda health: HEALTH_MARKS.get(health, "●"),
            "scalar": scalar,
        }
        self._environment.tests |= {"named": is_named, "findings": is_findings}
        self._environment.globals["project_name"] = project_name
        self._environment.globals["base"] = base

    def page(self, template: str, status: int = 200, **values: Any) -> HTMLResponse:
        """Return a template as an answer that is not cached."""
        text = self._environment.get_template(template).render(**values)
        return HTMLResponse(text, status, {"Cache-Control": "no-store"})


def ago(time_ms: int) -> str:
    """Render how long ago a time was, in its largest unit; a time to come, or none at all, as it is.

    Example:
        >>> ago(now_ms() - 90_000)
        '1 min ago'
    """
    passed_ms = now_ms() - time_ms
    if passed_ms < -SKEW_MS or iso_ms(time_ms) is None:
        return format_ms(time_ms)
    seconds = max(0, passed_ms // 1000)
    if seconds < 5:
        return "just now"
    for size, unit in ((86400, "d"), (3600, "h"), (60, "min"), (1, "s")):
        if seconds >= size:
            return f"{seconds // size} {unit} ago"
    return "just now"


def number(value: Any) -> str:
    """Render a number for people: thousands apart, four digits that matter, a dash for none.

    Example:
        >>> number(12345), number(0.71234), number(None), number(float("nan")), number(float("inf"))
        ('12,345', '0.7123', '–', '–', '∞')
    """
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return "–"
    if isinstance(value, float):
        if is_endless(value):
            return "∞" if value > 0 else "−∞"
        return f"{value:,.0f}" if value.is_integer() and abs(value) < 1e15 else f"{value:.4g}"
    return f"{value:,}"


def percent(ratio: float) -> str:
    """Render a ratio in [0, 1] as a percentage."""
    return f"{100 * ratio:.3g} %"


def milliseconds(value: float | None) -> str:
    """Render a duration in milliseconds with its unit."""
    if value is None:
        return "–"
    return f"{value:.1f} ms" if value < 100 else f"{value:,.0f} ms"


def segment(text: str) -> str:
    """Quote a name as one part of an address."""
    return quote(text, safe="")


def path(text: str) -> str:
    """Quote a subject as the rest of an address; its slashes stay."""
    return quote(text, safe="/@")


def tone(kind: str) -> str:
    """Return how an event's kind is coloured: `bad`, `good` or `plain`."""
    verb = kind.rpartition(".")[2]
    if verb in BAD_WORDS:
        return "bad"
    return "good" if verb in GOOD_WORDS else "plain"


def is_named(value: Any) -> bool:
    """Whether a value of an event or link is a mapping."""
    return isinstance(value, dict)


def is_findings(value: Any) -> bool:
    """Whether a value of an event is a list of findings, each with what a line about it needs."""
    needed = {"kind", "route", "breached", "sentence"}
    return (
        isinstance(value, list) and bool(value) and all(is_named(one) and needed <= set(one) for one in value)
    )


def scalar(value: Any, name: str = "") -> str:
    """Render one value of an event or link as text; times are told by their name.

    Example:
        >>> scalar(0.123456), scalar(0, "time_ms"), scalar([1, 2])
        ('0.1235', '1970-01-01 00:00:00Z', '1, 2')
    """
    if value is None or value == "":
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if name in {"time_ms", "registered_ms", "created_ms"} and isinstance(value, int):
        return format_ms(value)
    if name in {"start_s", "end_s"} and isinstance(value, int):
        return format_ms(1000 * value)
    if isinstance(value, float):
        return number(value)
    if isinstance(value, list):
        shown = ", ".join(scalar(item) for item in value[:24])
        return f"{shown}, … ({len(value)} in all)" if len(value) > 24 else shown
    text = str(value)
    return text if len(text) <= MAX_TEXT else f"{text[:MAX_TEXT]}…"
