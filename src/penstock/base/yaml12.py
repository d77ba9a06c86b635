"""Read YAML 1.2 at the speed of libyaml: `yes` and `on` are text, `1e-05` a number, `010` ten.

PyYAML resolves plain scalars by YAML 1.1; DVC writes and reads 1.2, where the same text can mean another
value. Source: YAML 1.2.2, section 10.3.2 (core schema); timestamps stay, as ruamel.yaml's safe loader
keeps them.
"""

from __future__ import annotations

import re
from typing import Any, ClassVar

import yaml

_ENDS_ENTRY = re.compile(r":[,\]}]")
_MOST_MENDED = 200
_MERGE = "tag:yaml.org,2002:merge"
_Base: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class Loader(_Base):  # type: ignore[misc]
    """A safe loader of the core schema."""

    yaml_implicit_resolvers: ClassVar[dict[str, list[tuple[str, re.Pattern[str]]]]] = {}

    def __init__(self, stream: Any) -> None:
        is_odd = isinstance(stream, str) and _ENDS_ENTRY.search(stream)
        super().__init__(quote_colons(stream) if is_odd else stream)

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        """Refuse a key that stands twice: YAML 1.2 forbids it, and which of the two counts is anybody's guess."""
        own = [key for key, _ in node.value]
        found: dict[Any, Any] = super().construct_mapping(node, deep=deep)
        if len(found) != len(own) or any(key.tag == _MERGE for key in own):
            _check_once(self, [key for key in own if key.tag != _MERGE])
        return found


def load(text: str) -> Any:
    """Parse YAML text to plain Python values.

    Raises:
        yaml.YAMLError: it is not YAML.

    Example:
        >>> load("{a: yes, b: 1e-05, c: 010, d: 0o10, e: null, f: on}")
        {'a': 'yes', 'b': 1e-05, 'c': 10, 'd': 8, 'e': None, 'f': 'on'}
    """
    return yaml.load(text, Loader=Loader)


def quote_colons(text: str) -> str:
    """Return a text with quotes around what ends with a colon within brackets, as in `[a:, b]`.

    By YAML 1.2 that is the text `a:`, as ruamel reads it; libyaml takes it for a mistake, though not for another thing.
    Lines stay where they are.

    Example:
        >>> quote_colons("{x: [é:], y: [b: 1]}")
        "{x: ['é:'], y: [b: 1]}"
    """
    for _ in range(_MOST_MENDED):
        try:
            for _event in yaml.parse(text, Loader=_Base):
                pass
        except yaml.MarkedYAMLError as error:
            begin, colon = error.context_mark, error.problem_mark
            if begin is None or colon is None or not _ENDS_ENTRY.match(text, colon.index):
                break
            inner = text[begin.index : colon.index + 1].replace("'", "''")
            text = f"{text[: begin.index]}'{inner}'{text[colon.index + 1 :]}"
        else:
            break
    return text


def _check_once(loader: Loader, keys: list[yaml.Node]) -> None:
    seen = set()
    for key in keys:
        value = loader.construct_object(key, deep=True)
        if value in seen:
            raise yaml.constructor.ConstructorError(
                None, None, f"the key {value!r} stands twice", key.start_mark
            )
        seen.add(value)


def _construct_int(loader: Any, node: yaml.ScalarNode) -> int:
    text = loader.construct_scalar(node).replace("_", "")
    digits = text.lstrip("+-")
    sign = -1 if text.startswith("-") else 1
    base = {"0o": 8, "0x": 16, "0b": 2}.get(digits[:2], 10)
    return sign * int(digits if base == 10 else digits[2:], base)


def _construct_float(loader: Any, node: yaml.ScalarNode) -> float:
    text = loader.construct_scalar(node).replace("_", "").lower()
    return float(text.replace(".inf", "inf").replace(".nan", "nan"))


def _resolve(name: str, pattern: str, first: str) -> None:
    Loader.add_implicit_resolver(f"tag:yaml.org,2002:{name}", re.compile(f"^(?:{pattern})$"), list(first))


_resolve("bool", "true|True|TRUE|false|False|FALSE", "tTfF")
_resolve("int", r"[-+]?(?:0b[01_]+|0o[0-7_]+|0x[0-9a-fA-F_]+|[0-9][0-9_]*)", "-+0123456789")
_resolve(
    "float",
    r"[-+]?(?:[0-9][0-9_]*(?:\.[0-9_]*)?(?:[eE][-+]?[0-9]+)?|\.[0-9][0-9_]*(?:[eE][-+]?[0-9]+)?)"
    r"|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)",
    "-+0123456789.",
)
_resolve("null", "~|null|Null|NULL|", "~nN\0")
Loader.add_implicit_resolver("tag:yaml.org,2002:null", re.compile("^$"), [""])
_resolve("merge", "<<", "<")
_resolve(
    "timestamp",
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}"
    r"|[0-9]{4}-[0-9]{1,2}-[0-9]{1,2}(?:[Tt]|[ \t]+)[0-9]{1,2}:[0-9]{2}:[0-9]{2}(?:\.[0-9]*)?"
    r"(?:[ \t]*(?:Z|[-+][0-9]{1,2}(?::[0-9]{2})?))?",
    "0123456789",
)


def _construct_timestamp(loader: Any, node: yaml.ScalarNode) -> Any:
    """Return a date or a time; one that the calendar does not have is told with its line."""
    try:
        return loader.construct_yaml_timestamp(node)
    except ValueError as error:
        raise yaml.constructor.ConstructorError(
            None, None, f"{node.value}: {error}", node.start_mark
        ) from None


Loader.add_constructor("tag:yaml.org,2002:timestamp", _construct_timestamp)
Loader.add_constructor("tag:yaml.org,2002:int", _construct_int)
Loader.add_constructor("tag:yaml.org,2002:float", _construct_float)
