"""Pictures of the documentation: each stands where it is spoken of, is small, and tells who cannot see it what it shows.

That the pages still say what the text beside a picture quotes is tested on a finished demo (`stories/test_demo.py`).
"""

from __future__ import annotations

import re
import runpy
from pathlib import Path

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
PAGES = [ROOT / "README.md", *DOCS.rglob("*.md")]
MADE = runpy.run_path(str(DOCS / "generate_pictures.py"))
SHOWN = re.compile(r"!\[([^\]]*)\]\((?!https?:)([^)\s]+)\)")


def shown() -> list[tuple[str, Path]]:
    """Return the pictures that pages show: what is said of each, and its file."""
    return [
        (alt, (page.parent / target).resolve())
        for page in PAGES
        for alt, target in SHOWN.findall(page.read_text(encoding="utf-8"))
    ]


def test_every_picture_is_shown_and_every_one_that_is_shown_is_there() -> None:
    there = {path for path in DOCS.rglob("*") if path.suffix in {".webp", ".png", ".jpg", ".gif", ".svg"}}
    assert {path for _, path in shown()} == there
    assert {path.stem for path in there} == set(MADE["PICTURES"])
    assert all(len(alt) > 20 for alt, _ in shown())


def test_every_picture_is_small_and_says_nothing_but_what_it_shows() -> None:
    for _, path in shown():
        data = path.read_bytes()
        assert len(data) <= MADE["MOST_BYTES"], path
        assert (data[:4], data[8:12]) == (b"RIFF", b"WEBP"), path
        assert not {b"EXIF", b"XMP ", b"ICCP"} & set(_chunks(data)), path


def test_the_tutorial_quotes_the_page_below_each_picture() -> None:
    told = MADE["captions"](MADE["TUTORIAL"].read_text(encoding="utf-8"))
    assert set(told) == set(MADE["PICTURES"])
    assert all(one.quoted for one in told.values()), told


def test_what_a_page_does_not_say_is_found_and_what_it_says_of_this_machine() -> None:
    caption = MADE["captions"]('![A page](pictures/x.webp)\n\nIt says "needs … you" and "not this".\n\n')["x"]
    assert MADE["unsaid"](caption, "One endpoint needs\nsomebody like you.") == ["not this"]
    assert MADE["private"]("person:ada", Path("/nowhere/flights")) == []
    assert MADE["private"]("in /nowhere/flights", Path("/nowhere/flights")) == [
        "/nowhere",
        "/nowhere/flights",
    ]


def _chunks(data: bytes) -> list[bytes]:
    """Return the names of the chunks of a WebP file."""
    found, at = [], 12
    while at + 8 <= len(data):
        found.append(data[at : at + 4])
        size = int.from_bytes(data[at + 4 : at + 8], "little")
        at += 8 + size + size % 2
    return found
