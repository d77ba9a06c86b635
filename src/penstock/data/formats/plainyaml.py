"""The YAML of plain documents, read and written many times sooner than by a library; anything less plain is left to those.

Plain is what locks and pipelines mostly hold: texts on one line, numbers, mappings and lists of them. What is read here
means what `penstock.base.yaml12` says it means, what is written is ruamel's to the byte; where that is not certain, the answer is None.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Any

_TEXT = re.compile(
    r"(?:[A-Za-z_/]|\.\.?/)[A-Za-z0-9_./@%+=~-]*(?: [A-Za-z0-9_./@%+=~][A-Za-z0-9_./@%+=~-]*)*$"
)
_DIGEST = re.compile(r"(?=[0-9a-f]*[acdf])[0-9a-f]{32}(?:\.dir)?$")  # others may be numbers: 12e34, 0b1
_WORDS = frozenset(["true", "false", "null", "yes", "no", "on", "off", "y", "n"])
MOST_COLUMNS = 78


class NotYamlError(ValueError):
    """A text that is no YAML; what is wrong with it is the message."""


class _NotPlainError(Exception):
    pass


def load(text: str) -> Any:
    """Parse any YAML text to plain Python values, as `penstock.base.yaml12.load`.

    Raises:
        NotYamlError: it is not YAML.
    """
    import yaml  # 20 ms, and so what stands on it

    from penstock.base import yaml12

    try:
        return yaml12.load(text)
    except yaml.YAMLError as error:
        raise NotYamlError(str(error)) from None


def render_plain(document: object) -> str | None:
    """Return a dict as YAML text, or None where that takes more than this knows.

    What a library read is none: it holds the comments of its text.
    """
    if type(document) is not dict or not document:
        return None
    try:
        return "".join(_mapping(document, "", ""))
    except _NotPlainError:
        return None


def _mapping(items: Mapping[object, object], first: str, indent: str) -> Iterator[str]:
    """Yield lines; the first begins with `first` in the place of `indent`."""
    begin = first
    for key, value in items.items():
        name = _scalar(key)
        if type(key) is not str:
            raise _NotPlainError
        if type(value) is dict and value:
            yield f"{begin}{name}:\n"
            yield from _mapping(value, f"{indent}  ", f"{indent}  ")
        elif type(value) is list and value:
            yield f"{begin}{name}:\n"
            for item in value:
                if type(item) is dict and item:
                    yield from _mapping(item, f"{indent}- ", f"{indent}  ")
                else:
                    yield _line(f"{indent}- {_scalar(item)}")
        else:
            yield _line(f"{begin}{name}: {_scalar(value)}")
        begin = indent


def _line(text: str) -> str:
    if len(text) > MOST_COLUMNS:
        raise _NotPlainError
    return f"{text}\n"


def _scalar(value: object) -> str:
    if type(value) is str and (_TEXT.match(value) or _DIGEST.match(value)) and value.lower() not in _WORDS:
        return value
    if type(value) is int:
        return str(value)
    if type(value) is bool:
        return "true" if value else "false"
    if type(value) is float and _FLOAT.match(text := repr(value)):
        return text
    raise _NotPlainError


_NAME = r"[A-Za-z_][A-Za-z0-9_./@-]*|[./][A-Za-z_/.][A-Za-z0-9_./@-]*"
_LINE = re.compile(rf"^( *)(- (?! ))?(?:({_NAME}):(?: +(.*))?|(.*))$", re.MULTILINE)
"""A line: its indent, the dash of an item, then a key with its value, or anything else."""
_INT = re.compile(r"-?(?:0|[1-9][0-9]{0,17})$")
_FLOAT = re.compile(r"-?(?:0|[1-9][0-9]{0,9})\.[0-9]{1,12}$")
_VALUES = {"true": True, "false": False, "null": None}
_DIGESTS = (32, 36)
"""How long digests are, of files and of directories."""
_FIRST = re.compile(r"[A-Za-z_/]|\.\.?/")
_USUAL = frozenset(["cmd", "deps", "hash", "md5", "outs", "params", "path", "size"])
"""Keys that are no words with a meaning."""

_Line = tuple[str, str, str, str, str]


def parse_plain(text: str) -> dict[str, Any] | None:
    """Return a document whose top is a mapping, or None where that takes more than this knows."""
    if "\t" in text or "\r" in text or (not text.isprintable() and not text.replace("\n", "").isprintable()):
        return None
    found_lines: list[_Line] = _LINE.findall(text)
    lines = [line for line in found_lines if line[2] or line[1] or line[4].lstrip()[:1] not in {"", "#"}]
    try:
        if not lines or lines[0][0]:
            return None
        found, end = _read_mapping(lines, 0, 0)
    except _NotPlainError:
        return None
    return found if end == len(lines) else None


def _read_mapping(lines: list[_Line], at: int, indent: int) -> tuple[dict[str, Any], int]:
    found: dict[str, Any] = {}
    count = len(lines)
    while at < count:
        lead, dash, key, value, _ = lines[at]
        if dash or len(lead) != indent:
            break
        if not key or key in found or (key not in _USUAL and key.lower() in _WORDS):
            raise _NotPlainError
        at += 1
        if value:
            found[key] = _read_value(value)
            continue
        if at == count:
            raise _NotPlainError
        lead, dash, _, _, _ = lines[at]
        depth = len(lead)
        if depth < indent or (depth == indent and not dash):
            raise _NotPlainError
        found[key], at = (_read_list if dash else _read_mapping)(lines, at, depth)
    if at < count and len(lines[at][0]) > indent:
        raise _NotPlainError
    return found, at


def _read_list(lines: list[_Line], at: int, indent: int) -> tuple[list[Any], int]:
    found: list[Any] = []
    inner = " " * (indent + 2)
    count = len(lines)
    while at < count:
        lead, dash, key, value, rest = lines[at]
        if not dash or len(lead) != indent:
            break
        if key:
            lines[at] = (inner, "", key, value, "")
            item, at = _read_mapping(lines, at, indent + 2)
            found.append(item)
        else:
            found.append(_read_value(rest))
            at += 1
    if at < count and len(lines[at][0]) > indent:
        raise _NotPlainError
    return found, at


def _read_value(text: str) -> Any:
    if text[:1] != "[":
        return _read_scalar(text)
    text = text.rstrip()
    inner = text[1:-1]
    if text[-1] != "]" or any(mark in inner for mark in "[]{}'\"#:&*"):
        raise _NotPlainError
    return [_read_scalar(part.strip() or "~") for part in inner.split(",")] if inner.strip() else []


@lru_cache(maxsize=1 << 14)  # in a lock the same texts and digests come again and again
def _read_scalar(text: str) -> Any:
    text = text.rstrip()
    if not text:
        raise _NotPlainError
    if text[0] in "'\"":
        inner = text[1:-1]
        if len(text) < 2 or text[-1] != text[0] or text[0] in inner or "\\" in inner:
            raise _NotPlainError
        return inner
    if text[0] in "-0123456789":
        if _INT.match(text):
            return int(text)
        if _FLOAT.match(text):
            return float(text)
    if text in _VALUES:
        return _VALUES[text]
    if len(text) in _DIGESTS and _DIGEST.match(text):
        return text
    if not _FIRST.match(text) or ": " in text or " #" in text or text[-1] == ":" or text.lower() in _WORDS:
        raise _NotPlainError
    return text
