"""LocalBackend: what a failure leaves behind, and what it says."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from penstock.base.errors import Denied, PenstockError, Unavailable
from penstock.storage.local import STAGING, LocalBackend


def test_objects_are_read_only(tmp_path: Path) -> None:
    backend = LocalBackend(tmp_path)
    backend.put("a/b", b"x")
    assert (tmp_path / "a" / "b").stat().st_mode & 0o777 == 0o444


def test_a_failed_write_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    backend = LocalBackend(tmp_path)

    def full(*_: object) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "write", full)
    with pytest.raises(Unavailable, match="No space left"):
        backend.put("a/b", b"x")
    monkeypatch.undo()
    assert not backend.exists("a/b")
    assert list((tmp_path / STAGING).iterdir()) == []
    backend.close()
    assert not (tmp_path / STAGING).exists()


def test_a_missing_source_is_told(tmp_path: Path) -> None:
    with pytest.raises(PenstockError):
        LocalBackend(tmp_path / "store").upload("k", tmp_path / "nothing")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_no_permission_is_denied(tmp_path: Path) -> None:
    tmp_path.chmod(0o555)
    with pytest.raises(Denied):
        LocalBackend(tmp_path).put("a", b"x")
