"""Scripts of a user that record runs, and the runs that came of them."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from pathlib import Path

from patience import PATIENCE_S
from penstock.project.project import Project
from penstock.tracking.entities import Run
from penstock.tracking.runs import list_runs
from servers.forking import MODEL_IMPORTS, penstock_server


def forked(root: Path, text: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run a script in a fork, however it ends."""
    server = penstock_server(*MODEL_IMPORTS)
    environment = {**os.environ, "HOME": str(root), "MLFLOW_TRACKING_URI": "", **variables}
    return server.run([], cwd=root, env=environment, program=textwrap.dedent(text), timeout=PATIENCE_S)


def script(root: Path, text: str, ok: bool = True, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run a script: a fork where it comes to its end, an interpreter where that is an exception."""
    if ok:
        done = forked(root, text, **variables)
    else:
        done = subprocess.run(
            [sys.executable, "-c", textwrap.dedent(text)],
            cwd=root,
            env={**os.environ, "HOME": str(root), "MLFLOW_TRACKING_URI": "", **variables},
            capture_output=True,
            text=True,
            check=False,
            timeout=PATIENCE_S,
        )
    assert (done.returncode == 0) == ok, done.stderr
    return done


def found(project: Project) -> list[Run]:
    """Return the runs of a project, the newest first."""
    with project.database.read() as connection:
        return list_runs(connection)
