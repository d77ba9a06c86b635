"""Wait for what was deployed to be served."""

from __future__ import annotations

import time

from penstock.base.clock import now_ms
from penstock.base.errors import Conflict, Invalid, NotFound
from penstock.project.project import Project
from penstock.serving.deployments import Revision, get_revision
from penstock.serving.workers import list_workers

WORKER_ALIVE_MS = 5_000


def wait_until_served(project: Project, revision: Revision, timeout_s: float) -> int:
    """Wait until every live serve process took the revision over; return how many there are.

    Raises:
        Invalid: a process could not load it (its words are in the message).
        Conflict: another revision came in the meantime.
        NotFound: a process did not answer within `timeout_s`.
    """
    deadline = time.monotonic() + timeout_s
    while True:
        with project.database.read() as connection:
            workers = list_workers(connection, now_ms() - WORKER_ALIVE_MS)
            current = get_revision(connection, revision.endpoint)
        if current.number != revision.number:
            raise Conflict(
                f"revision {revision.number} of {revision.endpoint} was replaced by {current.number}",
                code="serving.revision_moved",
                hint=f"penstock endpoint history {revision.endpoint}",
            )
        states = [worker.state_of(revision.endpoint, revision.number) for worker in workers]
        for state in states:
            if state is not None and state.state == "failed":
                raise Invalid(
                    f"revision {revision.number} of {revision.endpoint} could not be loaded: {state.message}",
                    code="serving.model_does_not_load",
                    hint=f"penstock rollback {revision.endpoint}",
                )
        if all(state is not None and state.state == "ready" for state in states):
            return len(states)
        if time.monotonic() > deadline:
            raise NotFound(
                f"a serve process did not take revision {revision.number} of {revision.endpoint} over in {timeout_s:g} s",
                code="serving.not_taken_over",
                hint="look at the output of penstock serve",
            )
        time.sleep(0.05)
