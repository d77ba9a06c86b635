"""Pointers: strict reading, edits that keep everything else."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.base.errors import Invalid
from penstock.data.formats.output import HashInfo
from penstock.data.formats.yamltext import dump_document, load_document
from penstock.data.pointers.pointer import parse_pointer
from penstock.data.pointers.rendering import render_new, render_updated
from penstock.data.repository import DataRepository

MD5S = st.text("0123456789abcdef", min_size=32, max_size=32)


@given(
    MD5S,
    st.booleans(),
    st.none() | st.integers(0, 10**15),
    st.none() | st.integers(0, 10**9),
    st.text("abzAZ019_.-/ #'\"é:{", min_size=1, max_size=70),
)
def test_new_pointers_are_what_ruamel_writes(
    md5: str, is_tree: bool, size: int | None, nfiles: int | None, name: str
) -> None:
    info = HashInfo(md5 + (".dir" if is_tree else ""), size, nfiles)
    entry = {"md5": info.md5, "size": size, "nfiles": nfiles, "hash": "md5", "path": name}
    expected = {"outs": [{key: value for key, value in entry.items() if value is not None}]}
    assert render_new(name, info) == dump_document(expected)
    assert load_document(render_new(name, info), "x") == expected


@pytest.mark.parametrize(
    "text",
    [
        "outs:\n- path: x\n  md5: abc\n",
        "outs:\n- path: x\n  surprise: 1\n",
        "surprise: 1\n",
        "outs: x\n",
        "- a\n",
        "outs:\n- 5\n",
        "outs:\n- md5: " + "0" * 32 + "\n",
        "outs: [\n",
        "outs:\n- path: x\n  size: many\n  md5: " + "a" * 32 + "\n",
    ],
)
def test_what_is_no_pointer_is_refused(repo: DataRepository, text: str) -> None:
    with pytest.raises(Invalid):
        parse_pointer(repo, repo.root / "x.dvc", text)


def test_an_old_pointer_names_the_old_algorithm(repo: DataRepository) -> None:
    pointer = parse_pointer(
        repo, repo.root / "x.dvc", f"md5: {'b' * 32}\nouts:\n- md5: {'a' * 32}\n  path: x\n"
    )
    assert pointer.outputs[0].hash == HashInfo("a" * 32, algorithm="md5-dos2unix")


def test_cloud_versioned_files_are_read(repo: DataRepository) -> None:
    text = (
        "outs:\n- hash: md5\n  path: d\n  files:\n  - relpath: a/b\n    md5: "
        + "c" * 32
        + "\n    size: 3\n    cloud:\n      s3:\n        etag: x\n        version_id: y\n"
    )
    output = parse_pointer(repo, repo.root / "d.dvc", text).outputs[0]
    assert output.files == (("a/b", HashInfo("c" * 32, 3)),)


def test_an_update_keeps_comments(repo: DataRepository) -> None:
    text = f"# top\nouts:\n- md5: {'a' * 32} # was\n  size: 3\n  hash: md5\n  path: x\nmeta:\n  mine: [1, 2] # kept\n"
    pointer = parse_pointer(repo, repo.root / "x.dvc", text)
    updated = render_updated(pointer, 0, HashInfo("b" * 32, 4, None, True))
    assert updated == (
        f"# top\nouts:\n- md5: {'b' * 32} # was\n  size: 4\n  hash: md5\n  path: x\n  isexec: true\n"
        "meta:\n  mine: [1, 2] # kept\n"
    )
