"""Write docs/pictures anew from what a demo left: `python docs/generate_pictures.py penstock-demo/flights`.

A picture stands in the tutorial, and the paragraph below it says in quotation marks what the page says; `…` stands for
anything. A page that does not say it, or that names this machine or its user, is not pictured.
"""

from __future__ import annotations

import argparse
import base64
import getpass
import re
import socket
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

DOCS = Path(__file__).parent
TARGET = DOCS / "pictures"
TUTORIAL = DOCS / "tutorial.md"
WIDTH = 1440
SCALE = 0.75
"""What a page of documentation has room for; the text stays readable."""
MOST_BYTES = 40_000
QUALITIES = (80, 65, 50, 35)
WORDS = """([top, bottom]) => [...document.querySelectorAll('body *')]
  .filter((one) => !one.children.length && one.getClientRects().length)
  .filter((one) => { const box = one.getBoundingClientRect(); return box.top + scrollY < bottom && box.bottom + scrollY > top; })
  .map((one) => { const whole = one.closest('p, dd, td, th, li, h1, h2, summary') || one; return whole.innerText ?? whole.textContent; })
  .join('\\n')"""
"""What a picture shows in words."""
CAPTION = re.compile(
    r"^!\[(?P<alt>[^\]]+)\]\(pictures/(?P<name>[\w-]+)\.webp\)\n\n(?P<told>.+?)\n\n", re.MULTILINE | re.DOTALL
)


@dataclass(frozen=True)
class Picture:
    """One picture: its page, the element that it begins with, and how much of the page it shows."""

    address: str
    height: int
    top: str = ""


PICTURES = {
    "overview": Picture("/", 720),
    "version": Picture("/models/flight-delay/2", 800),
    "runs": Picture("/runs", 640),
    "endpoint": Picture("/endpoints/delay", 620, "#traffic"),
    "versions": Picture("/models/flight-delay/compare?versions=1,2", 620),
    "why": Picture("/why/flight-delay/2", 640),
    "data": Picture("/data/data/raw", 620),
    "pipeline": Picture("/pipeline", 560),
}


@dataclass(frozen=True)
class Caption:
    """What the tutorial says of a picture: to who cannot see it, and the words of the page that it quotes."""

    alt: str
    quoted: tuple[str, ...]


def captions(text: str) -> dict[str, Caption]:
    """Return the captions of a page of documentation by the name of their picture."""
    return {
        found["name"]: Caption(found["alt"], tuple(re.findall(r'"([^"]+)"', " ".join(found["told"].split()))))
        for found in CAPTION.finditer(text)
    }


def unsaid(caption: Caption, said: str) -> list[str]:
    """Return what a caption quotes and a page does not say."""
    flat = " ".join(said.split())
    return [one for one in caption.quoted if not re.search(re.escape(one).replace("…", ".{1,200}?"), flat)]


def private(said: str, root: Path) -> list[str]:
    """Return what a page says of this machine: its name, who works at it, where the project lies."""
    names = {
        socket.gethostname(),
        str(root),
        str(root.parent),
        str(Path.home()),
        f"person:{getpass.getuser()}",
    }
    return sorted(one for one in names if len(one) > 1 and one in said)


def bare(data: bytes) -> bytes:
    """Return a WebP file with nothing but its picture: no profile of colours, no notes."""
    at = 12
    while data[at : at + 4] != b"VP8 ":
        size = int.from_bytes(data[at + 4 : at + 8], "little")
        at += 8 + size + size % 2
    size = int.from_bytes(data[at + 4 : at + 8], "little")
    chunk = data[at : at + 8 + size + size % 2]
    return b"RIFF" + (4 + len(chunk)).to_bytes(4, "little") + b"WEBP" + chunk


def said_by(page: Any, picture: Picture) -> tuple[float, str]:
    """Return where a picture of an opened page begins, and all that it says."""
    top = page.locator(picture.top).bounding_box()["y"] - 16 if picture.top else 0
    return top, page.evaluate(WORDS, [top, top + picture.height])


def draw(root: Path) -> Iterator[str]:
    """Picture every page, and yield what was written."""
    sys.path.insert(0, str(DOCS.parent / "tests"))
    from penstock.http.app import build_server_app
    from penstock.processes.controller import ControllerLoop
    from penstock.workspace import open_workspace
    from servers.browser import PageServer, chromium

    told = captions(TUTORIAL.read_text(encoding="utf-8"))
    project = open_workspace(root, {"USER": "ada"})
    server = PageServer(build_server_app(project, ControllerLoop(project)))
    server.start()
    TARGET.mkdir(exist_ok=True)
    try:
        with chromium() as browser:
            context = browser.new_context(
                viewport={"width": WIDTH, "height": 900}, color_scheme="light", timezone_id="UTC"
            )
            page = context.new_page()
            for name, picture in PICTURES.items():
                page.goto(server.url + picture.address, wait_until="networkidle")
                top, said = said_by(page, picture)
                if wrong := private(said, root):
                    raise SystemExit(
                        f"{picture.address} names {', '.join(wrong)}: make the demo as another user"
                    )
                if wrong := unsaid(told[name], said):
                    raise SystemExit(f"{picture.address} does not say {wrong}: mend the tutorial")
                clip = {"x": 0, "y": top, "width": WIDTH, "height": picture.height, "scale": SCALE}
                client = context.new_cdp_session(page)
                for quality in QUALITIES:
                    shot = client.send(
                        "Page.captureScreenshot",
                        {"format": "webp", "quality": quality, "clip": clip, "captureBeyondViewport": True},
                    )
                    data = bare(base64.b64decode(shot["data"]))
                    if len(data) <= MOST_BYTES:
                        break
                (TARGET / f"{name}.webp").write_bytes(data)
                yield f"{name}.webp {len(data):,} bytes at quality {quality}"
    finally:
        server.stop()
        project.close()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("project", type=Path, help="the repository that the demo left")
    for line in draw(parser.parse_args().project.resolve()):
        print(line)
