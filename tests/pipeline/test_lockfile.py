"""The lock is read as it was written, and hostile or broken locks are refused."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from penstock.base.errors import Invalid
from penstock.data.formats.output import HashInfo
from penstock.data.repository import DataRepository
from penstock.data.verbs.creation import init_repository
from penstock.pipeline.lockfile import LockedPath, LockEntry, load_lock, parse_lock
from penstock.pipeline.lockwriting import LockWriter, save_lock
from penstock.pipeline.outputs import list_outputs

names = st.text(st.characters(codec="utf-8", exclude_categories=("Cs", "Cc")), min_size=1, max_size=30)
scalars = st.one_of(
    st.integers(-(10**9), 10**9),
    st.booleans(),
    names,
    st.floats(allow_nan=False, allow_infinity=False),
    st.none(),
)
hashes = st.builds(
    HashInfo, md5=st.text("0123456789abcdef", min_size=32, max_size=32), size=st.integers(0, 10**12)
)
paths = st.builds(LockedPath, path=names, hash=hashes)
entries = st.builds(
    LockEntry,
    command=names,
    dependencies=st.lists(paths, max_size=3).map(tuple),
    parameters=st.dictionaries(names, st.dictionaries(names, scalars, min_size=1, max_size=3), max_size=2),
    outputs=st.lists(paths, max_size=3).map(tuple),
)


stage_names = st.from_regex(r"[a-z][a-z0-9_@.-]{0,8}", fullmatch=True)
usual = st.builds(
    LockEntry,
    command=st.one_of(st.just("python a.py # why"), st.text("ab -'\":&*#x/", min_size=1, max_size=12)),
    parameters=st.dictionaries(
        stage_names, st.dictionaries(stage_names, st.integers(0, 9), min_size=1), max_size=1
    ),
    outputs=st.lists(st.builds(LockedPath, path=stage_names, hash=hashes), max_size=2).map(tuple),
)


@given(st.dictionaries(names, entries, max_size=3))
def test_what_is_saved_is_loaded(
    tmp_path_factory: pytest.TempPathFactory, lock: dict[str, LockEntry]
) -> None:
    root = tmp_path_factory.mktemp("lock")
    save_lock(root, lock)
    assert load_lock(root) == lock


def test_an_unchanged_entry_keeps_its_bytes_and_comments(tmp_path: Path) -> None:
    text = "# kept\nschema: '2.0'\nstages:\n  a:\n    cmd: run   # why\n    params:\n      params.yaml:\n        x: 1e-05\n"
    (tmp_path / "dvc.lock").write_text(text)
    save_lock(tmp_path, {"b": LockEntry("other")})
    assert (tmp_path / "dvc.lock").read_text() == text + "  b:\n    cmd: other\n"


@settings(max_examples=25, deadline=None)
@given(st.lists(st.dictionaries(stage_names, usual, min_size=1, max_size=2), min_size=1, max_size=4))
def test_a_lock_written_stage_by_stage_is_what_it_is_written_at_once(
    tmp_path_factory: pytest.TempPathFactory, steps: list[dict[str, LockEntry]]
) -> None:
    root, once, whole = (
        tmp_path_factory.mktemp("lock"),
        tmp_path_factory.mktemp("once"),
        dict[str, LockEntry](),
    )
    writer = LockWriter()
    for step in steps:
        writer.save(root, step)
        whole |= step
    save_lock(once, whole)
    assert load_lock(root) == whole
    assert (root / "dvc.lock").read_bytes() == (once / "dvc.lock").read_bytes()


def test_what_others_wrote_meanwhile_stays_and_new_stages_keep_the_plan(tmp_path: Path) -> None:
    writer = LockWriter([(tmp_path, name) for name in "abc"])
    save_lock(tmp_path, {"z": LockEntry("1")})
    for name in ("c", "a"):
        writer.save(tmp_path, {name: LockEntry(name)})
    save_lock(tmp_path, {"other": LockEntry("2")})
    writer.save(tmp_path, {"b": LockEntry("b")})
    writer.save(tmp_path, {"z": LockEntry("3")})
    assert list(load_lock(tmp_path)) == ["z", "a", "c", "other", "b"]
    assert load_lock(tmp_path)["z"] == LockEntry("3")


@pytest.mark.parametrize(
    "md5", ["../../../../etc/passwd", "abc", "", "g" * 32, "0" * 33, "0" * 32 + ".dir/../x"]
)
def test_a_digest_that_is_a_path_is_refused(md5: str) -> None:
    text = f"schema: '2.0'\nstages:\n  a:\n    cmd: x\n    outs:\n    - path: o\n      hash: md5\n      md5: '{md5}'\n"
    with pytest.raises(Invalid):
        parse_lock(text, "dvc.lock")


@pytest.mark.parametrize(
    "text",
    ["[1]", "stages: [1]", "stages: {a: 1}", "stages: {a: {}}", "a: {", "stages: {a: {cmd: x, outs: [{}]}}"],
)
def test_a_broken_lock_is_refused_with_the_way_out(text: str) -> None:
    with pytest.raises(Invalid, match=r"dvc\.lock") as caught:
        parse_lock(text, "dvc.lock")
    assert caught.value.hint


@pytest.mark.parametrize("name", ["dvc.lock", "dvc.yaml"])
def test_conflict_marks_are_named_for_what_they_are(tmp_path: Path, name: str) -> None:
    init_repository(tmp_path, no_scm=True)
    repo = DataRepository.open(tmp_path)
    (repo.root / "dvc.yaml").write_text("stages:\n  a: {cmd: 'true'}\n")
    (repo.root / name).write_text(
        "stages:\n<<<<<<< HEAD\n  a: {cmd: x}\n=======\n  a: {cmd: y}\n>>>>>>> other\n"
    )
    with pytest.raises(Invalid, match=rf"{name}:2: git left both sides of a conflict") as raised:
        list_outputs(repo)
    assert raised.value.hint
    assert "git checkout --ours" in raised.value.hint
