"""Names in groups: what is before the last slash, so that hundreds of metrics are read as a few. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TypeVar

from penstock.http.pages.telling.formatting import natural

Value = TypeVar("Value")


def group_names(names: Iterable[str]) -> dict[str, list[str]]:
    """Return names by group, those without a slash first under an empty one; inside a group by name.

    Example:
        >>> group_names(["loss", "train/loss", "train/acc", "system/cpu"])
        {'': ['loss'], 'system': ['system/cpu'], 'train': ['train/acc', 'train/loss']}
    """
    found: dict[str, list[str]] = {}
    for name in sorted(names, key=natural):
        found.setdefault(name.rpartition("/")[0], []).append(name)
    return {group: found[group] for group in sorted(found, key=natural)}


def group_values(values: Mapping[str, Value]) -> dict[str, dict[str, Value]]:
    """Return values by group, each under the rest of its name.

    Example:
        >>> group_values({"train/loss": 1, "rows": 2})
        {'': {'rows': 2}, 'train': {'loss': 1}}
    """
    return {
        group: {name.rpartition("/")[2] or name: values[name] for name in names}
        for group, names in group_names(values).items()
    }


def group_params(values: Mapping[str, Value], few: int = 12) -> dict[str, dict[str, Value]]:
    """Return parameters by what is before the last dot or slash of their names; few of them stay together.

    Example:
        >>> group_params({"seed": "1", "train.depth": "3", "train.rate": "0.1"}, few=2)
        {'': {'seed': '1'}, 'train': {'depth': '3', 'rate': '0.1'}}
    """
    if len(values) <= few:
        return {"": {name: values[name] for name in sorted(values, key=natural)}}
    found: dict[str, dict[str, Value]] = {}
    for name in sorted(values, key=natural):
        at = max(name.rfind("."), name.rfind("/"))
        short = name[at + 1 :]
        group = name[:at] if at > 0 and short else ""
        found.setdefault(group, {})[short if group else name] = values[name]
    return {group: found[group] for group in sorted(found, key=natural)}
