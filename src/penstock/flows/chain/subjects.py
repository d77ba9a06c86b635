"""What the text of a subject names: a prediction, a revision, a version, a run, a commit, an experiment; or nothing of the kind."""

from __future__ import annotations

import re

import sqlalchemy as sa

from penstock.base.errors import Invalid, NotFound
from penstock.data.git.experiments import Experiment, find_experiment
from penstock.project.project import Project
from penstock.registry import versions as registry
from penstock.registry.entities import ModelVersion
from penstock.registry.references import resolve_version
from penstock.serving.deployments import Revision, find_revision
from penstock.serving.predictions.ids import PredictionId, parse_prediction_id
from penstock.tracking import runs as tracking
from penstock.tracking import uses

_COMMIT = re.compile(r"[0-9a-f]{7,64}")


def as_prediction(subject: str) -> PredictionId | None:
    """Return what a prediction id says, or None."""
    try:
        return parse_prediction_id(subject)
    except Invalid:
        return None


def as_revision(connection: sa.Connection, subject: str) -> Revision | None:
    """Return the revision that `endpoint#number` names, or None."""
    endpoint, _, number = subject.rpartition("#")
    if not (endpoint and number.isascii() and number.isdigit() and len(number) < 10):
        return None
    return find_revision(connection, endpoint, int(number))


def as_version(connection: sa.Connection, subject: str) -> ModelVersion | None:
    """Return the version that `model/3` or `model@alias` names, deleted or not, or None."""
    try:
        return resolve_version(connection, subject, deleted=True)
    except (NotFound, Invalid):
        return None


def as_run(connection: sa.Connection, subject: str) -> str | None:
    """Return the id of the run that an id, or the beginning of one, names, or None."""
    try:
        return tracking.get_run(connection, subject).id
    except NotFound:
        return None


def as_commit(project: Project, subject: str) -> str | None:
    """Return the commit that git takes a text for, or None."""
    try:
        return project.git.resolve(subject)
    except (NotFound, Invalid):
        return None


def as_recorded_commit(connection: sa.Connection, subject: str) -> str | None:
    """Return the commit that begins so of those at which a run or a version was made; git may not have it any more."""
    if _COMMIT.fullmatch(subject) is None:
        return None
    found = {*uses.find_commits(connection, subject), *registry.find_commits(connection, subject)}
    return found.pop() if len(found) == 1 else None


def as_experiment(project: Project, subject: str) -> Experiment | None:
    """Return the experiment that a name or a ref means, or None.

    Raises:
        Conflict: the name stands for several.
    """
    try:
        return find_experiment(project.git, subject)
    except (NotFound, Invalid):
        return None
