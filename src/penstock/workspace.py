"""The face of `penstock.project`: the process's environment goes in, a project comes out.

`os.environ` is read here and nowhere else (`data/configuration/places.py` reads DVC's own variables, and
`base/process.py` hands it on to programs that are started). What is made of it stands in `penstock.project.opening`.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from penstock.project.opening import (
    TrackingSettings,
    open_project,
    open_server_project,
    read_tracking_settings,
    terminal_person,
)
from penstock.project.project import Project

__all__ = [
    "TrackingSettings",
    "environment",
    "open_server",
    "open_workspace",
    "share_metrics",
    "terminal_person",
    "tracking_settings",
]


def open_workspace(
    start: Path, variables: Mapping[str, str] | None = None, *, actor: str | None = None
) -> Project:
    """Return the project that `start` lies in, as `open_project` does; `variables` stand for the environment."""
    return open_project(start, os.environ if variables is None else variables, actor=actor)


def open_server(
    start: Path,
    *,
    store: str | None = None,
    artifacts: str | None = None,
    variables: Mapping[str, str] | None = None,
    actor: str | None = None,
) -> Project:
    """Return the project that a server at `start` works on, as `open_server_project` does."""
    variables = os.environ if variables is None else variables
    return open_server_project(start, variables, store=store, artifacts=artifacts, actor=actor)


def tracking_settings(variables: Mapping[str, str] | None = None) -> TrackingSettings:
    """Return what the environment says of tracking."""
    return read_tracking_settings(os.environ if variables is None else variables)


def environment() -> dict[str, str]:
    """Return a copy of the process's environment, for programs that are started in a changed one."""
    return dict(os.environ)


def share_metrics(folder: str) -> None:
    """Let this process and those it forks add up in `folder` what they count for Prometheus.

    Before prometheus_client is imported, which reads the variable once.
    """
    os.environ["PROMETHEUS_MULTIPROC_DIR"] = folder
