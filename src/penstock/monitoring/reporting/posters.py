"""A report as one picture (SVG): what is said of it, its lines over time, and the features that changed most.

For a chat or a ticket that shows a picture and no page. It is not the whole report: that is `pages`.
"""

from __future__ import annotations

import re
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass, field
from html import escape

from penstock.base.clock import format_ms
from penstock.base.numbers import counted
from penstock.monitoring.reporting.changes import TableReport
from penstock.monitoring.reporting.pictures import ALSO, BEFORE, COLORS, HEIGHT, NOW, WIDTH, draw_bars
from penstock.monitoring.reporting.spans import EndpointReport
from penstock.monitoring.reporting.timelines import timelines

DRAWN_MAX = 24
"""Features whose distributions are drawn."""
MARGIN, GAP, ACROSS = 24, 20, 110
"""Pixels around, pixels between, and letters of a line of text."""
_SIZE = re.compile(r'viewBox="0 0 (\d+) (\d+)" width="\d+" height="\d+"')
_NO_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


@dataclass
class _Poster:
    width: int = 2 * MARGIN + GAP + 2 * WIDTH
    y: float = MARGIN
    parts: list[str] = field(default_factory=list)

    def words(self, text: str, size: int = 13, *, color: str = "#1c1e21", weight: str = "normal") -> None:
        for line in textwrap.wrap(text, ACROSS * 13 // size) or [""]:
            self.y += 1.35 * size
            self.parts.append(
                f'<text x="{MARGIN}" y="{self.y:.0f}" font-size="{size}" font-weight="{weight}" fill="{color}">'
                f"{escape(line)}</text>"
            )

    def keys(self, keys: Sequence[tuple[str, str]]) -> None:
        self.y += 22
        x = float(MARGIN)
        for name, color in keys:
            shown = textwrap.shorten(name, 40, placeholder="…") or "…"
            self.parts.append(
                f'<rect x="{x:.0f}" y="{self.y - 10:.0f}" width="11" height="11" fill="{color}"/>'
            )
            self.parts.append(
                f'<text x="{x + 16:.0f}" y="{self.y:.0f}" font-size="12" fill="#1c1e21">{escape(shown)}</text>'
            )
            x += 34 + 7.2 * len(shown)

    def picture(self, svg: str, x: float = MARGIN) -> float:
        """Place a picture at the present height, and return how high it is."""
        found = _SIZE.search(svg)
        height = float(found[2]) if found else float(HEIGHT)
        self.parts.append(svg.replace("<svg ", f'<svg x="{x:.0f}" y="{self.y + 8:.0f}" ', 1))
        return height + 8

    def render(self) -> str:
        height = self.y + MARGIN
        drawn = (
            f'<svg xmlns="http://www.w3.org/2000/svg" width="{self.width}" height="{height:.0f}" '
            f'viewBox="0 0 {self.width} {height:.0f}" font-family="sans-serif">'
            f'<rect width="100%" height="100%" fill="#fff"/>{"".join(self.parts)}</svg>'
        )
        return _NO_XML.sub("\ufffd", drawn)


def tables_poster(report: TableReport) -> str:
    """Return the picture of two tables, as SVG that any reader of XML takes, whatever names are in it."""
    poster = _Poster()
    poster.words(f"{report.current_name} against {report.reference_name}", 20, weight="bold")
    poster.words(report.sentence, 14)
    poster.words(
        f"{counted(report.reference_rows, 'row')} of {report.reference_name}, {counted(report.current_rows, 'row')} of "
        f"{report.current_name}.",
        12,
        color="#555b64",
    )
    _features(poster, report)
    return poster.render()


def endpoint_poster(report: EndpointReport) -> str:
    """Return the picture of an endpoint."""
    poster = _Poster()
    poster.words(f"Endpoint {report.endpoint}", 20, weight="bold")
    poster.words(report.sentence, 14)
    poster.words(
        f"{format_ms(report.since_ms)} to {format_ms(report.until_ms)}. Revision {report.revision}: {report.model} "
        f"version {report.stable} is stable.",
        12,
        color="#555b64",
    )
    lines = timelines(report.spans)
    if lines:
        poster.keys((("stable", NOW), ("canary", ALSO)))
    for one in lines:
        poster.y += 6
        poster.words(one.title, 13, weight="bold")
        poster.y += poster.picture(one.picture)
        if one.names:
            poster.keys(list(zip(one.names, COLORS, strict=False)))
    if report.features is not None:
        _features(poster, report.features)
    return poster.render()


def _features(poster: _Poster, report: TableReport) -> None:
    drawn = [one for one in report.features if one.bars][:DRAWN_MAX]
    if not drawn:
        return
    poster.keys(((report.reference_name, BEFORE), (report.current_name, NOW)))
    for start in range(0, len(drawn), 2):
        top, low = poster.y + GAP, poster.y
        for place, one in enumerate(drawn[start : start + 2]):
            x = MARGIN + place * (WIDTH + GAP)
            poster.y = top
            for size, text, color in (
                (13, one.name, "#1c1e21"),
                (11, f"{one.state}: {one.sentence}", "#555b64"),
            ):
                shown = textwrap.shorten(text, 6 * WIDTH // (4 * size) * 2, placeholder="…") or "…"
                poster.y += 1.3 * size
                poster.parts.append(
                    f'<text x="{x}" y="{poster.y:.0f}" font-size="{size}" fill="{color}">{escape(shown)}</text>'
                )
            is_text = "text" in (one.reference.kind, one.current.kind)
            low = max(low, poster.y + poster.picture(draw_bars(one.bars, one.name, is_text=is_text), x))
        poster.y = low
    left = len(report.features) - len(drawn)
    if left:
        poster.words(f"{left} more features are in the whole report.", 12, color="#555b64")
