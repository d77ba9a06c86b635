"""`verify` and `repair`: no damage is overlooked, wherever it is, and what is good somewhere comes back."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from .conftest import Desk


@pytest.fixture
def pushed(desk: Desk) -> Desk:
    desk.put({"raw/a": "a", "raw/b": "b", "f": "f"})
    desk.run("add", "raw", "f")
    desk.run("remote", "add", "-d", "store", "../store")
    desk.run("push")
    return desk


def spoil(path: Path, data: str = "spoilt") -> None:
    path.chmod(0o644)
    path.write_text(data)
    path.chmod(0o444)


def object_of(root: Path, text: str) -> Path:
    md5 = hashlib.md5(text.encode()).hexdigest()
    return root / "files/md5" / md5[:2] / md5[2:]


def test_the_remote_is_read_and_repaired(pushed: Desk) -> None:
    store = pushed.root.with_name("store")
    spoil(object_of(store, "a"))
    object_of(store, "f").unlink()
    tree = next(store.rglob("*.dir"))
    spoil(tree, "[]")
    assert pushed.run("verify").stdout == "4 objects read: all sound\n"
    found = pushed.json("verify", "--cloud", code=1)["remotes"]["store"]
    assert {found["paths"][md5] for md5 in found["damaged"]} == {"raw/a", "raw"}
    assert [found["paths"][md5] for md5 in found["missing"]] == ["f"]
    assert "damaged" in pushed.run("verify", "-r", "store", code=1).stdout
    assert len(pushed.json("repair", "--cloud")["uploaded"]) == 3
    pushed.run("verify", "--cloud")
    shutil.rmtree(pushed.root / ".dvc/cache")
    shutil.rmtree(pushed.root / "raw")
    pushed.run("pull")


def test_a_fetch_of_damaged_bytes_names_the_remedy(pushed: Desk) -> None:
    spoil(object_of(pushed.root.with_name("store"), "a"))
    shutil.rmtree(pushed.root / ".dvc/cache")
    assert "penstock repair --cloud" in pushed.error("fetch")
    assert "penstock repair, then this again" in pushed.run("repair", "-c", code=1).stdout
    pushed.run("repair")
    pushed.run("repair", "-c")
    shutil.rmtree(pushed.root / ".dvc/cache")
    pushed.run("fetch")


def test_paths_are_named_and_a_part_is_enough(pushed: Desk) -> None:
    spoil(object_of(pushed.root / ".dvc/cache", "a"))
    told = pushed.run("verify", code=1).stdout
    assert "raw/a" in told
    assert "penstock repair restores" in told
    assert pushed.run("verify", "raw/b").stdout == "1 object read: all sound\n"


def test_what_may_not_be_read_does_not_hide_the_rest(pushed: Desk) -> None:
    object_of(pushed.root / ".dvc/cache", "a").chmod(0)
    object_of(pushed.root / ".dvc/cache", "f").unlink()
    pushed.obey_modes()
    told = pushed.run("verify", code=1).stdout
    assert "unreadable" in told
    assert "missing" in told


@pytest.fixture
def legacy(desk: Desk) -> Desk:
    """A file and a directory as DVC 2 kept them: text is named by its bytes with line ends normalised."""
    contents = {"raw/a": "one\r\n", "raw/b": "two\r\n", "f": "f"}
    cache = desk.root / ".dvc/cache"

    def keep(text: str, suffix: str = "") -> str:
        md5 = hashlib.md5(text.replace("\r\n", "\n").encode()).hexdigest() + suffix
        (cache / md5[:2]).mkdir(parents=True, exist_ok=True)
        (cache / md5[:2] / md5[2:]).write_bytes(text.encode())
        return md5

    for name, text in contents.items():
        (desk.root / name).parent.mkdir(exist_ok=True)
        (desk.root / name).write_bytes(text.encode())
    entries = ", ".join(f'{{"md5": "{keep(contents[f"raw/{name}"])}", "relpath": "{name}"}}' for name in "ab")
    desk.put(
        {
            "raw.dvc": f"outs:\n- md5: {keep(f'[{entries}]', '.dir')}\n  size: 10\n  nfiles: 2\n  path: raw\n",
            "f.dvc": f"outs:\n- md5: {keep('f')}\n  size: 1\n  path: f\n",
            ".gitignore": "/raw\n/f\n",
        }
    )
    desk.commit_all()
    return desk


def test_objects_of_dvc_2_are_read_too(legacy: Desk) -> None:
    assert legacy.run("verify").stdout == "4 objects read: all sound\n"
    legacy.run("remote", "add", "-d", "store", "../store")
    legacy.run("push")
    cache, store = legacy.root / ".dvc/cache", legacy.root.with_name("store")
    one = hashlib.md5(b"one\n").hexdigest()
    for place in (cache, store):
        spoil(place / one[:2] / one[2:])
    assert legacy.json("verify", code=1)["paths"] == {one: "raw/a"}
    assert legacy.json("verify", "-c", code=1)["remotes"]["store"]["damaged"] == [one]
    assert legacy.json("repair") == {"workspace": [one], "remote": [], "lost": []}
    assert legacy.json("repair", "-c") == {"uploaded": [one], "lost": []}
    legacy.run("verify")
    legacy.run("verify", "-c")
    (cache / one[:2] / one[2:]).unlink()
    (legacy.root / "raw/a").unlink()
    assert legacy.json("repair") == {"workspace": [], "remote": [one], "lost": []}
    assert (cache / one[:2] / one[2:]).read_bytes() == b"one\r\n"


def test_a_pull_says_what_it_left_out(pushed: Desk) -> None:
    object_of(pushed.root.with_name("store"), "a").unlink()
    shutil.rmtree(pushed.root / ".dvc/cache")
    shutil.rmtree(pushed.root / "raw")
    assert "left out: raw/a is not in remote 'store'" in pushed.run("pull", "--allow-missing").stderr


def test_data_of_dvc_2_are_got_imported_and_read(legacy: Desk) -> None:
    legacy.run("remote", "add", "-d", "store", legacy.root.with_name("store"))
    legacy.run("push")
    legacy.commit_all()
    shutil.rmtree(legacy.root / "raw")
    other = legacy.beside("other")
    read = "import penstock; print(penstock.read_bytes('raw/a', repo='../repo'))"
    for name in ("with the cache", "from the remote"):
        other.run("get", "../repo", "raw", "-o", name)
        assert (other.root / name / "a").read_bytes() == b"one\r\n"
        found = subprocess.run([sys.executable, "-c", read], cwd=other.root, capture_output=True, check=True)
        assert found.stdout.strip() == b"b'one\\r\\n'"
        shutil.rmtree(legacy.root / ".dvc/cache", ignore_errors=True)
    other.run("import", "../repo", "f")
    assert hashlib.md5(b"f").hexdigest() in (other.root / "f.dvc").read_text()
    assert "raw" in [entry["path"] for entry in legacy.json("list", ".")]
