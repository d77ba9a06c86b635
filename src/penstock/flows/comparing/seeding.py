"""A repetition of a measurement: the pipeline's seed is another, the same in every mixture of that repetition."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from penstock.base.errors import Invalid
from penstock.flows.comparing.swapping import Ends
from penstock.flows.pipelines.snapshot import at_revision
from penstock.pipeline.definition import DEFAULT_PARAMETER_FILE
from penstock.pipeline.parameter_editing import set_values
from penstock.pipeline.parameters import get_value, is_missing, parse_values
from penstock.project.project import Project

Seeds = Sequence[Callable[[Project], None]]
"""What each repetition changes in a tree before its pipeline runs."""


def find_seeds(project: Project, ends: Ends, seed: str | None, repetitions: int) -> Seeds:
    """Return the changes of each repetition: the seed as the first side has it, then that plus 1, plus 2 and so on.

    Args:
        seed: `KEY` of params.yaml, or `FILE:KEY`; None changes nothing.

    Raises:
        Invalid: a side has no such parameter, or it is no whole number.
    """
    if seed is None:
        return (lambda tree: None,)
    file, _, key = seed.rpartition(":")
    file = file or DEFAULT_PARAMETER_FILE
    begin, _ = (_seed_at(project, commit, file, key) for commit in (ends.first, ends.second))
    return tuple(partial(_set, file, key, begin + number) for number in range(repetitions))


def _seed_at(project: Project, commit: str, file: str, key: str) -> int:
    with at_revision(project.data, commit) as snapshot:
        text = snapshot.read(file)
    value = get_value(parse_values(text.decode(), Path(file)), key) if text is not None else None
    if isinstance(value, bool) or not isinstance(value, int):
        what = "is not there" if text is None or is_missing(value) else f"is {value!r}, no whole number"
        raise Invalid(
            f"the seed {key} of {file} {what} at {commit[:10]}",
            code="compare.bad_seed",
            hint="name a parameter that both sides have and that a stage takes its seed from",
            key=key,
        )
    return value


def _set(file: str, key: str, value: int, tree: Project) -> None:
    set_values(tree.root / file, {key: value})
