"""Judge a model by the project's gates. What a verdict allows is in `flows/models/aliases` and `flows/production/deploying`."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path

import msgspec
import numpy as np
import polars as pl
from numpy.typing import NDArray

from penstock.base.errors import Invalid
from penstock.base.store.events import record_event
from penstock.data.formats.tables import load_table, to_columns
from penstock.flows.models.answers import (
    Answers,
    answer_rows,
    class_names,
    compare_by_classes,
    known_classes,
    needs_classes,
    require_known,
    scores_of,
)
from penstock.flows.models.candidates import Candidate, find_candidate, require_as_made
from penstock.flows.models.folders import fetch_model, files_of_folder
from penstock.flows.models.provenance import data_digests
from penstock.flows.models.stated import require_stated
from penstock.pipeline.outputs import list_kind
from penstock.pipeline.parameters import load_values, numbers
from penstock.project.project import Project
from penstock.project.settings import require_model
from penstock.registry.aliases import find_alias
from penstock.registry.entities import Verdict
from penstock.registry.gates.check import Evidence
from penstock.registry.gates.judge import make_verdict, run_checks
from penstock.registry.gates.settings import GateEntry
from penstock.registry.proof import seal_verdict
from penstock.registry.references import resolve_version
from penstock.registry.verdicts import add_verdict
from penstock.registry.versions import get_version
from penstock.serving.loaders import ModelFiles, load_model

DOES_NOT_LOAD = "serving.model_does_not_load"
Floats = NDArray[np.float64]


class HeldOutTable:
    """The project's held-out table: read, and scored by candidate and champion, once, when a check first asks."""

    def __init__(
        self, root: Path, candidate: Candidate, files: ModelFiles, champion: ModelFiles | None
    ) -> None:
        self._root = root
        self._settings = candidate.settings
        self._files = files
        self._champion = champion

    @property
    def champion(self) -> str | None:
        """The champion's name, or None."""
        return f"{self._champion.name}/{self._champion.version}" if self._champion else None

    @property
    def is_champion(self) -> bool:
        """Whether the candidate is the champion itself."""
        return self._champion is not None and self._champion.digest == self._files.digest

    @cached_property
    def _table(self) -> Path:
        if self._settings.test is None or self._settings.label is None:
            raise Invalid(
                "a champion check needs the held-out table and its label",
                code="gate.no_held_out",
                hint="write `test:` and `label:` under `model:` in penstock.yaml",
            )
        return self._root / self._settings.test

    @cached_property
    def _frame(self) -> pl.DataFrame:
        return load_table(self._table)

    @cached_property
    def _labels(self) -> Floats:
        column = self._settings.label or ""
        values = to_columns(self._frame, [column])[column]
        try:
            return values.astype(np.float64)
        except ValueError:
            raise Invalid(
                f"label {column!r} of {self._settings.test} is not a number",
                code="gate.bad_label",
                hint="write 0 and 1 for classes",
                column=column,
            ) from None

    def groups(self, column: str) -> NDArray[np.int64]:
        """Return the number of each row's group.

        Raises:
            Invalid: the table has no such column.
        """
        frame = self._frame
        if column not in frame.columns:
            raise Invalid(
                f"{self._settings.test} has no column {column!r} to group its rows by",
                code="gate.no_group_column",
                hint="name one of its columns as `group:` of the champion gate in penstock.yaml, or none",
                column=column,
            )
        _, numbers_of_rows = np.unique(
            frame[column].cast(pl.String).fill_null("").to_numpy(), return_inverse=True
        )
        return numbers_of_rows.astype(np.int64)

    @cached_property
    def _answers(self) -> Answers:
        return answer_rows(self._files, self._frame, self._settings.label)

    @cached_property
    def _champion_answers(self) -> Answers | None:
        if self._champion is None or self.is_champion:
            return None
        try:
            return answer_rows(self._champion, self._frame, self._settings.label)
        except Invalid as error:
            if error.code != DOES_NOT_LOAD:
                raise
            raise Invalid(
                f"{error.message}; `severity: warn` on the champion check lets a version pass without this comparison",
                code=DOES_NOT_LOAD,
                hint="load it where it was trained, with the same package versions",
            ) from None

    def labels(self) -> Floats:
        """Return the truth."""
        return self._labels

    def candidate_scores(self) -> Floats:
        """Return the candidate's scores."""
        return scores_of(self._answers)

    def champion_scores(self) -> Floats | None:
        """Return the champion's scores on the same rows."""
        return None if self._champion_answers is None else scores_of(self._champion_answers)

    def of_classes(self, metric: str) -> tuple[Floats, Floats, Floats | None] | None:
        """Return truth and scores by the models' own classes; see `answers`.

        Raises:
            Invalid: the metric says nothing of so many classes, or a label is none of them.
        """
        if self._champion is None or self.is_champion:
            return None
        column = self._settings.label or ""
        ours, theirs = self._answers, self._champion_answers
        both = [one for one in (ours, theirs) if one is not None]
        if metric == "mae" or not any(needs_classes(one) for one in both):
            return None
        truth = class_names(to_columns(self._frame, [column])[column])
        require_known(truth, known_classes(both), column)
        return compare_by_classes(ours, theirs, truth, metric)


def run_gate(project: Project, path: str | None = None, name: str | None = None) -> Verdict:
    """Judge a model in the working tree, the first of penstock.yaml unless named; write the verdict and its event, and return it.

    Raises:
        NotFound, Invalid: the model, its settings or its files cannot be used.
    """
    candidate = find_candidate(project, path, name)
    metrics_file = candidate.settings.metrics
    metrics = numbers(load_values(project.root / metrics_file)) if metrics_file else {}
    gates = project.settings.gates_of(candidate.settings.name)
    for gate in gates:
        if gate.schema is not None:
            require_as_made(project, gate.schema.table)
    return _judge(project, candidate, metrics, _metrics_from(project, metrics_file, gates))


def run_gate_on(project: Project, reference: str) -> Verdict:
    """Judge a registered version, also one that a client uploaded, on the data of the working tree.

    Its metrics are those it was registered with; what is measured on the held-out table is measured here.

    Raises:
        NotFound: there is no such version.
        Refused: its files are not kept here.
        Invalid: the project names no model, or the version's files cannot be used.
    """
    with project.database.read() as connection:
        version = resolve_version(connection, reference)
    own = (one for one in project.settings.all_models if one.name == version.model)
    settings = next(own, None) or require_model(project.settings, project.root)
    gates = project.settings.gates_of(version.model)
    for name in (settings.test, *(gate.schema.table for gate in gates if gate.schema)):
        if name is not None:
            require_as_made(project, name)
    named = msgspec.structs.replace(settings, name=version.model)
    candidate = Candidate(named, fetch_model(project, version), version.manifest, None)
    return _judge(project, candidate, version.metrics, f"what {version.ref} was registered with")


def _metrics_from(project: Project, file: str | None, gates: Sequence[GateEntry]) -> str:
    """Return where metrics were read.

    Raises:
        Invalid: a gate asks for one, nothing says where they are, and dvc.yaml would know.
    """
    if file is not None or not any(gate.metric for gate in gates):
        return file or ""
    declared = [path.relative_to(project.root).as_posix() for path in list_kind(project.data, "metric")]
    if not declared:
        return ""
    raise Invalid(
        "a gate asks for a metric, and penstock.yaml does not say where the metrics are",
        code="gate.no_metrics_file",
        hint=f"write `metrics: {declared[0]}` under `model:` in penstock.yaml",
    )


def _judge(project: Project, candidate: Candidate, metrics: dict[str, float], metrics_from: str) -> Verdict:
    name = candidate.settings.name
    require_stated(project.root, candidate.settings)
    files = files_of_folder(candidate.folder, name, 0, candidate.digest)
    _require_loadable(files, candidate.settings.path)
    held_out = HeldOutTable(project.root, candidate, files, _champion_files(project, name))
    gates = project.settings.gates_of(name)
    checks = run_checks(gates, Evidence(project.root, metrics, held_out, metrics_from))
    verdict = make_verdict(name, candidate.digest, gates, checks, data_digests(project), project.actor)
    verdict = seal_verdict(verdict, project.keys.signing_key())
    failed = verdict.blocking or [check for check in checks if check.status != "pass"]
    with project.database.write() as connection:
        add_verdict(connection, verdict)
        record_event(
            connection,
            "gate.passed" if verdict.passed else "gate.refused",
            f"model:{name}",
            project.actor,
            verdict.summary + (f": {failed[0].sentence}" if failed else ""),
            cause={"verdict": verdict.id, "digest": candidate.digest},
        )
    return verdict


def _require_loadable(files: ModelFiles, path: str) -> None:
    """Load a candidate as a serve process will: what cannot be loaded is not judged, and so never promoted.

    Raises:
        Invalid: it does not load, or its flavour cannot be served.
    """
    try:
        load_model(files)
    except Invalid as error:
        raise Invalid(
            error.message.replace(f"{files.name} version {files.version}", f"the model in {path}"),
            code=error.code,
            hint="put the classes it needs into a module beside the training script, import them from there, and save it again"
            if "__main__" in error.message or "ModuleNotFoundError" in error.message
            else error.hint,
            path=path,
        ) from None


def _champion_files(project: Project, name: str) -> ModelFiles | None:
    with project.database.read() as connection:
        alias = find_alias(connection, name, "champion")
        version = get_version(connection, name, alias.version) if alias else None
    if version is None:
        return None
    return files_of_folder(fetch_model(project, version), name, version.number, version.digest)
