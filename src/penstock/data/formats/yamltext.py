"""YAML exactly as DVC reads and writes it: ruamel's round-trip loader and dumper at their defaults.

Differs where ruamel does not read back what it wrote: a text with U+0085 (next line) is quoted and escaped, and a long
text with escapes is not folded where the fold would add a blank.

The only module of this part that imports ruamel; what is plain is written without it (`plainyaml`). Comments and the order of keys survive an edit.

Source: dvc/utils/serialize/_yaml.py (3.67).
"""

from __future__ import annotations

import io
import re
import shlex
import sys
from collections.abc import Mapping, MutableMapping, MutableSequence, Sequence
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError
from ruamel.yaml.nodes import ScalarNode
from ruamel.yaml.representer import RoundTripRepresenter

from penstock.base.conflicts import refuse_conflict
from penstock.base.errors import Invalid
from penstock.data.formats.plainyaml import render_plain

_FOLD_AFTER_ESCAPE = re.compile(r"\\(?:x..|u.{4}|U.{8}|[^xuU\n])\n")


def load_document(text: str, where: str) -> MutableMapping[str, Any]:
    """Parse YAML text whose top is a mapping; it can be changed and dumped again.

    Raises:
        Invalid: it is not YAML, or its top is something else.
    """
    sides = f"git checkout --ours {shlex.quote(where)} (or --theirs), or edit it; then git add {shlex.quote(where)} and penstock checkout"
    refuse_conflict(text, where, sides)
    try:
        document = YAML().load(text)
    except (YAMLError, ValueError) as error:
        mark = getattr(error, "problem_mark", None)
        line = f":{mark.line + 1}" if mark is not None else ""
        raise Invalid(
            f"{where}{line}: not valid YAML: {getattr(error, 'problem', None) or error}",
            code="data.not_yaml",
            file=where,
        ) from None
    if document is None:
        document = {}
    if not isinstance(document, MutableMapping):
        raise Invalid(f"{where}: expected a mapping (key: value)", code="data.not_yaml", file=where)
    return document


def dump_document(document: object) -> str:
    """Render a document as DVC would, so that it is read back as it is."""
    plain = render_plain(document)
    if plain is not None:
        return plain
    text = _dump(document)
    if _FOLD_AFTER_ESCAPE.search(text) and YAML().load(text) != document:
        return _dump(document, width=sys.maxsize)
    return text


def _dump(document: object, width: int | None = None) -> str:
    yaml = YAML()
    yaml.width = width
    yaml.Representer = _Representer
    yaml.default_flow_style = False
    stream = io.StringIO()
    yaml.dump(document, stream)
    return stream.getvalue()


class _Representer(RoundTripRepresenter):
    """Represents text so that it is read back as it was."""


def _represent_text(representer: _Representer, text: str) -> ScalarNode:
    style = '"' if "\x85" in text else None
    return representer.represent_scalar("tag:yaml.org,2002:str", text, style=style)


_Representer.add_representer(str, _represent_text)


def update_document(document: object, wanted: object) -> None:
    """Make a part of a document say what `wanted` says, in place, touching only what differs.

    So comments, order and style of what stays are kept. Both are mappings, or both lists.

    Source: dvc/utils/collections.py, `apply_diff` (3.67).
    """
    if isinstance(document, MutableMapping) and isinstance(wanted, Mapping):
        for key, value in wanted.items():
            if not _updated(document.get(key), value) and (key not in document or document[key] != value):
                document[key] = value
        for key in set(document) - set(wanted):
            del document[key]
    elif isinstance(document, MutableSequence) and isinstance(wanted, Sequence):
        if len(document) != len(wanted):
            document[:] = wanted
            return
        for at, value in enumerate(wanted):
            if not _updated(document[at], value) and document[at] != value:
                document[at] = value


def _updated(part: object, value: object) -> bool:
    """Update a nested part, where both sides are of one kind; say whether they are."""
    same = (isinstance(part, Mapping) and isinstance(value, Mapping)) or (
        isinstance(part, MutableSequence) and isinstance(value, list | tuple)
    )
    if same:
        update_document(part, value)
    return same
