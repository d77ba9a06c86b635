"""What surrounds a run: the git state, the pipeline's data digests, the program and who runs it."""

from __future__ import annotations

import sys
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from penstock.base.clock import now_ms
from penstock.base.digest import digest_bytes
from penstock.base.errors import PenstockError
from penstock.base.git import Git
from penstock.client.sink import COMMIT_TAG, RunDraft
from penstock.flows.models.provenance import capture_code, data_digests
from penstock.project.project import Project
from penstock.tracking.entities import CLEAN, TREE_TAG
from penstock.tracking.run_names import new_run_name

DIRTY_TAG, LOCK_TAG = "penstock.dirty_digest", "penstock.lock_digest"
DEFAULT_EXPERIMENT = "Default"


@dataclass(frozen=True)
class Surroundings:
    """Where a run starts: its project (None outside of one), its directory, and who runs it."""

    directory: Path
    project: Project | None
    user: str


def draft_run(
    around: Surroundings, *, experiment: str | None, name: str | None, tags: Mapping[str, str]
) -> RunDraft:
    """Return a run about to start, with the state of code and data as they are now."""
    own = {
        "mlflow.user": around.user,
        "mlflow.source.name": sys.argv[0] or "python",
        "mlflow.source.type": "LOCAL",
    }
    commit, dirty, lock, inputs = _state(around)
    if commit:
        own[COMMIT_TAG] = commit
    if dirty:
        own[DIRTY_TAG] = dirty
    elif commit:
        own[TREE_TAG] = CLEAN
    if lock:
        own[LOCK_TAG] = lock
    project = around.project.settings.project if around.project else DEFAULT_EXPERIMENT
    return RunDraft(
        client_id=uuid.uuid4().hex,
        experiment=experiment or project,
        name=name or new_run_name(),
        start_ms=now_ms(),
        user=around.user,
        tags={**own, **tags},
        inputs=inputs,
        dirty_digest=dirty,
        lock_digest=lock,
    )


def _state(around: Surroundings) -> tuple[str | None, str | None, str | None, dict[str, str]]:
    """Return commit, digest of the uncommitted changes, digest of the lock, and data digests by path."""
    if around.project is not None:
        code = capture_code(around.project)
        return code.commit, code.dirty_digest, code.lock_digest, data_digests(around.project)
    git = Git(around.directory)
    try:
        commit = git.head()
        patch = git.dirty_patch(leave_out=(), commit=commit) if commit else b""
    except PenstockError:
        return None, None, None, {}
    return commit, digest_bytes(patch) if patch else None, None, {}
