"""Kills `ci run` with SIGKILL: before each of its transactions and after each of its steps, one run after the other.

A program of its own: it imports what a run needs and forks for each, so that a run costs what it does and no start; what
was found after each kill it prints as a line of JSON. It never opens the project itself.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from penstock.ci.report import CiReport
from penstock.flows.ci.branches import Pushed
from penstock.flows.ci.continuous import run_ci
from penstock.project.ci_reports import find_report
from penstock.registry.aliases import list_last_moves
from penstock.registry.tables import alias_moves, versions
from penstock.serving.deployments import get_revision, list_revisions
from penstock.workspace import open_workspace

MOST = 80


def run(home: Path, commit: str, bare: str, kill_at: int | None) -> CiReport:
    """Validate and release a commit; end the process by force at a moment, counted from 1."""
    moment = 0

    def pass_moment(*_: Any) -> None:
        nonlocal moment
        moment += 1
        if moment == kill_at:
            os.kill(os.getpid(), signal.SIGKILL)

    def before_commit(connection: sa.Connection) -> None:
        if connection.get_execution_options().get("penstock_writes"):
            pass_moment()

    sa.event.listen(sa.Engine, "commit", before_commit)
    with closing(open_workspace(home, {"USER": "ci"})) as project:
        return run_ci(project, commit, deploy=True, pushed=Pushed("main", bare), on_step=pass_moment)


def look(home: Path, commit: str) -> dict[str, Any]:
    """Return what production is, and what the report on the commit says."""
    with closing(open_workspace(home, {"USER": "ada"})) as project, project.database.read() as connection:
        report = find_report(project, commit)
        of_commit = sa.select(versions.c.number).where(versions.c.commit == commit)
        return {
            "champion": next(move.version for move in list_last_moves(connection, "late")),
            "stable": get_revision(connection, "delay").stable,
            "versions": list(connection.scalars(of_commit)),
            "moves": connection.scalar(sa.select(sa.func.count()).select_from(alias_moves)),
            "revisions": len(list_revisions(connection, "delay")),
            "passed": report.passed,
            "steps": [f"{step.status} {step.name}: {step.sentence}" for step in report.steps],
            "held": report.held,
            "trees": sorted(os.listdir(project.home / "worktrees")),
        }


def fork(work: Callable[[], Any]) -> int:
    """Do something in a process of its own and return its exit code; below 0 the signal that ended it."""
    child = os.fork()
    if child == 0:
        code = 1
        try:
            work()
            code = 0
        finally:
            sys.stdout.flush()
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def main() -> None:
    """Kill at one moment after the other, until a run has ended by itself."""
    home, commit, bare = Path(sys.argv[1]), sys.argv[2], sys.argv[3]
    for moment in range(1, MOST):
        code = fork(lambda moment=moment: run(home, commit, bare, moment))  # type: ignore[misc]
        fork(lambda code=code: print(json.dumps({"code": code, **look(home, commit)})))  # type: ignore[misc]
        if code >= 0:
            return


if __name__ == "__main__":
    import pandera.polars  # noqa: F401  # what gates and models need, once for all runs
    import sklearn.linear_model  # noqa: F401

    main()
