"""A repository beside a file that no attack may touch."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from penstock.data.repository import DataRepository
from penstock.data.verbs.creation import init_repository

SECRET = "outside the repository"


@pytest.fixture
def repo(tmp_path: Path) -> Iterator[DataRepository]:
    root = tmp_path / "repo"
    root.mkdir()
    (tmp_path / "victim").write_text(SECRET)
    (tmp_path / "victims").mkdir()
    (tmp_path / "victims" / "file").write_text(SECRET)
    init_repository(root, no_scm=True)
    opened = DataRepository.open(root)
    yield opened
    opened.close()
    assert (tmp_path / "victim").read_text() == SECRET
    assert sorted(path.name for path in tmp_path.iterdir()) == ["repo", "victim", "victims"]
    assert (tmp_path / "victims" / "file").read_text() == SECRET
    assert [path.name for path in (tmp_path / "victims").iterdir()] == ["file"]
