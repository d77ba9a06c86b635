"""A repository's pipelines at a glance: every step, what it needs, whether it is stale and why. Runs nothing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from penstock.base.errors import PenstockError
from penstock.data.repository import DataRepository
from penstock.pipeline.definition import load_all_stages
from penstock.pipeline.graph import plan, upstream_of
from penstock.pipeline.lockfile import LockEntry, load_entries
from penstock.pipeline.pointer_steps import PointerStep, list_pointer_steps
from penstock.pipeline.stage import Stage
from penstock.pipeline.status import stage_status

State = Literal["up to date", "stale", "waits", "frozen", "unknown", "data"]


@dataclass(frozen=True)
class StepView:
    """One stage, or the pointer of data that stages need. `waits` is up to date itself, and needs what is stale.

    `kept` are those of its outputs that the cache keeps; git has the others.
    """

    address: str
    state: State
    reasons: tuple[str, ...]
    needs: tuple[str, ...]
    makes: tuple[str, ...]
    kept: frozenset[str] = frozenset()
    command: str = ""
    description: str = ""


def view_pipeline(repo: DataRepository) -> list[StepView]:
    """Return every stage, and every pointer that a stage needs, in an order in which they can run.

    Raises:
        Invalid: a dvc.yaml or dvc.lock cannot be read, or stages go in a circle.
    """
    stages = load_all_stages(repo)
    pointers = list_pointer_steps(repo)
    steps: list[Stage | PointerStep] = [*stages, *pointers]
    plan(steps, [])
    needs = upstream_of(steps)
    used = {need for stage in stages for need in needs[stage.address]}
    locked = load_entries(repo.root, stages)
    found: dict[str, StepView] = {}
    left: list[Stage | PointerStep] = [*(one for one in pointers if one.address in used), *stages]
    while left:
        ready = [one for one in left if all(need in found for need in needs[one.address])]
        for one in ready:
            needed = needs[one.address]
            if isinstance(one, PointerStep):
                found[one.address] = StepView(one.address, "data", (), needed, tuple(one.makes))
                continue
            state, reasons = _state(repo, one, locked.get(one.address))
            waiting = [need for need in needed if found[need].state in {"stale", "waits"}]
            if state == "up to date" and waiting:
                state, reasons = "waits", (f"needs {', '.join(waiting)}",)
            found[one.address] = StepView(
                one.address,
                state,
                reasons,
                needed,
                one.makes,
                frozenset(one.place(output.path) for output in one.outputs if output.is_cached),
                "; ".join(one.commands),
                one.description or "",
            )
        left = [one for one in left if one.address not in found]
    return list(found.values())


def _state(repo: DataRepository, stage: Stage, entry: LockEntry | None) -> tuple[State, tuple[str, ...]]:
    try:
        status = stage_status(repo, repo.root, stage, entry)
    except PenstockError as error:
        return "unknown", (error.message,)
    reasons = tuple(status.reasons()) if status.is_changed else ()
    if stage.is_frozen:
        return "frozen", reasons
    return ("stale", reasons) if reasons else ("up to date", ())
