"""What pages look like, as far as a style sheet and templates say it: contrast of edges and words, and which pages stay fresh."""

from __future__ import annotations

import re

from penstock.http.pages.render import HERE, STATIC

LIVE = {
    "overview", "endpoints", "endpoint", "events", "models", "model", "version", "runs", "experiment", "run", "compare",
}  # fmt: skip
"""Pages of what goes on while somebody looks."""


def colours() -> list[dict[str, str]]:
    """Return the named colours by light and by dark."""
    css = (STATIC / "penstock.css").read_text(encoding="utf-8")
    blocks = re.findall(r":root \{(.*?)\}", css, re.DOTALL)
    return [dict(re.findall(r"--([\w-]+): (#\w+)", block)) for block in blocks]


def luminance(colour: str) -> float:
    """Return a colour's relative luminance (WCAG 2.2)."""
    digits = colour[1:] if len(colour) == 7 else "".join(2 * one for one in colour[1:])
    parts = [int(digits[at : at + 2], 16) / 255 for at in (0, 2, 4)]
    red, green, blue = (one / 12.92 if one <= 0.04045 else ((one + 0.055) / 1.055) ** 2.4 for one in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one: str, other: str) -> float:
    """Return the contrast of two colours, 1 to 21."""
    dark, light = sorted((luminance(one), luminance(other)))
    return (light + 0.05) / (dark + 0.05)


def test_edges_of_what_can_be_typed_into_are_seen_and_words_can_be_read_in_light_and_dark() -> None:
    assert len(colours()) == 2
    for named in colours():
        for ground in ("paper", "card"):
            assert contrast(named["edge"], named[ground]) >= 3, (ground, named["edge"])
            for words in ("ink", "muted", "link", "good", "bad", "warn"):
                assert contrast(named[words], named[ground]) >= 4.5, (ground, words)


def test_every_page_of_what_goes_on_refreshes_itself() -> None:
    told = {}
    for template in (HERE / "templates").glob("*.html"):
        block = re.search(r"\{% block live %\}(.*?)\{% endblock %\}", template.read_text(encoding="utf-8"))
        if block and block[1]:
            told[template.stem] = block[1]
    assert set(told) >= LIVE
    assert all(re.search(r"\b(5|10|30)\b", every) for every in told.values())
