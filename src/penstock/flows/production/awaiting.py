"""Wait for what was deployed to be served."""

from __future__ import annotations

import shlex
import time
from collections.abc import Callable, Sequence

from penstock.base.clock import now_ms
from penstock.base.errors import Conflict, Invalid, NotFound
from penstock.project.project import Project
from penstock.serving.deployments import Revision, get_revision
from penstock.serving.workers import OWN_STATES, Worker, list_alive

TOLD_AFTER_S = 2.0


def wait_until_served(
    project: Project, revision: Revision, timeout_s: float, tell: Callable[[str], None] = lambda _: None
) -> int:
    """Wait until every live serve process took the revision over; return how many there are.

    Args:
        tell: is told, when it takes more than `TOLD_AFTER_S`, what is waited for, and again when that changes.

    Raises:
        Invalid: a process could not load it (its words are in the message).
        Conflict: another revision came in the meantime.
        NotFound: a process did not answer within `timeout_s`; which ones is in the message.
    """
    began_s = time.monotonic()
    told = ""
    while True:
        with project.database.read() as connection:
            workers = list_alive(connection, now_ms())
            current = get_revision(connection, revision.endpoint)
        if current.number != revision.number:
            raise Conflict(
                f"revision {revision.number} of {revision.endpoint} was replaced by {current.number}",
                code="serving.revision_moved",
                hint=f"penstock endpoint history {shlex.quote(revision.endpoint)}",
            )
        states = [(worker, worker.state_of(revision.endpoint, revision.number)) for worker in workers]
        for _, state in states:
            if state is not None and state.state in OWN_STATES:
                raise Invalid(
                    f"revision {revision.number} of {revision.endpoint} could not be loaded: {state.message}",
                    code="serving.model_does_not_load",
                    hint=f"penstock rollback {shlex.quote(revision.endpoint)}",
                )
        hindered = next((state.message for _, state in states if state and state.state == "hindered"), "")
        late = [worker for worker, state in states if state is None or state.state != "ready"]
        if not late:
            return len(states)
        waited_s = time.monotonic() - began_s
        lagging = _names_of(late, len(states))
        why = f": {hindered}" if hindered else ""
        if waited_s > TOLD_AFTER_S and lagging + why != told:
            tell(f"revision {revision.number} is recorded; waiting for {lagging} to load it{why}")
            told = lagging + why
        if waited_s > timeout_s:
            raise NotFound(
                f"{lagging} did not take revision {revision.number} of {revision.endpoint} over in {timeout_s:g} s{why}",
                code="serving.not_taken_over",
                hint="look at the output of penstock serve there; what it serves: penstock endpoint show",
            )
        time.sleep(0.05)


def _names_of(late: Sequence[Worker], count: int) -> str:
    """Return who has not taken a revision over, such as `1 of 2 serve processes (process 4711 on web-2)`."""
    named = ", ".join(f"process {worker.pid} on {worker.host}" for worker in late[:3])
    more = f" and {len(late) - 3} more" if len(late) > 3 else ""
    return f"{len(late)} of {count} serve process{'es' if count > 1 else ''} ({named}{more})"
