"""Judge a model by the project's gates, and move an alias only on a passing verdict for exactly it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from penstock.base.clock import now_ms
from penstock.base.errors import Invalid, NotFound, Refused
from penstock.base.events import record_event
from penstock.data.tables import load_table, to_columns
from penstock.flows.models import fetch_model, files_of_folder
from penstock.flows.project import Project
from penstock.flows.provenance import data_digests
from penstock.flows.register import Candidate, find_candidate, require_as_made
from penstock.pipeline.parameters import load_values, numbers
from penstock.registry import store
from penstock.registry.entities import AliasMove, ModelVersion, Verdict
from penstock.registry.gates.check import Evidence
from penstock.registry.gates.judge import make_verdict, run_checks
from penstock.registry.gates.settings import settings_digest
from penstock.serving.loaders import ModelFiles, load_model

Floats = NDArray[np.float64]
PROTECTED_ALIASES = frozenset({"champion"})


class HeldOutTable:
    """The project's held-out table, scored by candidate and champion when a check asks."""

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

    def labels(self) -> Floats:
        """Return the truth."""
        column = self._settings.label or ""
        values = to_columns(load_table(self._table), [column])[column]
        try:
            return values.astype(np.float64)
        except ValueError:
            raise Invalid(
                f"label {column!r} of {self._settings.test} is not a number",
                code="gate.bad_label",
                hint="write 0 and 1 for classes",
                column=column,
            ) from None

    def candidate_scores(self) -> Floats:
        """Return the candidate's scores."""
        return score_table(self._files, self._table)

    def champion_scores(self) -> Floats | None:
        """Return the champion's scores on the same rows."""
        if self._champion is None or self.is_champion:
            return None
        return score_table(self._champion, self._table)


def score_table(files: ModelFiles, table: Path) -> Floats:
    """Return a model's scores of every row: the probability where it gives one, else the prediction.

    A column the model can do without and the table does not have is left out.

    Raises:
        Invalid: the model does not load, or the table lacks a column it needs.
    """
    frame = load_table(table)
    names = [
        column.name for column in files.signature.inputs if column.required or column.name in frame.columns
    ]
    outputs = load_model(files).predict(to_columns(frame, names), frame.height)
    return np.asarray(outputs.get("probability", outputs.get("prediction")), dtype=np.float64)


def run_gate(project: Project, path: str | None = None) -> Verdict:
    """Judge the model in the working tree, write the verdict and its event, and return it.

    Raises:
        NotFound, Invalid: the model, its settings or its files cannot be used.
    """
    candidate = find_candidate(project, path)
    name = candidate.settings.name
    files = files_of_folder(candidate.folder, name, 0, candidate.digest)
    metrics_file = candidate.settings.metrics
    metrics = numbers(load_values(project.root / metrics_file)) if metrics_file else {}
    champion = _champion_files(project, name)
    evidence = Evidence(project.root, metrics, HeldOutTable(project.root, candidate, files, champion))
    gates = project.settings.gates
    for gate in gates:
        if gate.schema is not None:
            require_as_made(project, gate.schema.table)
    checks = run_checks(gates, evidence)
    verdict = make_verdict(name, candidate.digest, gates, checks, data_digests(project), project.actor)
    failed = [check for check in checks if check.status != "pass"]
    with project.database.write() as connection:
        store.add_verdict(connection, verdict)
        record_event(
            connection,
            "gate.passed" if verdict.passed else "gate.refused",
            f"model:{name}",
            project.actor,
            f"{len(checks) - len(failed)} of {len(checks)} checks passed"
            + (f": {failed[0].sentence}" if failed else ""),
            cause={"verdict": verdict.id, "digest": candidate.digest},
        )
    return verdict


def _champion_files(project: Project, name: str) -> ModelFiles | None:
    with project.database.read() as connection:
        alias = store.find_alias(connection, name, "champion")
        version = store.get_version(connection, name, alias.version) if alias else None
    if version is None:
        return None
    return files_of_folder(fetch_model(project, version), name, version.number, version.digest)


@dataclass(frozen=True)
class PromotionPlan:
    """To point an alias at a version; carries what it was planned on."""

    version: ModelVersion
    alias: str
    previous: int | None
    verdict: Verdict | None

    @property
    def changes_nothing(self) -> bool:
        """Whether the alias is there already."""
        return self.previous == self.version.number


def plan_promotion(project: Project, reference: str, alias: str = "champion") -> PromotionPlan:
    """Plan to point `alias` at a version.

    Raises:
        NotFound: no such version.
        Refused: the alias is protected and there is no passing verdict for exactly this model under the
            gates as they are now.
    """
    gates = project.settings.gates
    with project.database.read() as connection:
        version = store.resolve_version(connection, reference)
        current = store.find_alias(connection, version.model, alias)
        verdict = store.find_verdict(connection, version.model, version.digest, settings_digest(gates))
        other = store.find_verdict(connection, version.model, version.digest)
    if alias in PROTECTED_ALIASES and (verdict is None or not verdict.passed):
        raise _refusal(version, alias, verdict, other)
    return PromotionPlan(version, alias, current.version if current else None, verdict)


def _refusal(version: ModelVersion, alias: str, verdict: Verdict | None, other: Verdict | None) -> Refused:
    if verdict is not None:
        failed = next(check for check in verdict.checks if check.status != "pass")
        reason = f"its gate refused it: {failed.sentence}"
    elif other is not None:
        reason = "the gates changed since it was judged"
    else:
        reason = "no gate has judged exactly this model"
    return Refused(
        f"{version.ref} cannot become {alias}: {reason}",
        code="gate.no_passing_verdict",
        hint="penstock gate run, on the commit that made it",
        model=version.model,
        version=version.number,
        digest=version.digest,
        verdict=verdict.id if verdict else None,
    )


def apply_promotion(project: Project, plan: PromotionPlan, cause: dict[str, object] | None = None) -> None:
    """Move the alias, its history and the event in one transaction.

    Raises:
        Conflict: the alias moved since the plan was made.
    """
    version = plan.version
    move = AliasMove(
        model=version.model,
        name=plan.alias,
        version=version.number,
        previous=plan.previous,
        time_ms=now_ms(),
        actor=project.actor,
        verdict_id=plan.verdict.id if plan.verdict else None,
    )
    with project.database.write() as connection:
        store.move_alias(connection, move, expected=plan.previous)
        record_event(
            connection,
            "model.promoted",
            f"model:{version.ref}",
            project.actor,
            f"{version.ref} is {plan.alias} now"
            + (f", it was {version.model}/{plan.previous}" if plan.previous else ""),
            cause={"verdict": move.verdict_id, **(cause or {})},
            before={"version": plan.previous},
            after={"version": version.number, "digest": version.digest},
        )


def delete_alias(project: Project, model: str, alias: str) -> None:
    """Take an alias away; its history stays.

    Raises:
        NotFound: there is no such alias.
        Refused: the alias is protected.
    """
    if alias in PROTECTED_ALIASES:
        raise Refused(
            f"{model}@{alias} is protected: endpoints may serve it",
            code="registry.alias_protected",
            hint=f"penstock promote {model}/N --alias {alias} points it elsewhere",
        )
    with project.database.write() as connection:
        current = store.find_alias(connection, model, alias)
        if current is None:
            raise NotFound(
                f"there is no alias {model}@{alias}", code="registry.no_alias", hint="penstock model list"
            )
        move = AliasMove(
            model=model,
            name=alias,
            version=None,
            previous=current.version,
            time_ms=now_ms(),
            actor=project.actor,
            verdict_id=None,
        )
        store.move_alias(connection, move, expected=current.version)
        record_event(
            connection,
            "model.alias_deleted",
            f"model:{model}/{current.version}",
            project.actor,
            f"{model}@{alias} was taken away",
            before={"version": current.version},
        )
