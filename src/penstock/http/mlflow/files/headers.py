"""What the headers of a download say and ask: type, file name, protection, ranges.

An artifact is hostile until a person has looked at it: it is never shown inline, its type is not sniffed,
and should a browser open it all the same, it runs in an empty sandbox.

Source: RFC 9110 §14 (ranges), RFC 6266 and RFC 5987 (file names); mlflow/mlflow,
mlflow/utils/mime_type_utils.py, `_guess_mime_type`.
"""

from __future__ import annotations

import mimetypes
import re
import unicodedata
from typing import NamedTuple
from urllib.parse import quote

from penstock.artifacts.files import OpenFile

TEXT = frozenset(
    [
        "txt",
        "log",
        "err",
        "cfg",
        "conf",
        "cnf",
        "cf",
        "ini",
        "properties",
        "prop",
        "hocon",
        "toml",
        "yaml",
        "yml",
        "xml",
        "json",
        "js",
        "py",
        "py3",
        "csv",
        "tsv",
        "md",
        "rst",
        "ipynb",
        "MLmodel",
        "MLproject",
    ]
)
"""Extensions, and names without one, that are told as plain text."""
ATTRIBUTE_CHARACTERS = "!#$&+-.^_`|~"  # of RFC 5987, beside letters and digits
_RANGE = re.compile(r"bytes=([0-9]{0,18})-([0-9]{0,18})")


class Span(NamedTuple):
    """The part of a file that is sent; `is_whole` when nobody asked for less."""

    start: int
    length: int
    is_whole: bool = True


def media_type_of(name: str) -> str:
    """Return the type of a file by its name.

    Example:
        >>> media_type_of("MLmodel"), media_type_of("model.pkl"), media_type_of("a.png")
        ('text/plain', 'application/octet-stream', 'image/png')
    """
    stem, dot, extension = name.rpartition(".")
    if (extension if dot and stem else name) in TEXT:
        return "text/plain"
    guessed, _ = mimetypes.guess_type(name)
    return guessed or "application/octet-stream"


def attachment(name: str) -> str:
    r"""Return the Content-Disposition that has a browser save a file under its name.

    Example:
        >>> attachment("model.pkl"), attachment('a"b\\.é')
        ('attachment; filename="model.pkl"', 'attachment; filename="a_b_.e"; filename*=UTF-8\'\'a%22b%5C.%C3%A9')
    """
    ascii_name = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode("ascii")
    plain = re.sub(r"[^ !#-\[\]-~]", "_", ascii_name) or "download"
    if plain == name:
        return f'attachment; filename="{plain}"'
    return f"attachment; filename=\"{plain}\"; filename*=UTF-8''{quote(name, safe=ATTRIBUTE_CHARACTERS)}"


def headers_of(file: OpenFile, span: Span) -> dict[str, str]:
    """Return the headers of an answer that sends a file or a part of it."""
    headers = {
        "Content-Type": media_type_of(file.name),
        "Content-Length": str(span.length),
        "Content-Disposition": attachment(file.name),
        "Accept-Ranges": "bytes" if file.has_ranges else "none",
        "X-Content-Type-Options": "nosniff",
        "Content-Security-Policy": "sandbox; default-src 'none'; frame-ancestors 'none'",
        "Cache-Control": "no-store" if file.sha256 is None else "private, no-cache",
    }
    if file.sha256 is not None:
        headers["ETag"] = f'"{file.sha256}"'
    if not span.is_whole:
        last = span.start + span.length - 1
        headers["Content-Range"] = f"bytes {span.start}-{last}/{file.size_bytes}"
    return headers


def parse_range(header: str | None, file: OpenFile) -> Span | None:
    """Return what a Range header asks for, or None when the file has no such part.

    A header that is malformed, asks for several ranges or stands before a file without ranges counts as
    absent, as RFC 9110 allows.
    """
    size = file.size_bytes
    whole = Span(0, size)
    if header is None or not file.has_ranges:
        return whole
    match = _RANGE.fullmatch(header.replace(" ", ""))
    if match is None or match.group(0) == "bytes=-":
        return whole
    first, last = match.groups()
    if not first:
        length = min(int(last), size)
        return Span(size - length, length, is_whole=False) if length else None
    start = int(first)
    if last and int(last) < start:
        return whole
    end = min(int(last) + 1, size) if last else size
    return Span(start, end - start, is_whole=False) if start < size else None
