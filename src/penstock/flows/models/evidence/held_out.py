"""The project's held-out table as the gates' checks ask it: scored by the candidate and by the champion."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from penstock.base.digest import digest_file
from penstock.base.errors import Invalid
from penstock.base.numbers import counted
from penstock.data.formats.columns import no_column
from penstock.data.formats.tables import load_table, to_columns
from penstock.flows.models.candidates import Candidate
from penstock.flows.models.evidence.answers import (
    Answers,
    answer_rows,
    class_names,
    compare_by_classes,
    compare_with_constant,
    known_classes,
    needs_classes,
    require_known,
    scores_of,
)
from penstock.project.project import Project
from penstock.serving.loaders import ModelFiles

DOES_NOT_LOAD = "serving.model_does_not_load"
Floats = NDArray[np.float64]


def held_out_digest(project: Project, table: str | None) -> dict[str, str]:
    """Return the digest of the held-out table by its path, as a verdict names it; nothing where there is none."""
    if table is None or not (project.root / table).is_file():
        return {}
    return {table: f"sha256:{digest_file(project.root / table)}"}


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
                "this check needs the held-out table and its label",
                code="gate.no_held_out",
                hint="write `test:` and `label:` under `model:` in penstock.yaml",
            )
        return self._root / self._settings.test

    @cached_property
    def _frame(self) -> pl.DataFrame:
        frame = load_table(self._table)
        label = self._settings.label or ""
        if label in frame.columns:
            column = frame[label]
            unknown = column.null_count() + (int(column.is_nan().sum()) if column.dtype.is_float() else 0)
            if unknown:
                raise Invalid(
                    f"{unknown} of {counted(frame.height, 'row')} of {self._settings.test} have no {label!r}",
                    code="gate.no_label",
                    hint="judge rows whose label is known: leave the others out where the table is made",
                    column=label,
                )
        return frame

    @cached_property
    def _labels(self) -> Floats:
        column = self._settings.label or ""
        values = to_columns(self._frame, [column])[column]
        try:
            labels = values.astype(np.float64)
        except ValueError:
            raise Invalid(
                f"label {column!r} of {self._settings.test} is not a number",
                code="gate.bad_label",
                hint="write 0 and 1 for classes",
                column=column,
            ) from None
        endless = int(np.isinf(labels).sum())
        if endless:
            raise Invalid(
                f"{endless} of {counted(len(labels), 'row')} of {self._settings.test} "
                f"{'has' if endless == 1 else 'have'} an infinite {column!r}, beside which all models are alike",
                code="gate.bad_label",
                hint="leave such rows out where the table is made",
                column=column,
            )
        return labels

    def require_columns(self, *names: str) -> None:
        """Make sure that the table has its label, and these columns to group its rows by.

        Raises:
            Invalid: it has not.
        """
        frame, label = self._frame, self._settings.label
        if label not in frame.columns:
            raise no_column(
                f"{self._settings.test} has no column {label!r}, its label", str(label), frame.columns
            )
        for name in names:
            if name not in frame.columns:
                raise Invalid(
                    f"{self._settings.test} has no column {name!r} to group its rows by",
                    code="gate.no_group_column",
                    hint=f"name one of its columns in penstock.yaml: {', '.join(frame.columns[:20])}",
                    column=name,
                )

    def groups(self, column: str) -> NDArray[np.int64]:
        """Return the number of each row's group; rows without a value are one of their own, and no empty text.

        Raises:
            Invalid: the table has no such column.
        """
        self.require_columns(column)
        frame = self._frame
        told = frame.select("=" + pl.col(column).cast(pl.String)).to_series().fill_null("")
        _, numbers_of_rows = np.unique(told.to_numpy(), return_inverse=True)
        return numbers_of_rows.astype(np.int64)

    @cached_property
    def _answers(self) -> Answers:
        if not self._frame.height:
            raise Invalid(
                f"{self._settings.test} has no rows to judge by",
                code="gate.no_rows",
                hint="see the stage that makes it: penstock show",
            )
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
                f"{error.message}; `severity: warn` on this check lets a version pass without it",
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
        if metric == "mae":
            return None
        if not any(needs_classes(one) for one in both):
            self._require_zero_one()
            return None
        truth = class_names(to_columns(self._frame, [column])[column])
        require_known(truth, known_classes(both), column)
        return compare_by_classes(ours, theirs, truth, metric)

    def scored(self, metric: str) -> tuple[Floats, Floats, Floats | None]:
        """Return truth, the candidate's scores, and the champion's where there is another one, as the metric takes them.

        Raises:
            Invalid: the metric says nothing of so many classes, a label is none of them, or the candidate gives no number.
        """
        return self._scored(metric, self._champion_answers)

    def scored_alone(self, metric: str) -> tuple[Floats, Floats]:
        """Return truth and the candidate's scores, as the metric takes them; no champion is asked.

        Raises:
            Invalid: the metric says nothing of so many classes, or a label is none of them.
        """
        truth, scores, _ = self._scored(metric, None)
        return truth, scores

    def _scored(self, metric: str, theirs: Answers | None) -> tuple[Floats, Floats, Floats | None]:
        column, ours = self._settings.label or "", self._answers
        both = [one for one in (ours, theirs) if one is not None]
        if metric != "mae":
            if any(needs_classes(one) for one in both):
                truth = class_names(to_columns(self._frame, [column])[column])
                require_known(truth, known_classes(both), column)
                labels, scores, others = compare_by_classes(ours, theirs, truth, metric)
                return labels, self._finite(scores), others
            self._require_zero_one()
        return self._labels, self._finite(scores_of(ours)), None if theirs is None else scores_of(theirs)

    def _finite(self, scores: Floats) -> Floats:
        """Return the candidate's scores, all of which are numbers: compared with a limit, NaN would count as below it.

        Raises:
            Invalid: one is NaN or infinite (`gate.no_number`).
        """
        bad = int((~np.isfinite(scores)).sum())
        if bad:
            raise Invalid(
                f"the candidate answers {bad} of {counted(scores.size, 'row')} of {self._settings.test} by no finite number",
                code="gate.no_number",
                hint="mend the model, or give it rows that it can answer",
            )
        return scores

    def _require_zero_one(self) -> None:
        """Refuse labels that are none of the two classes of models whose scores are of 1: they would count as 1.

        Raises:
            Invalid: there is one (`gate.bad_label`).
        """
        require_known(class_names(np.unique(self._labels)), (0, 1), self._settings.label or "")

    def beside_constant(
        self, metric: str, training: Mapping[str, int], table: str
    ) -> tuple[Floats, Floats, Floats, str]:
        """Return truth, the candidate's scores, those of one answer to every row, and that answer in words.

        Raises:
            Invalid: the metric says nothing of so many classes, or a label is none of them.
        """
        column = self._settings.label or ""
        truth = class_names(to_columns(self._frame, [column])[column])
        found = compare_with_constant(self._answers, truth, training, metric, column, table)
        self._finite(found[1])
        return found
