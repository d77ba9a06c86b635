"""What the repository knows of where a candidate came from, as the gates' checks ask it."""

from __future__ import annotations

from functools import cached_property

from penstock.base.clock import now_ms
from penstock.base.git import find_git_root
from penstock.data.pointers.pointer import list_pointers
from penstock.flows.models.candidates import Candidate
from penstock.flows.models.provenance import data_digests, stage_of_output, uncommitted
from penstock.pipeline.definition import load_all_stages
from penstock.pipeline.lockfile import lock_digest
from penstock.project.project import Project
from penstock.registry.entities import ModelVersion

WHAT = ("commit", "clean tree", "lock", "stage", "data")


class Origin:
    """The facts of one candidate."""

    def __init__(self, project: Project, candidate: Candidate, version: ModelVersion | None = None) -> None:
        self._project, self._candidate, self._version = project, candidate, version

    def missing_provenance(self) -> dict[str, str]:
        """Return what is not known: commit, clean tree, lock, stage, data. Of a registered version: as it was registered."""
        if self._version is not None:
            return _missing_of(self._version)
        project = self._project
        missing = {}
        if find_git_root(project.root) is None or not project.git.head():
            return dict.fromkeys(WHAT, "the repository has no commit")
        if uncommitted(project):
            missing["clean tree"] = "files differ from the commit"
        if lock_digest(project.data) is None:
            missing["lock"] = "there is no dvc.lock"
        if (
            self._candidate.output is None
            or stage_of_output(project.data, self._candidate.settings.path) is None
        ):
            missing["stage"] = f"no stage of the pipeline made {self._candidate.settings.path}"
        if not data_digests(project):
            missing["data"] = "the pipeline reads no tracked data"
        return missing

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

    def data_time_ms(self) -> int | None:
        """Return when the pointers of the data that the pipeline reads were last committed."""
        if not self._pointers:
            return None
        text = self._project.git.run("log", "-1", "--format=%ct", "--", *self._pointers, check=False).strip()
        return int(text) * 1000 if text.isdigit() else None

    def now_ms(self) -> int:
        """Return the time."""
        return now_ms()


def _missing_of(version: ModelVersion) -> dict[str, str]:
    """Return what was not recorded when a version was registered."""
    origin = version.provenance
    known = {
        "commit": origin.commit is not None,
        "clean tree": origin.commit is not None and origin.dirty_digest is None,
        "lock": origin.lock_digest is not None,
        "stage": origin.output is not None,
        "data": bool(origin.data),
    }
    return {
        key: f"it was not there when {version.ref} was registered"
        for key, is_known in known.items()
        if not is_known
    }
