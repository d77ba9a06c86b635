"""What names, aliases, tags and numbers may be, in the words MLflow's clients know.

Source: MLflow 3.17 `mlflow/utils/validation.py` (rules and texts only); differs in that a name may not hold
`@`, which separates it from an alias.
"""

from __future__ import annotations

import re

from penstock.base.errors import Invalid
from penstock.records.limits import (
    MAX_REGISTRY_TAG_VALUE,
    another_path,
    check_key,
    invalid_value,
    is_another_path,
    limit_length,
    missing_value,
)

MAX_NAME = 256
MAX_ALIAS = 255
MAX_DIGITS = 9
_ALIAS = re.compile(r"[\w\-]+\Z")
_NUMBER = re.compile(r"v\d+\Z", re.IGNORECASE)


def check_name(name: str, path: str = "name") -> str:
    """Return a registered model's name when it can be one.

    Raises:
        Invalid: it is blank, too long, holds `/`, `:`, `@` or a control character, or means another path.
    """
    if not name.strip():
        raise missing_value(path)
    if "/" in name or ":" in name:
        raise _bad_name(f"Invalid model name '{name}'. Names cannot contain '/' or ':'.")
    if "@" in name or not name.isprintable():
        raise _bad_name(f"Invalid model name {name[:100]!r}. Names cannot contain '@' or control characters.")
    if is_another_path(name):
        raise invalid_value(path, name, another_path(name))
    return limit_length(path, name, MAX_NAME)


def check_alias(alias: str) -> str:
    """Return an alias when it can be one.

    Raises:
        Invalid: it is empty, too long, `latest`, looks like a number (`v3`), or has other characters than
            letters, digits, `_` and `-`.
    """
    if not alias:
        raise _bad_alias("Registered model alias name cannot be empty.")
    if not _ALIAS.match(alias):
        raise _bad_alias(
            f"Invalid alias name: '{alias}'. Names may only contain alphanumerics, underscores (_), and "
            "dashes (-)."
        )
    limit_length("Registered model alias name", alias, MAX_ALIAS)
    if is_latest(alias):
        raise _bad_alias("'latest' alias name (case insensitive) is reserved.")
    if _NUMBER.match(alias):
        raise _bad_alias(f"Version alias name '{alias}' is reserved.")
    return alias


def is_latest(word: str) -> bool:
    """Say whether a word stands for a model's newest version, where an alias or a number may stand."""
    return word.lower() == "latest"


def check_tag(key: str, value: str) -> tuple[str, str]:
    """Return a tag when it can be one.

    Raises:
        Invalid: key or value cannot.
    """
    return check_key(key), limit_length("value", value, MAX_REGISTRY_TAG_VALUE)


def parse_number(text: str) -> int:
    """Return a version's number.

    Raises:
        Invalid: it is no integer.
    """
    try:
        number = int(text) if len(text) <= 100 else 0
    except ValueError:
        raise Invalid(
            f"Parameter 'version' must be an integer, got '{text}'.", code="registry.bad_number"
        ) from None
    return number if 0 < number < 10**MAX_DIGITS else 0


def _bad_name(message: str) -> Invalid:
    return Invalid(message, code="registry.bad_name", hint="use 1 to 256 characters without / : @")


def _bad_alias(message: str) -> Invalid:
    return Invalid(message, code="registry.bad_alias", hint="use letters, digits, - and _")
