"""Names that are no UTF-8, of several lines or with odd characters, as a user meets them."""

from __future__ import annotations

import os

import pytest

from .conftest import Desk

LATIN = os.fsdecode(b"caf\xe9")


def test_json_is_utf8_whatever_names_are(desk: Desk) -> None:
    desk.put({f"d/{LATIN}": "1", "d/é": "1"})
    desk.run("add", "d")
    desk.commit_all()
    desk.put({f"d/{LATIN}": "2"})
    assert [one["path"] for one in desk.json("diff")["modified"]] == ["d/", f"d/{LATIN}"]
    assert f"d/{LATIN}" in desk.json("data", "status", "--granular")["uncommitted"]["modified"]
    assert {f"d/{LATIN}", "d/é"} <= {one["path"] for one in desk.json("list", "-R", ".")}
    assert LATIN in desk.json("add", f"{LATIN}-is-not-here", code=1)["error"]["message"]


def test_a_name_of_several_lines_is_warned_of(desk: Desk) -> None:
    desk.put({"new\nline": "1", "line": "2"})
    said = desk.run("add", "new\nline").stderr
    assert r"warning: git cannot ignore 'new\nline'" in said
    assert desk.git("status", "--short", "line") == "?? line\n"
    assert "warning" not in desk.run("add", "line").stderr


@pytest.mark.parametrize("name", ["a\x85b", "a\u2028b", "\ufeffa", LATIN, f"{LATIN} and more " * 8])
def test_an_odd_name_comes_back(desk: Desk, name: str) -> None:
    desk.put({name: "1"})
    desk.json("add", name)
    assert desk.json("status") == {}
    (desk.root / name).unlink()
    desk.json("checkout")
    assert (desk.root / name).read_text() == "1"
