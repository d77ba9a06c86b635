"""What pages look like, as far as a style sheet and templates say it: contrast of edges and words, and which pages stay fresh."""

from __future__ import annotations

import re
from pathlib import Path

from starlette.testclient import TestClient

from penstock.http.app import build_server_app
from penstock.http.pages.render import HERE, STATIC
from penstock.processes.controller import ControllerLoop
from projects import Sample

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


def test_empty_pages_name_every_way_in_with_a_button_to_copy_it_and_the_servers_own_address(
    tmp_path: Path,
) -> None:
    sample = Sample.make(tmp_path / "project")
    client = TestClient(
        build_server_app(sample.project, ControllerLoop(sample.project)), base_url="http://127.0.0.1:5151"
    )
    for address in ("/", "/models", "/runs", "/endpoints"):
        text = client.get(address).text
        blocks = re.findall(r"<pre .*?</pre>(.{40})", text, re.DOTALL)
        assert all(one.startswith('<button type="button" class="copy"') for one in blocks), address
        assert 'class="copy"' in text, address
        assert "http://…" not in text
    assert "MLFLOW_TRACKING_URI=http://127.0.0.1:5151" in client.get("/runs").text
    assert "http://127.0.0.1:5151" in client.get("/models").text
    sample.close()


def test_what_a_box_is_for_can_be_read_on_a_phone_and_a_label_stays_beside_its_box() -> None:
    for template in (HERE / "templates").glob("*.html"):
        text = template.read_text(encoding="utf-8")
        for box, words in re.findall(r'<input id="([\w-]+)"[^>]*? placeholder="([^"]*)"', text):
            most = 48 if box == "filter" else 20
            assert len(words.replace("&lt;", "<")) <= most, (template.stem, words)
        for label, box in re.findall(r'(<label for="(?:group|from|to|kind)">)(.{0,120})', text):
            assert f'<span class="pair">{label}' in text, (template.stem, box)
