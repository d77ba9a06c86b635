"""From a directory, variables and penstock.yaml to a project: which root, store and artifacts, and who acts.

Functions of what they are given; `penstock.workspace` hands them the process's environment.
"""

from __future__ import annotations

import getpass
import os
import pwd
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from penstock.base.errors import NotARepository
from penstock.data.repository import find_root
from penstock.project.lineage_target import LineageTarget
from penstock.project.places import HOME, RETRAINING, KeySources, Places, absolute_store, read_written
from penstock.project.project import Project


def open_project(start: Path, variables: Mapping[str, str], *, actor: str | None = None) -> Project:
    """Return the project that `start` lies in; nothing is opened or written yet.

    A directory in which a server keeps its state is a project too, one without code and data; so is every
    directory where `PENSTOCK_STORE` names a store. `PENSTOCK_STORE`, `PENSTOCK_ARTIFACTS` and `PENSTOCK_ACTOR` win
    over penstock.yaml. `actor` is who acts where that is no person. A wrong penstock.yaml is told by what needs it:
    who has to roll back opens a project with one.

    Raises:
        NotARepository: there is neither here.
    """
    try:
        root = find_root(start)
    except NotARepository:
        root = start.absolute()
        if not variables.get("PENSTOCK_STORE") and not (root / HOME / "penstock.db").is_file():
            raise
    return _compose(root, variables, actor or variables.get("PENSTOCK_ACTOR") or None)


def open_server_project(
    start: Path,
    variables: Mapping[str, str],
    *,
    store: str | None = None,
    artifacts: str | None = None,
    actor: str | None = None,
) -> Project:
    """Return the project that a server at `start` works on; outside of a repository, one without code.

    What is given wins over the variables and penstock.yaml. `MLFLOW_BACKEND_STORE_URI` and
    `MLFLOW_ARTIFACTS_DESTINATION` are MLflow's names for the same.
    """
    store = store or variables.get("MLFLOW_BACKEND_STORE_URI")
    artifacts = artifacts or variables.get("MLFLOW_ARTIFACTS_DESTINATION")
    given = {"PENSTOCK_STORE": store, "PENSTOCK_ARTIFACTS": artifacts}
    variables = {**variables, **{name: value for name, value in given.items() if value}}
    try:
        return open_project(start, variables, actor=actor)
    except NotARepository:
        return _compose(start.resolve(), variables, actor)


class TrackingSettings(NamedTuple):
    """Where a client's runs go: a server's address with credentials, or, without one, the project here."""

    uri: str
    user: str
    password: str
    token: str
    experiment: str | None
    login: str


def read_tracking_settings(variables: Mapping[str, str]) -> TrackingSettings:
    """Return what the variables say of tracking; Penstock's own win over MLflow's."""
    return TrackingSettings(
        uri=variables.get("PENSTOCK_URI") or variables.get("MLFLOW_TRACKING_URI") or "",
        user=variables.get("MLFLOW_TRACKING_USERNAME", ""),
        password=variables.get("MLFLOW_TRACKING_PASSWORD", ""),
        token=variables.get("PENSTOCK_TOKEN") or variables.get("MLFLOW_TRACKING_TOKEN", ""),
        experiment=variables.get("PENSTOCK_EXPERIMENT") or variables.get("MLFLOW_EXPERIMENT_NAME"),
        login=_user(variables),
    )


def terminal_person() -> str:
    """Return who types in this terminal, `person:ada`: the operating system's user, whatever variables say."""
    try:
        return f"person:{pwd.getpwuid(os.getuid()).pw_name}"
    except KeyError:
        return f"person:uid-{os.getuid()}"


def _compose(root: Path, variables: Mapping[str, str], actor: str | None) -> Project:
    return Project(_places(root, variables), None, actor or f"person:{_user(variables)}")


def _places(root: Path, variables: Mapping[str, str]) -> Places:
    written = read_written(root)
    artifacts = variables.get("PENSTOCK_ARTIFACTS") or written.artifacts
    return Places(
        root=root,
        home=root / HOME,
        store_url=absolute_store(root, variables.get("PENSTOCK_STORE") or written.store),
        artifacts_url=artifacts if "://" in artifacts else str(root / artifacts),
        keys=KeySources.of(variables),
        lineage=LineageTarget.of(variables),
        retraining=variables.get(RETRAINING, ""),
    )


def _user(variables: Mapping[str, str]) -> str:
    named = variables.get("USER") or variables.get("LOGNAME")
    if named:
        return named
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return "unknown"
