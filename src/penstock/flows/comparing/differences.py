"""What differs between two sides: parameters, metrics, data and code."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from penstock.flows.comparing.sides import Side
from penstock.pipeline.parameters import is_same
from penstock.project.project import Project

Pair = tuple[Any, Any]
"""The value on either side; None where a side has none."""


@dataclass(frozen=True)
class Differences:
    """What differs by name, and the files that git says changed; `code` is None where a side has no commit."""

    parameters: Mapping[str, Pair]
    metrics: Mapping[str, Pair]
    data: Mapping[str, Pair]
    code: tuple[str, ...] | None

    @property
    def is_empty(self) -> bool:
        """Whether nothing differs."""
        return not (self.parameters or self.metrics or self.data or self.code)


def compare_sides(project: Project, first: Side, second: Side) -> Differences:
    """Return what differs. Code is compared as committed; what was not, a side's `dirty_digest` names."""
    code = None
    if first.commit is not None and second.commit is not None:
        code = tuple(changed_files(project, first.commit, second.commit))
    return Differences(
        _pairs(first.parameters, second.parameters),
        _pairs(first.metrics, second.metrics),
        _pairs(first.data, second.data),
        code,
    )


def changed_files(project: Project, first: str, second: str) -> list[str]:
    """Return the files of the project that differ between two commits, relative to its root."""
    listed = project.git.run_bytes("diff", "--name-only", "--no-renames", "--relative", "-z", first, second)
    return sorted(name.decode(errors="surrogateescape") for name in listed.split(b"\0") if name)


def _pairs(first: Mapping[str, Any], second: Mapping[str, Any]) -> dict[str, Pair]:
    keys = sorted({*first, *second})
    return {
        key: (first.get(key), second.get(key)) for key in keys if not is_same(first.get(key), second.get(key))
    }
