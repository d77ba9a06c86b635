"""The pipeline run again as it was, in trees of its own, as the gates' checks ask: what its metrics are each time."""

from __future__ import annotations

from penstock.base.errors import Invalid
from penstock.base.git import changed_paths
from penstock.data.lock import repository_lock
from penstock.flows.models.candidates import Candidate
from penstock.flows.models.provenance import uncommitted
from penstock.flows.pipelines.looking import Silent
from penstock.flows.sources.bring import bring_outputs
from penstock.pipeline.definition import DEFAULT_PARAMETER_FILE, load_all_stages
from penstock.pipeline.parameter_editing import set_values
from penstock.pipeline.parameters import get_value, load_metrics, load_values
from penstock.pipeline.runner import reproduce
from penstock.pipeline.running.reproducing import ReproduceOptions
from penstock.project.places import SETTINGS_FILE
from penstock.project.project import Project
from penstock.project.worktree import clean_worktree, require_git
from penstock.registry.documents.origins import is_of_commit
from penstock.registry.entities import ModelVersion
from penstock.registry.gates.check import Retrained

SHOWN = 3


class Retraining:
    """The pipeline of one candidate."""

    def __init__(self, project: Project, candidate: Candidate, version: ModelVersion | None) -> None:
        self._project, self._candidate, self._version = project, candidate, version

    def retrain(self, times: int, seed: str | None) -> Retrained:
        """Return what each run gave: of all stages, of no earlier result, with the seed one higher each time.

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
        commit = commit_of(project, self._version)
        found = []
        undetermined: dict[str, None] = {}
        for number in range(times):
            with clean_worktree(project, commit, project.actor) as tree:
                undetermined.update(dict.fromkeys(bring_outputs(tree, project.data).undetermined))
                if seed is not None:
                    _set_seed(tree, seed, number + 1)
                stages = load_all_stages(tree.data)
                options = ReproduceOptions(selection=None, force=True, run_cache=False, commit=False)
                with repository_lock(tree.data):
                    reproduce(tree.data, stages, options, Silent())
                found.append(load_metrics(tree.root / metrics))
        return Retrained(tuple(found), tuple(undetermined))


def commit_of(project: Project, version: ModelVersion | None) -> str:
    """Return the commit that made a version, or the working tree's model.

    A change of penstock.yaml alone counts for nothing where no stage reads that file: it made nothing of the model.

    Raises:
        Invalid: there is none; the sentence names what is not committed.
    """
    if version is None:
        commit, patch = project.git.head(), uncommitted(project)
    else:
        made = version.provenance
        commit = made.commit if is_of_commit(version) else None
        patch = project.artifacts.get(made.dirty_digest) if made.dirty_digest is not None else b""
    others = set(changed_paths(patch))
    if commit and not any(SETTINGS_FILE in stage.reads for stage in load_all_stages(project.data)):
        others.discard((project.root / SETTINGS_FILE).relative_to(require_git(project)).as_posix())
    if commit and not others:
        return commit
    shown = ", ".join(sorted(others)[:SHOWN]) + (" …" if len(others) > SHOWN else "")
    raise Invalid(
        f"there is no commit that made exactly this model: {f'not committed is {shown}' if commit else 'there is none'}",
        code="gate.no_commit",
        hint="commit, penstock repro, then penstock gate run",
    )


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
