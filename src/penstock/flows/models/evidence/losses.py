"""What a regression's errors on its held-out table depend on, kept with the reference that live windows are held to."""

from __future__ import annotations

import numpy as np

from penstock.data.formats.tables import load_table, to_columns
from penstock.flows.models.candidates import Candidate
from penstock.flows.models.evidence.answers import answer_rows
from penstock.flows.models.folders import files_of_folder
from penstock.monitoring.estimating.loss_model import LossModel
from penstock.monitoring.estimating.losses import fit_losses
from penstock.monitoring.profile import Profile
from penstock.monitoring.rowwise.redaction import is_redacted
from penstock.project.project import Project
from penstock.records.classes import PREDICTION
from penstock.registry.package import describe_model


def fit_losses_of(
    project: Project, candidate: Candidate, reference: Profile, redacted: tuple[str, ...] = ()
) -> LossModel | None:
    """Return what a regression's errors depend on; None of a classifier, and where its test rows cannot tell.

    Nothing of columns that are `redacted`.

    Whether a model is fit to be released is for gates to say: here nothing is an error.
    """
    settings = candidate.settings
    outputs = describe_model(candidate.folder).signature.outputs
    is_regression = [one.name for one in outputs] == [PREDICTION] and outputs[0].datatype.startswith("FP")
    if not is_regression or settings.test is None or settings.label is None:
        return None
    try:
        frame = load_table(project.root / settings.test)
        files = files_of_folder(candidate.folder, settings.name, 0, candidate.digest)
        answers = np.asarray(answer_rows(files, frame, settings.label).outputs[PREDICTION], dtype=np.float64)
        labels = np.asarray(to_columns(frame, [settings.label])[settings.label], dtype=np.float64)
    except Exception:  # noqa: BLE001 - a table, or a model of the user's own: gates and serving say what is wrong
        return None
    if answers.shape != labels.shape:
        return None
    names = [
        name for name in reference.column_names if name in frame.columns and not is_redacted(name, redacted)
    ]
    return fit_losses(reference, to_columns(frame, names), answers, labels)
