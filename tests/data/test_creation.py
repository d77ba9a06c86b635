"""Making a repository again never costs data."""

from __future__ import annotations

import pytest

from penstock.base.errors import Conflict
from penstock.data.cache.hashing import save_path
from penstock.data.cache.presence import has
from penstock.data.repository import DataRepository
from penstock.data.verbs.creation import init_repository


def test_a_forced_init_keeps_the_cache(repo: DataRepository) -> None:
    (repo.root / "f").write_text("exists nowhere else")
    info = save_path(repo, repo.root / "f")
    with pytest.raises(Conflict, match="already"):
        init_repository(repo.root)
    init_repository(repo.root, force=True)
    again = DataRepository.open(repo.root)
    assert has(again, info)
    again.close()
