"""Specifications drawn: as one page that asks nobody for anything, and as pictures.

The only module that imports vl-convert, which carries Vega, Vega-Lite and a JavaScript engine; an optional dependency.
"""

from __future__ import annotations

import base64
import hashlib
import importlib.metadata
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from html import escape
from pathlib import Path, PurePosixPath
from types import ModuleType
from typing import Any

from penstock.base.errors import Unavailable
from penstock.base.files import write_atomic
from penstock.pipeline.plots.templates import Spec

TYPES = {".png": "png", ".jpg": "jpeg", ".jpeg": "jpeg", ".gif": "gif", ".svg": "svg+xml"}
POLICY = "default-src 'none'; script-src 'unsafe-inline' 'unsafe-eval'; style-src 'unsafe-inline'; img-src data: blob:"
_SCRIPT_END = re.compile("</(?=script)", re.IGNORECASE)
_STYLE = "body{font-family:sans-serif;margin:1rem}section{display:inline-block;margin:.5rem;vertical-align:top}img{max-width:40rem}"
_OPTIONS = '{"actions":{"export":true,"source":true,"compiled":false,"editor":false}}'


@dataclass(frozen=True)
class Drawn:
    """One plot to be drawn: a specification, or a picture of a revision."""

    name: str
    spec: Spec | None = None
    picture: bytes = b""
    revision: str = ""


def _library() -> ModuleType:
    try:
        import vl_convert
    except ImportError:
        raise Unavailable(
            "a picture needs vl-convert, which is not installed",
            code="plots.no_library",
            hint="pip install 'penstock[plots]'; JSON and --show-vega need nothing",
        ) from None
    return vl_convert


def find_version() -> str | None:
    """Return the installed library's version without loading it; None where there is none."""
    try:
        return importlib.metadata.version("vl-convert-python")
    except importlib.metadata.PackageNotFoundError:
        return None


@cache
def find_build() -> str | None:
    """Return what names the installed library's bytes, its version and a digest, without loading it; None without it.

    The digest is over what pip recorded of the package's files, so that another build of a version has another name.
    """
    version = find_version()
    if version is None:
        return None
    recorded = importlib.metadata.distribution("vl-convert-python").read_text("RECORD") or ""
    return f"{version}-{hashlib.sha256(recorded.encode()).hexdigest()[:12]}"


def draw_svg(spec: Spec) -> str:
    """Return a specification drawn as SVG; it asks nobody for anything.

    Raises:
        Unavailable: the library is not installed.
    """
    picture: str = _library().vegalite_to_svg(spec, allowed_base_urls=[])
    return picture


def draw_png(spec: Spec) -> bytes:
    """Return a picture of a specification.

    Raises:
        Unavailable: the library is not installed.
    """
    picture: bytes = _library().vegalite_to_png(spec, scale=2, allowed_base_urls=[])
    return picture


def picture_of(svg: str) -> bytes:
    """Return an SVG picture as PNG, twice as many pixels each way.

    Raises:
        Unavailable: the library is not installed.
    """
    picture: bytes = _library().svg_to_png(svg, scale=2)
    return picture


def draw_page(plots: Sequence[Drawn], folder: Path, template: str | None = None) -> str:
    """Return a page with all plots, in which everything is contained.

    Args:
        folder: where the libraries' JavaScript is kept, which takes seconds to put together.
        template: a page of the repository's own, with `{plot_divs}`, and `{scripts}` in its head.

    Raises:
        Unavailable: the library is not installed.
    """
    sections, has_spec = [], False
    for number, plot in enumerate(plots):
        if plot.spec is None:
            kind = TYPES.get(PurePosixPath(plot.name).suffix.lower(), "png")
            source = f"data:image/{kind};base64,{base64.b64encode(plot.picture).decode()}"
            told = f"{escape(plot.revision)}: {escape(plot.name)}"
            sections.append(f'<section><p>{told}</p><img alt="{told}" src="{source}"></section>')
            continue
        has_spec = True
        spec = _in_script(json.dumps(plot.spec))
        sections.append(
            f'<section id="plot-{number}"></section><script>vegaEmbed("#plot-{number}", {spec}, {_OPTIONS})</script>'
        )
    scripts = f"<script>{script(folder)}</script>" if has_spec else ""
    body = "\n".join(sections)
    if template is not None:
        return (
            template.replace("{scripts}", scripts).replace("{refresh_tag}", "").replace("{plot_divs}", body)
        )
    head = f'<meta charset="utf-8"><meta http-equiv="Content-Security-Policy" content="{POLICY}"><title>Plots</title>'
    return f"<!doctype html><html><head>{head}<style>{_STYLE}</style>{scripts}</head><body>\n{body}\n</body></html>\n"


def script(folder: Path) -> str:
    """Return the libraries' JavaScript, which defines `vega`, `vegaLite` and `vegaEmbed`; kept in a folder.

    Raises:
        Unavailable: the library is not installed.
    """
    place = folder / f"penstock-vega-{find_version()}.js"
    if not place.is_file():
        library: Any = _library()
        write_atomic(place, _in_script(library.javascript_bundle()).encode(), durable=False)
    return place.read_text(encoding="utf-8")


def _in_script(text: str) -> str:
    """Return JavaScript or JSON that cannot end the script it stands in."""
    return _SCRIPT_END.sub(r"<\\/", text).replace("<!--", "<\\!--")
