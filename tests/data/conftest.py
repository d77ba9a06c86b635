"""A repository in a temporary directory, without git unless a test asks for it."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from penstock.data.repository import DataRepository
from penstock.data.verbs.creation import init_repository


@pytest.fixture
def repo(tmp_path: Path) -> Iterator[DataRepository]:
    root = tmp_path / "repo"
    root.mkdir()
    subprocess.run(["git", "init", "-q", str(root)], check=True)
    init_repository(root)
    opened = DataRepository.open(root)
    yield opened
    opened.close()


def write_files(folder: Path, files: dict[str, str | bytes]) -> Path:
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
    return folder
