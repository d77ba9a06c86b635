"""Tree objects."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.base.errors import Corrupt, Invalid
from penstock.data.formats.tree import check_relpath, parse_tree, render_tree, tree_md5
from tables import table

MD5S = st.text("0123456789abcdef", min_size=32, max_size=32)
PARTS = st.text(st.characters(blacklist_characters="/\0"), min_size=1, max_size=8).filter(
    lambda part: part not in {".", ".."}
)


@given(st.dictionaries(PARTS, MD5S))
def test_parsing_what_was_rendered_gives_it_back(files: dict[str, str]) -> None:
    assert parse_tree(render_tree(files.items()), "x") == files


@given(st.dictionaries(PARTS, MD5S))
def test_the_bytes_are_pythons_json(files: dict[str, str]) -> None:
    listed = [{"md5": md5, "relpath": name} for name, md5 in sorted(files.items())]
    assert render_tree(files.items()) == json.dumps(listed, sort_keys=True).encode()


def test_the_name_is_the_md5_with_a_suffix() -> None:
    assert tree_md5(b"[]") == "d751713988987e9331980363e24189ce.dir"


@table("relpath", ["../x", "/etc/passwd", "a/../../b", "", ".", "..", "a//b", "a/", "a/./b", "x\0y", 5, None])
def test_a_path_that_leaves_its_directory_is_refused(relpath: object) -> None:
    with pytest.raises(Corrupt):
        check_relpath(relpath, "x")
    with pytest.raises(Corrupt):
        parse_tree(json.dumps([{"md5": "0" * 32, "relpath": relpath}]).encode(), "x")


@pytest.mark.parametrize("md5", ["../../../etc/passwd", "", "0" * 31, "G" * 32, None, 1, "A" * 32])
def test_a_digest_that_is_no_digest_is_refused(md5: object) -> None:
    with pytest.raises(Invalid):
        parse_tree(json.dumps([{"md5": md5, "relpath": "x"}]).encode(), "x")


@pytest.mark.parametrize("data", [b"", b"{}1", b"[1]", b'[{"md5": "x"}]', b"\xff", b"null", b"[" * 100_000])
def test_what_is_no_tree_is_refused(data: bytes) -> None:
    with pytest.raises(Corrupt):
        parse_tree(data, "x")


def test_a_path_cannot_be_file_and_directory() -> None:
    entries = [("a", "0" * 32), ("a/b", "0" * 32)]
    with pytest.raises(Corrupt, match="both"):
        parse_tree(render_tree(entries), "x")


def is_good(relpath: str) -> bool:
    try:
        check_relpath(relpath, "x")
    except Corrupt:
        return False
    return True


@given(st.lists(st.text("./a\0", max_size=5), min_size=1, max_size=4, unique=True), MD5S)
def test_many_paths_are_judged_as_each_alone(names: list[str], md5: str) -> None:
    data = json.dumps([{"md5": md5, "relpath": name} for name in names]).encode()
    try:
        found = parse_tree(data, "x")
    except Corrupt as error:
        assert "both a file and a directory" in str(error) or not all(map(is_good, names))
    else:
        assert all(map(is_good, names)) and list(found) == names


@given(st.lists(st.text("0aAg\0é \n", min_size=31, max_size=33) | MD5S, min_size=1, max_size=4))
def test_many_digests_are_judged_as_each_alone(md5s: list[str]) -> None:
    data = json.dumps([{"md5": md5, "relpath": f"f{at}"} for at, md5 in enumerate(md5s)]).encode()
    good = all(len(md5) == 32 and set(md5) <= set("0123456789abcdef") for md5 in md5s)
    try:
        assert list(parse_tree(data, "x").values()) == md5s and good
    except Invalid:
        assert not good
