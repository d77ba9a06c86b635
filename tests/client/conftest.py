"""The project that runs are recorded in."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from penstock.data.verbs.creation import init_repository
from penstock.project.project import Project
from penstock.workspace import open_workspace


@pytest.fixture
def project(tmp_path: Path) -> Iterator[Project]:
    root = tmp_path / "project"
    root.mkdir()
    init_repository(root, no_scm=True, subdir=False, force=False)
    opened = open_workspace(root, {})
    _ = opened.database
    yield opened
    opened.close()
