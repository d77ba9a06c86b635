"""The compact form of a directory's files holds what the plain one does, and refuses what that refuses."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.base.errors import Corrupt, Invalid
from penstock.data.formats.tree import parse_tree, render_tree
from penstock.data.formats.treefiles import TreeFiles, parse_files
from tables import table

MD5 = "d41d8cd98f00b204e9800998ecf8427e"
OTHER = "0cc175b9c0f1b6a831c399e269772661"

parts = st.text(min_size=1, max_size=8).filter(
    lambda text: "/" not in text and "\0" not in text and text not in {".", ".."}
)
paths = st.lists(parts, min_size=1, max_size=3).map("/".join)
digests = st.text("0123456789abcdef", min_size=32, max_size=32)
trees = st.dictionaries(paths, digests, max_size=12)


def is_nested(tree: dict[str, str]) -> bool:
    return any(other.startswith(f"{name}/") for name in tree for other in tree)


@given(trees)
def test_it_reads_what_was_written(tree: dict[str, str]) -> None:
    data = render_tree(tree.items())
    if is_nested(tree):
        with pytest.raises(Corrupt):
            parse_files(data, "x")
        return
    files = parse_files(data, "x")
    assert dict(files.items()) == tree == parse_tree(data, "x")
    assert list(files) == sorted(tree)
    assert list(files.values()) == [tree[name] for name in sorted(tree)]
    assert all(files[name] == md5 for name, md5 in tree.items())
    assert TreeFiles.of(tree).digests == files.digests
    assert "no/such/file" not in files


@pytest.mark.parametrize(
    "entries",
    [
        [{"md5": MD5, "relpath": "b"}, {"md5": OTHER, "relpath": "a"}],
        [{"relpath": "a", "md5": MD5}],
        [{"md5": MD5, "relpath": "ä"}],
        [{"md5": MD5, "relpath": 'q", "md5": "' + OTHER}],
    ],
)
def test_other_ways_to_write_it_are_read_too(entries: list[dict[str, str]]) -> None:
    wanted = {entry["relpath"]: entry["md5"] for entry in entries}
    for data in (json.dumps(entries), json.dumps(entries, ensure_ascii=False), json.dumps(entries, indent=1)):
        assert dict(parse_files(data.encode(), "x").items()) == wanted


def named(name: str) -> str:
    return f'{{"md5": "{MD5}", "relpath": "{name}"}}'


PLAIN = named("a")


@table(
    "text",
    [
        "",
        "[",
        f"[{PLAIN}",
        f"[{PLAIN}, ",
        f"[{PLAIN}, ]",
        f"[{PLAIN}]]",
        f"[{PLAIN}][{PLAIN}]",
        f"[{PLAIN}{PLAIN}]",
        f"[{PLAIN}, {PLAIN}]",
        f"({PLAIN}]",
        f"[{PLAIN}]\n{PLAIN}",
        PLAIN,
        f"[{named('../a')}]",
        f"[{named('/a')}]",
        f"[{named(chr(92) + 'u0000')}]",
        f"[{named('x/../../a')}]",
        f"[{PLAIN}, {named('a/b')}]",
        f"[{PLAIN.replace(MD5, MD5[:-1] + 'x')}]",
        f"[{PLAIN.replace(MD5, MD5 + '.dir')}]",
        f"[{PLAIN.replace(MD5, '../' + MD5[3:])}]",
    ],
)
def test_what_is_no_list_of_files_inside_a_directory_is_refused(text: str) -> None:
    with pytest.raises((Corrupt, Invalid)):
        parse_files(text.encode(), "x")


def test_lists_longer_than_a_block_are_read_whole_and_a_fault_behind_the_first_is_found() -> None:
    names = sorted(
        [f"folder/file-{number:06d}" for number in range(9000)] + ['z"quoted', "z\\back", "zü", 'z"}, {']
    )
    tree = dict.fromkeys(names, MD5)
    data = render_tree(tree.items())
    assert len(data) > 2 * (1 << 18)
    assert dict(parse_files(data, "x").items()) == tree
    at = data.index(b"file-008000")
    for damaged in (data[:at] + b'"' + data[at:], data[:at] + b"\n" + data[at:], data[: at - 30] + data[at:]):
        with pytest.raises(Corrupt):
            parse_files(damaged, "x")


@given(trees, st.integers(0, 200), st.sampled_from([b'"', b" ", b",", b"{", b"}", b"\\", b"a", b"\n", b""]))
def test_a_list_with_a_byte_put_in_or_left_out_is_read_as_the_plain_form_reads_it(
    tree: dict[str, str], at: int, byte: bytes
) -> None:
    data = render_tree(tree.items())
    changed = data[:at] + byte + data[at + (not byte) :]
    try:
        wanted = parse_tree(changed, "x")
    except (Corrupt, Invalid) as error:
        with pytest.raises(type(error)):
            parse_files(changed, "x")
    else:
        assert dict(parse_files(changed, "x").items()) == wanted
