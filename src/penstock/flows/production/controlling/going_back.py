"""What a rollback by the controller goes back to: the newest version that can be served again. Decides nothing.

It is asked only when a rollback is decided, since looking for files may mean asking an object store.
"""

from __future__ import annotations

from dataclasses import replace

from penstock.flows.production.controlling.deciding import Decision, RollBack, decide
from penstock.flows.production.traffic.obstacles import find_obstacle
from penstock.flows.production.watching import Observation
from penstock.project.project import Project


def decide_servable(project: Project, seen: Observation) -> Decision:
    """Decide as `decide` does, and pass over earlier versions that cannot be served again, which the decision names.

    Where only such are left, the first decision stands, and carrying it out tells what is missing.
    """
    first = decision = decide(seen.look, seen.history, seen.settings)
    barred = seen.history.rolled_back
    passed: dict[str, str] = {}
    while isinstance(decision.action, RollBack):
        model, number = decision.action.model, decision.action.stable
        obstacle = None if seen.revision.canary is not None else find_obstacle(project, model, number)
        if obstacle is None:
            return replace(decision, action=replace(decision.action, passed=passed))
        passed[f"{model}/{number}"] = obstacle.message
        barred |= {(model, number)}
        decision = decide(seen.look, replace(seen.history, rolled_back=barred), seen.settings)
    return first
