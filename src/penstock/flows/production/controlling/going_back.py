"""Whether a version can be served again: what a rollback by the controller goes back to. Decides nothing.

It is asked only when a rollback is decided, since looking for files may mean asking an object store.
"""

from __future__ import annotations

from dataclasses import replace

from penstock.base.errors import NotFound, PenstockError
from penstock.flows.production.controlling.deciding import Decision, RollBack, decide
from penstock.flows.production.watching import Observation
from penstock.project.project import Project
from penstock.registry.versions import get_version


def decide_servable(project: Project, seen: Observation) -> Decision:
    """Decide as `decide` does, and pass over earlier versions that cannot be served again.

    Where only such are left, the first decision stands, and carrying it out tells what is missing.
    """
    first = decision = decide(seen.look, seen.history, seen.settings)
    barred = seen.history.rolled_back
    while isinstance(decision.action, RollBack):
        to = (decision.action.model, decision.action.stable)
        if seen.revision.canary is not None or find_obstacle(project, *to) is None:
            return decision
        barred |= {to}
        decision = decide(seen.look, replace(seen.history, rolled_back=barred), seen.settings)
    return first


def find_obstacle(project: Project, model: str, number: int) -> PenstockError | None:
    """Return why a version cannot be served again: it was deleted, or files of it are gone; None where it can.

    What cannot be asked now counts as there: an object store that is away is no reason to stay with what is bad.
    """
    try:
        with project.database.read() as connection:
            version = get_version(connection, model, number)
    except NotFound as error:
        return error
    try:
        gone = [one.path for one in version.manifest.files if project.artifacts.size(one.sha256) is None]
    except PenstockError:
        return None
    if not gone:
        return None
    return NotFound(
        f"{version.ref} cannot be served again: its file {gone[0]} is not among the artifacts any more",
        code="serving.files_gone",
        hint="penstock deploy MODEL/VERSION sends out another version",
        version=version.ref,
        files=gone,
    )
