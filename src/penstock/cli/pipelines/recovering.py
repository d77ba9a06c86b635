"""What an experiment that was killed in the workspace left there, put back or told before something else runs."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from penstock.cli.output import Session

if TYPE_CHECKING:
    from penstock.project.project import Project

NOTE = "penstock-experiment.json"  # as in `flows.experiments.keeping`, whose import costs every repro time


def tell_recovered(session: Session, project: Project) -> None:
    """Put the workspace back as it was before an experiment that was killed; where it has gone on, say what is left."""
    if not os.path.exists(project.data.dvc_dir / "tmp" / NOTE):  # nearly always
        return
    from penstock.flows.experiments.keeping import recover

    recovered = recover(project.data, project.git.head())
    if recovered is None:
        return
    if recovered.is_put_back:
        session.note("An experiment was killed here: the workspace is put back as it was before it.")
        return
    session.note(
        "An experiment was killed here, and the workspace has gone on since: it stays as it is."
        if recovered.is_certain
        else "An experiment began here on another machine or before a restart, and did not end: all stays as it is."
    )
    for file, keys in recovered.left.items():
        session.note(
            f"{file} still has what that experiment set: {', '.join(keys)}. Mend it, unless it is to stay."
        )
