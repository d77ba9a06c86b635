"""LocalBackend: what a failure leaves behind, and what it says."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from penstock.base.digest import FileBlocks
from penstock.base.errors import NotFound, PenstockError, Unavailable
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
        LocalBackend(tmp_path / "store").upload("k", FileBlocks(tmp_path / "nothing"), 1)


def test_no_permission_is_denied(tmp_path: Path) -> None:
    """As root too, who may write everywhere: the child drops its rights."""
    code = (
        "import os, sys; from pathlib import Path\n"
        "from penstock.base.errors import Denied\n"
        "from penstock.storage.local import LocalBackend\n"
        "if os.geteuid() == 0: os.seteuid(65534)\n"
        "try: LocalBackend(Path(sys.argv[1])).put('a', b'x')\n"
        "except Denied: print('denied')\n"
    )
    tmp_path.chmod(0o555)
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, check=False
    )
    assert done.stdout == "denied\n", done.stderr


def test_a_place_that_another_process_is_done_with_can_still_be_written(tmp_path: Path) -> None:
    ours, theirs = LocalBackend(tmp_path), LocalBackend(tmp_path)
    ours.put("a/1", b"1")
    for step in (
        lambda: ours.put("a/2", b"2"),
        lambda: ours.upload("a/2", [b"2"], 1),
        lambda: ours.copy("a/1", "a/2"),
    ):
        theirs.put("b", b"x")
        theirs.close()
        step()
        assert ours.get("a/2") in (b"1", b"2")
    theirs.close()
    with pytest.raises(NotFound):
        ours.copy("a/none", "a/3")
