"""Names and lengths that a store accepts, with the sentences MLflow's clients know.

Source: MLflow 3.17 `mlflow/utils/validation.py` (limits and texts only).
"""

from __future__ import annotations

import json
import operator
import posixpath
import re
from functools import lru_cache

from penstock.base.errors import Invalid
from penstock.base.numbers import counted

MAX_KEY = 250
MAX_PARAM_VALUE = 6000
MAX_TAG_VALUE = 8000
MAX_JSON_TAG_VALUE = 1_000_000
"""An array or object in a tag of a run; MLflow's clients keep the models of a run in one."""
MAX_EXPERIMENT_NAME = 500
MAX_EXPERIMENT_TAG_VALUE = 20_000
MAX_REGISTRY_TAG_VALUE = 100_000
MAX_INT64 = 2**63 - 1
MAX_LISTED = 15_000
"""So many values may stand in one list of a search; a statement has places for 32,766 (SQLite)."""

_NAME = re.compile(r"[/\w.\- :]*\Z")
_BAD_CHARACTERS = (
    "Names may only contain alphanumerics, underscores (_), dashes (-), periods (.), spaces ( ), colon(:) "
    "and slashes (/)."
)


def invalid_value(path: str, value: object, reason: str = "") -> Invalid:
    """Make the error for a field that holds what it must not."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), default=str)
    text = text if len(text) <= 100 else f"{text[:100]}…"
    ending = f": {reason}" if reason else "."
    return Invalid(
        f"Invalid value {text} for parameter '{path}' supplied{ending}",
        code="request.invalid_value",
        field=path,
    )


def missing_value(path: str) -> Invalid:
    """Make the error for a required field that is absent or empty."""
    return Invalid(
        f"Missing value for required parameter '{path}'.", code="request.missing_value", field=path
    )


def check_key(name: str, path: str = "key") -> str:
    """Return the name of a parameter, metric or tag when it can be one.

    It must stay itself when it is read as a relative path, since clients write files of that name.

    Raises:
        Invalid: it has other characters, resolves to another path, or is longer than `MAX_KEY`.
    """
    if is_key(name):
        return name
    if not _NAME.match(name):
        raise invalid_value(path, name, _BAD_CHARACTERS)
    if is_another_path(name):
        raise invalid_value(path, name, another_path(name))
    return limit_length(path, name, MAX_KEY)


def check_step(step: object, path: str = "step") -> int:
    """Return a step as the whole number that a store keeps; those of NumPy and PyTorch are some too.

    Raises:
        Invalid: it is none, or has no place in 64 bits.
    """
    try:
        number = int(operator.index(step))  # type: ignore[arg-type]
    except TypeError:
        raise invalid_value(path, step, "a step is a whole number") from None
    if not -MAX_INT64 - 1 <= number <= MAX_INT64:
        raise invalid_value(path, step, "a step has 64 bits")
    return number


@lru_cache(maxsize=4096)
def is_key(name: str) -> bool:
    """Say whether `check_key` lets a name pass; the names of a training loop come again and again."""
    return bool(_NAME.match(name)) and not is_another_path(name) and len(name) <= MAX_KEY


def is_another_path(name: str) -> bool:
    """Say whether a name, read as a relative path, means another one or leaves its folder."""
    normal = posixpath.normpath(name)
    return normal != name or normal == "." or normal.startswith(("..", "/"))


def another_path(name: str) -> str:
    """Return the reason for refusing a name that `is_another_path`."""
    return (
        "Names may be treated as files in certain cases, and must not resolve to other names when treated as "
        f"such. This name would resolve to {posixpath.normpath(name)!r}"
    )


def limit_count(what: str, count: int) -> None:
    """Check how many values a list of a search holds.

    Raises:
        Invalid: more than `MAX_LISTED`.
    """
    if count > MAX_LISTED:
        raise Invalid(
            f"'{what}' holds {counted(count, 'value')}; at most {MAX_LISTED} can be searched at once",
            code="request.too_many",
            hint="ask in several requests",
            field=what,
        )


def limit_length(what: str, value: str, limit: int) -> str:
    """Return a text of at most `limit` characters.

    Raises:
        Invalid: it is longer.
    """
    if len(value) > limit:
        raise Invalid(
            f"'{what}' exceeds the maximum length of {limit} characters", code="request.too_long", field=what
        )
    return value
