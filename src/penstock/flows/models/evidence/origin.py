"""What the repository knows of where a candidate came from, as the gates' checks ask it."""

from __future__ import annotations

from functools import cached_property

from penstock.base.clock import now_ms
from penstock.base.git import find_git_root
from penstock.data.pointers.pointer import list_pointers
from penstock.flows.models.candidates import Candidate
from penstock.flows.models.evidence.made import Made, made_from
from penstock.flows.models.provenance import uncommitted
from penstock.pipeline.definition import load_all_stages
from penstock.pipeline.lockfile import lock_digest
from penstock.project.project import Project
from penstock.registry.documents.origins import (
    OF_LOCK,
    WHAT,
    made_elsewhere,
    never_seen,
    not_in_step,
    unknowns,
)
from penstock.registry.entities import ModelVersion


class Origin:
    """The facts of one candidate."""

    def __init__(self, project: Project, candidate: Candidate, version: ModelVersion | None = None) -> None:
        self._project, self._candidate, self._version = project, candidate, version

    def missing_provenance(self) -> dict[str, str]:
        """Return what is not known: commit, clean tree, lock, stage, data. Of a registered version: as it was registered."""
        if self._version is not None:
            return unknowns(self._version)
        project = self._project
        missing = {}
        if find_git_root(project.root) is None or not project.git.head():
            return dict.fromkeys(WHAT, "the repository has no commit")
        if uncommitted(project):
            missing["clean tree"] = "files differ from the commit"
        if lock_digest(project.data) is None:
            missing["lock"] = "there is no dvc.lock"
        made = self._made
        if made is None:
            elsewhere = made_elsewhere(self._candidate.settings.path)
            return missing | dict.fromkeys(("lock", "stage", "data"), elsewhere)
        if not made.data:
            missing["data"] = "the pipeline reads no tracked data"
        if made.stale:
            missing |= dict.fromkeys(OF_LOCK, not_in_step(made.stale))
        elif made.unseen:
            missing["stage"] = never_seen(made.unseen)
        return missing

    @cached_property
    def _made(self) -> Made | None:
        settings = self._candidate.settings
        return made_from(self._project, settings.path, settings.metrics)

    @cached_property
    def _pointers(self) -> list[str]:
        root = self._project.root
        reads = {path for stage in load_all_stages(self._project.data) for path in stage.reads}
        return [
            pointer.path.relative_to(root).as_posix()
            for pointer in list_pointers(self._project.data)
            if any(
                output.path.relative_to(root).as_posix() == read
                or read.startswith(f"{output.path.relative_to(root).as_posix()}/")
                or output.path.relative_to(root).as_posix().startswith(f"{read}/")
                for output in pointer.outputs
                for read in reads
            )
        ]

    def data_time_ms(self) -> int | str:
        """Return when the pointers of the data that the pipeline reads were last committed, or why that is not known."""
        if not self._pointers:
            return "the pipeline reads no tracked data"
        git = self._project.git
        text = git.run("log", "-1", "--format=%H %ct", "--", *self._pointers, check=False).strip()
        if not text:
            return "the data that the pipeline reads are not committed"
        commit, seconds = text.split()
        if commit in git.cut_commits():
            return "they are older than this clone, which is shallow; next: git fetch --unshallow"
        return int(seconds) * 1000

    def now_ms(self) -> int:
        """Return the time."""
        return now_ms()
