"""The composition root: from a directory, the environment and penstock.yaml to a project.

`os.environ` is read here and nowhere else.
"""

from __future__ import annotations

import getpass
import os
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from penstock.base.errors import NotARepository
from penstock.data.repository import find_root
from penstock.project.project import HOME, Places, Project
from penstock.project.settings import ProjectSettings, load_project_settings


def open_workspace(start: Path, variables: Mapping[str, str] | None = None) -> Project:
    """Return the project that `start` lies in; nothing is opened or written yet.

    A directory in which a server keeps its state is a project too, one without code and data; so is every
    directory where `PENSTOCK_STORE` names a store. `PENSTOCK_STORE`, `PENSTOCK_ARTIFACTS` and `PENSTOCK_ACTOR` win
    over penstock.yaml.

    Raises:
        NotARepository: there is neither here.
        Invalid: penstock.yaml is wrong.
    """
    variables = os.environ if variables is None else variables
    try:
        root = find_root(start)
    except NotARepository:
        root = start.absolute()
        if not variables.get("PENSTOCK_STORE") and not (root / HOME / "penstock.db").is_file():
            raise
    settings = load_project_settings(root)
    actor = variables.get("PENSTOCK_ACTOR") or f"person:{_user(variables)}"
    return Project(_places(root, settings, variables), settings, actor)


def open_server(
    start: Path,
    *,
    store: str | None = None,
    artifacts: str | None = None,
    variables: Mapping[str, str] | None = None,
) -> Project:
    """Return the project that a server at `start` works on; outside of a repository, one without code.

    What is given wins over the environment and penstock.yaml. `MLFLOW_BACKEND_STORE_URI` and
    `MLFLOW_ARTIFACTS_DESTINATION` are MLflow's names for the same.

    Raises:
        Invalid: penstock.yaml is wrong.
    """
    variables = dict(os.environ if variables is None else variables)
    store = store or variables.get("MLFLOW_BACKEND_STORE_URI")
    artifacts = artifacts or variables.get("MLFLOW_ARTIFACTS_DESTINATION")
    given = {"PENSTOCK_STORE": store, "PENSTOCK_ARTIFACTS": artifacts}
    variables.update({name: value for name, value in given.items() if value})
    try:
        return open_workspace(start, variables)
    except NotARepository:
        root = start.resolve()
        settings = load_project_settings(root)
        return Project(_places(root, settings, variables), settings, f"person:{_user(variables)}")


class TrackingSettings(NamedTuple):
    """Where a client's runs go: a server's address with credentials, or, without one, the project here."""

    uri: str
    user: str
    password: str
    token: str
    experiment: str | None
    login: str


def tracking_settings(variables: Mapping[str, str] | None = None) -> TrackingSettings:
    """Return what the environment says of tracking; Penstock's own variables win over MLflow's."""
    variables = os.environ if variables is None else variables
    return TrackingSettings(
        uri=variables.get("PENSTOCK_URI") or variables.get("MLFLOW_TRACKING_URI") or "",
        user=variables.get("MLFLOW_TRACKING_USERNAME", ""),
        password=variables.get("MLFLOW_TRACKING_PASSWORD", ""),
        token=variables.get("PENSTOCK_TOKEN") or variables.get("MLFLOW_TRACKING_TOKEN", ""),
        experiment=variables.get("PENSTOCK_EXPERIMENT") or variables.get("MLFLOW_EXPERIMENT_NAME"),
        login=_user(variables),
    )


def environment() -> dict[str, str]:
    """Return a copy of the process's environment, for programs that are started in a changed one."""
    return dict(os.environ)


def _places(root: Path, settings: ProjectSettings, variables: Mapping[str, str]) -> Places:
    store = variables.get("PENSTOCK_STORE") or settings.store
    artifacts = variables.get("PENSTOCK_ARTIFACTS") or settings.artifacts
    prefix = "sqlite:///"
    if store.startswith(prefix) and not store.startswith(f"{prefix}/"):
        store = f"{prefix}{root / store.removeprefix(prefix)}"
    if "://" not in artifacts:
        artifacts = str(root / artifacts)
    return Places(root=root, home=root / HOME, store_url=store, artifacts_url=artifacts)


def _user(variables: Mapping[str, str]) -> str:
    named = variables.get("USER") or variables.get("LOGNAME")
    if named:
        return named
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return "unknown"
