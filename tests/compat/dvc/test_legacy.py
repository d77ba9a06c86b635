"""Repositories of DVC 2: read, checked out, and migrated as DVC migrates them."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from compat.dvc.tools import Tool, cache_of, copy_tree, git

pytestmark = pytest.mark.dvc("remembered")
Q = b"q\r\n"
FILES = {"a.txt": b"a\r\nb\n", "b.bin": b"\0\r\n", "inner/c.txt": b"plain\n"}


def dos2unix(data: bytes) -> str:
    text = data if b"\0" in data else data.replace(b"\r\n", b"\n")
    return hashlib.md5(text).hexdigest()


def put(root: Path, data: bytes, md5: str) -> None:
    place = root / ".dvc" / "cache" / md5[:2] / md5[2:]
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_bytes(data)


@pytest.fixture
def old(make_repo: Callable[[str, Tool], Path], dvc: Tool) -> Path:
    """A repository as DVC 2 left it: no `hash: md5`, objects without `files/md5`."""
    root = make_repo("old", dvc)
    entries = []
    for name, data in FILES.items():
        (root / "d" / name).parent.mkdir(parents=True, exist_ok=True)
        (root / "d" / name).write_bytes(data)
        put(root, data, dos2unix(data))
        entries.append({"md5": dos2unix(data), "relpath": name})
    tree = json.dumps(entries, sort_keys=True).encode()
    md5 = hashlib.md5(tree).hexdigest() + ".dir"
    put(root, tree, md5)
    (root / "d.dvc").write_text(f"outs:\n- md5: {md5}\n  size: 14\n  nfiles: 3\n  path: d\n")
    (root / "f.txt").write_bytes(Q)
    put(root, Q, dos2unix(Q))
    (root / "f.txt.dvc").write_text(f"# kept\nouts:\n- md5: {dos2unix(Q)}\n  size: 3\n  path: f.txt\n")
    (root / ".gitignore").write_text("/d\n/f.txt\n")
    git(root, "add", "-A")
    git(root, "commit", "-qm", "old")
    return root


def test_what_is_there_is_up_to_date(old: Path, dvc: Tool, penstock: Tool) -> None:
    assert penstock.json(old, "status") == dvc.json(old, "status") == {}
    assert not any(penstock.json(old, "checkout").values())


def test_what_is_gone_comes_back_with_its_line_ends(old: Path, penstock: Tool) -> None:
    shutil.rmtree(old / "d")
    (old / "f.txt").unlink()
    penstock(old, "checkout")
    assert {name: (old / "d" / name).read_bytes() for name in FILES} == FILES
    (old / "d" / "a.txt").unlink()
    assert list(penstock.json(old, "checkout")["modified"]) == ["d"]
    assert (old / "d" / "a.txt").read_bytes() == FILES["a.txt"]


def test_a_changed_file_is_not_overwritten(old: Path, penstock: Tool) -> None:
    (old / "d" / "a.txt").write_text("mine")
    penstock(old, "checkout", ok=False)
    assert (old / "d" / "a.txt").read_text() == "mine"


def test_an_old_pointer_is_updated_as_dvc_does(old: Path, tmp_path: Path, dvc: Tool, penstock: Tool) -> None:
    copy_tree(old, tmp_path / "copy")
    for root, tool in ((old, penstock), (tmp_path / "copy", dvc)):
        (root / "f.txt").write_text("new\n")
        (root / "d" / "new.txt").write_text("new\n")
        tool(root, "add", "f.txt", "d")
    for name in ("f.txt.dvc", "d.dvc"):
        assert (old / name).read_bytes() == (tmp_path / "copy" / name).read_bytes()


@pytest.mark.parametrize("arguments", [(), ("--dvc-files",)])
def test_migrate_does_what_dvc_does(
    old: Path, tmp_path: Path, dvc: Tool, penstock: Tool, arguments: tuple[str, ...]
) -> None:
    copy_tree(old, tmp_path / "copy")
    assert penstock.json(old, "cache", "migrate", "--dry", *arguments)["migrated"] == 5
    assert cache_of(old) == {}
    penstock(old, "cache", "migrate", *arguments)
    dvc(tmp_path / "copy", "cache", "migrate", *arguments)
    assert cache_of(old) == cache_of(tmp_path / "copy")
    for name in ("f.txt.dvc", "d.dvc"):
        assert (old / name).read_bytes() == (tmp_path / "copy" / name).read_bytes()
    assert dvc.json(old, "status") == penstock.json(old, "status") == {}
    assert penstock.json(old, "cache", "migrate", *arguments)["migrated"] == 0


def test_a_damaged_old_object_stops_the_migration(old: Path, penstock: Tool) -> None:
    md5 = dos2unix(FILES["b.bin"])
    (old / ".dvc" / "cache" / md5[:2] / md5[2:]).write_bytes(b"damaged")
    assert md5 in penstock.run(old, "cache", "migrate").stderr
    assert cache_of(old) == {}


def test_what_changed_is_told_as_dvc_tells_it(old: Path, dvc: Tool, penstock: Tool) -> None:
    questions = (
        ("diff",),
        ("data", "status", "--granular", "--unchanged"),
        ("data", "status"),
    )
    for question in questions:
        assert in_order(penstock.json(old, *question)) == in_order(dvc.json(old, *question))
    (old / "d" / "a.txt").write_text("mine")
    (old / "f.txt").unlink()
    for question in questions:
        assert in_order(penstock.json(old, *question)) == in_order(dvc.json(old, *question))
    md5 = dos2unix(FILES["b.bin"])
    (old / ".dvc" / "cache" / md5[:2] / md5[2:]).unlink()
    assert penstock.json(old, "diff")["not in cache"] == dvc.json(old, "diff")["not in cache"]


def in_order(found: object) -> object:
    """Return a document with its lists sorted: DVC has an order in none."""
    if isinstance(found, dict):
        return {key: in_order(value) for key, value in found.items()}
    return sorted(found, key=str) if isinstance(found, list) else found
