"""The pipeline run again as it was, in trees of its own, as the gates' checks ask: what its metrics are each time."""

from __future__ import annotations

from collections.abc import Mapping

from penstock.base.errors import Invalid
from penstock.data.lock import repository_lock
from penstock.flows.models.candidates import Candidate
from penstock.flows.models.provenance import uncommitted
from penstock.flows.pipelines.execution import Silent
from penstock.flows.tracked.bring import bring_outputs
from penstock.pipeline.definition import DEFAULT_PARAMETER_FILE, load_all_stages
from penstock.pipeline.parameter_editing import set_values
from penstock.pipeline.parameters import get_value, load_values, numbers
from penstock.pipeline.runner import reproduce
from penstock.pipeline.running.reproducing import ReproduceOptions
from penstock.project.project import Project
from penstock.project.worktree import clean_worktree
from penstock.registry.entities import ModelVersion


class Retraining:
    """The pipeline of one candidate."""

    def __init__(self, project: Project, candidate: Candidate, version: ModelVersion | None) -> None:
        self._project, self._candidate, self._version = project, candidate, version

    def retrain(self, times: int, seed: str | None) -> tuple[Mapping[str, float], ...]:
        """Return the metrics of each run: of all stages, of no earlier result, with the seed one higher each time.

        Raises:
            Invalid: there is no commit to begin from, no metrics file, or no such seed.
            Refused: a stage fails.
        """
        project, metrics = self._project, self._candidate.settings.metrics
        if metrics is None:
            raise Invalid(
                "penstock.yaml does not say where the metrics are",
                code="gate.no_metrics_file",
                hint="write `metrics:` under `model:` in penstock.yaml",
            )
        commit = self._commit()
        found = []
        for number in range(times):
            with clean_worktree(project, commit, project.actor) as tree:
                bring_outputs(tree, project.data)
                if seed is not None:
                    _set_seed(tree, seed, number + 1)
                stages = load_all_stages(tree.data)
                options = ReproduceOptions(selection=None, force=True, run_cache=False, commit=False)
                with repository_lock(tree.data):
                    reproduce(tree.data, stages, options, Silent())
                found.append(numbers(load_values(tree.root / metrics)))
        return tuple(found)

    def _commit(self) -> str:
        if self._version is not None:
            commit, is_clean = self._version.provenance.commit, self._version.provenance.dirty_digest is None
        else:
            commit, is_clean = self._project.git.head(), not uncommitted(self._project)
        if not commit or not is_clean:
            raise Invalid(
                "there is no commit that made exactly this model",
                code="gate.no_commit",
                hint="commit, penstock repro, then penstock gate run",
            )
        return commit


def _set_seed(tree: Project, seed: str, more: int) -> None:
    file, _, key = seed.rpartition(":")
    path = tree.root / (file or DEFAULT_PARAMETER_FILE)
    begin = get_value(load_values(path), key)
    if isinstance(begin, bool) or not isinstance(begin, int):
        raise Invalid(
            f"the seed {key} of {path.name} is no whole number",
            code="gate.bad_seed",
            hint="name a parameter that a stage takes its seed from",
        )
    set_values(path, {key: begin + more})
