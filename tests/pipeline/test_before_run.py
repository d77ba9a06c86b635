"""What a stage needs is looked at before its command runs, and a lock claims only what ran."""

from __future__ import annotations

import pytest
import yaml

from penstock.base.errors import Conflict, Invalid, NotFound
from penstock.pipeline.lockfile import load_lock
from penstock.pipeline.parameters import parse_values, select_values
from penstock.pipeline.stage import ParameterRef

from .conftest import Line

ONE = "stages:\n  s: {cmd: cp a b, deps: [a], outs: [b]}\n"
PARAMETER = "stages:\n  s: {cmd: echo ran > o, params: [%s], outs: [o]}\n"


def test_a_parameter_that_is_not_there_stops_the_stage_and_the_nearest_is_named(line: Line) -> None:
    line.put(params_yaml="epochs: 3\n", dvc_yaml=PARAMETER % "epohcs")
    with pytest.raises(NotFound, match=r"'epohcs', which params\.yaml does not have") as caught:
        line.repro()
    assert caught.value.hint == "did you mean 'epochs'?"
    assert not (line.root / "o").exists()
    assert load_lock(line.root) == {}
    assert line.ran == []


@pytest.mark.parametrize(
    ("text", "name", "hint"),
    [
        ("train: {v1.2: 3}\n", "train.v1.2", "no name reaches the key 'v1.2', since a dot goes one mapping down: "
         "name 'train', or write the key without a dot"),
        ("a: {b: {c.d: {e: 1}}}\n", "a.b.c.d.e", "no name reaches the key 'c.d', since a dot goes one mapping down: "
         "name 'a.b', or write the key without a dot"),
        ("a.b: {c: 1}\n", "a.b.c", "no name reaches the key 'a.b', since a dot goes one mapping down: "
         "write the key without a dot"),
    ],
)  # fmt: skip
def test_a_key_with_a_dot_is_not_offered_by_the_name_that_does_not_reach_it(
    line: Line, text: str, name: str, hint: str
) -> None:
    line.put(params_yaml=text, dvc_yaml=PARAMETER % name)
    with pytest.raises(NotFound) as caught:
        line.repro()
    assert caught.value.hint == hint


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("params.yaml", "lr: 0.1\nlr: 0.01\n"),
        ("params.yaml", "a: &a {lr: 1}\nb: {<<: *a, x: 1, x: 2}\n"),
        ("params.json", '{"lr": 1, "deep": {"lr": 1, "lr": 2}}'),
    ],
)
def test_a_key_that_stands_twice_is_refused(line: Line, name: str, text: str) -> None:
    with pytest.raises(Invalid, match=f"{name}.* stands twice"):
        parse_values(text, line.root / name)


def test_a_merged_key_may_be_given_anew(line: Line) -> None:
    text = "a: &a {lr: 1}\nb: {<<: *a, lr: 2}\n"
    assert parse_values(text, line.root / "p.yaml") == {"a": {"lr": 1}, "b": {"lr": 2}}


def test_an_output_that_git_tracks_is_not_overwritten(line: Line) -> None:
    line.put(g="precious\n", dvc_yaml="stages:\n  s: {cmd: echo lost > g, outs: [g]}\n")
    line.git.run("add", "g")
    for options in ({}, {"force": True}):
        with pytest.raises(Conflict, match="g is already tracked by git"):
            line.repro(**options)
    line.put(_gitignore="/g\n")
    with pytest.raises(Conflict):
        line.repro()
    assert line.read("g") == "precious\n"
    assert line.ran == []


def test_a_frozen_stage_claims_no_inputs_that_it_did_not_run_with(line: Line) -> None:
    line.put(a="1\n", dvc_yaml=ONE)
    line.repro()
    line.put(dvc_yaml=ONE.replace("outs", "frozen: true, outs"), a="2\n")
    assert line.repro(force=True) == {"s": "frozen"}
    line.put(dvc_yaml=ONE)
    assert line.status() == {"s": [{"changed deps": {"a": "modified"}}]}
    assert line.repro() == {"s": "ran"}
    assert line.read("b") == "2\n"


def test_of_outputs_changed_while_frozen_nobody_knows_what_they_were_made_from(line: Line) -> None:
    line.put(a="1\n", dvc_yaml=ONE)
    line.repro()
    line.put(dvc_yaml=ONE.replace("outs", "frozen: true, outs"), b="by hand\n")
    assert line.repro() == {"s": "recorded"}
    assert line.repro() == {"s": "frozen"}
    assert load_lock(line.root)["s"].dependencies == ()
    line.put(dvc_yaml=ONE)
    assert line.status() == {"s": [{"changed deps": {"a": "new"}}]}


def test_values_of_python_files_survive_the_lock(line: Line) -> None:
    line.put(p_py="RANGE = (1, (2, 3))\nAT = {'x': (1,)}\n")
    line.put(dvc_yaml="stages:\n  s: {cmd: echo 1 > o, params: [{p.py: [RANGE, AT]}], outs: [o]}\n")
    line.repro()
    assert line.status() == {}
    assert line.repro() == {"s": "up to date"}


def test_what_is_no_number_is_the_same_the_next_time(line: Line) -> None:
    line.put(params_yaml="lr: .nan\ndeep: [{a: [.nan, .inf]}]\n", dvc_yaml=PARAMETER % "lr, deep")
    line.repro()
    assert line.status() == {}


@pytest.mark.parametrize(
    ("name", "text", "key"),
    [
        ("params.yaml", "since: 2024-01-01\n", "since is a date"),
        ("params.yaml", "a: {at: 2024-01-01 10:00:00}\n", "a.at is a datetime"),
        ("params.yaml", "a: [1, !!set {x, y}]\n", r"a\[1\] is a set"),
        ("params.yaml", "a: !!binary aGVsbG8=\n", "a is a bytes"),
        ("p.py", "a = {1, 2}\n", "a is a set"),
        ("p.py", "a = 1j\n", "a is a complex"),
        ("p.py", "a = [b'x']\n", r"a\[0\] is a bytes"),
    ],
)
def test_a_value_that_no_lock_holds_is_named_with_its_file(
    line: Line, name: str, text: str, key: str
) -> None:
    (line.root / name).write_text(text)
    root_key = next(iter(parse_values(text, line.root / name)))
    line.put(dvc_yaml=yaml.safe_dump({"stages": {"s": {"cmd": "true", "params": [{name: [root_key]}]}}}))
    with pytest.raises(Invalid, match=f"{name}: {key}"):
        line.repro()
    with pytest.raises(Invalid, match=f"{name}: {key}"):
        select_values(line.root, ParameterRef(name, (root_key,)))


def test_an_output_that_git_holds_from_now_on_is_ignored_no_more(line: Line) -> None:
    cached = "stages:\n  s: {cmd: echo 1 > o, outs: [o]}\n"
    held = "stages:\n  s: {cmd: echo 1 > o, outs: [{o: {cache: false}}]}\n"
    line.put(dvc_yaml=cached)
    line.repro()
    line.put(dvc_yaml=held)
    line.repro(force=True)
    assert not (line.root / ".gitignore").exists()
    line.put(dvc_yaml=cached)
    line.repro(force=True)
    for name, value in (("user.email", "a@example.org"), ("user.name", "a")):
        line.git.run("config", name, value)
    line.git.run("add", "--all")
    line.git.run("commit", "--quiet", "--message", "one")
    line.repo.state.take_ignored("o")  # as in a clone
    line.put(dvc_yaml=held)
    line.repro(force=True)
    assert not (line.root / ".gitignore").exists()


def test_what_the_user_has_git_ignore_stays_so(line: Line) -> None:
    line.put(dvc_yaml="stages:\n  s: {cmd: echo 1 > o, outs: [{o: {cache: false}}]}\n", _gitignore="/o\n")
    line.repro()
    line.repro(force=True)
    assert line.read(".gitignore") == "/o\n"


def test_a_stage_that_writes_its_own_dependency_is_told_what_to_mend(line: Line) -> None:
    line.put(dvc_yaml="stages:\n  s: {cmd: cat a > b; echo more >> a, deps: [a], outs: [b]}\n", a="1\n")
    for _ in range(2):
        with pytest.raises(Invalid, match="stage `s`: a changed while it ran") as caught:
            line.repro()
        assert caught.value.hint == (
            "where its command writes a, let it write an output of its own, or take that out of `deps` in dvc.yaml; where "
            "something else did, leave it alone while the stage runs, then penstock repro s"
        )
    assert load_lock(line.root) == {}


def test_a_frozen_stage_without_its_outputs_is_no_failed_command(line: Line) -> None:
    both = (
        "stages:\n  s: {cmd: echo 1 > o, outs: [o], frozen: true}\n  t: {cmd: cp o p, deps: [o], outs: [p]}\n"
    )
    line.put(dvc_yaml=both)
    assert line.repro(dry=True) == {"s": "would fail", "t": "would run"}
    with pytest.raises(NotFound, match="stage `s` is frozen and has no output o") as caught:
        line.repro()
    assert caught.value.hint == "penstock unfreeze s, then penstock repro s; not run: t"
    line.put(dvc_yaml=both.replace(", frozen: true", ""))
    assert line.repro() == {"s": "ran", "t": "ran"}
    line.put(dvc_yaml=both)
    (line.root / "o").unlink()
    assert line.repro(dry=True)["s"] == "would fail"
    assert line.repro(dry=True, allow_missing=True)["s"] == "frozen"
    with pytest.raises(NotFound) as caught:
        line.repro()
    assert caught.value.hint is not None and caught.value.hint.startswith(
        "penstock pull s brings what is locked"
    )
    line.put(o="by hand")
    assert line.repro(dry=True)["s"] == "would record"
    assert line.ran == ["s", "t"]


def test_a_text_that_ends_with_a_colon_is_a_parameter_as_in_dvc(line: Line) -> None:
    line.put(dvc_yaml=PARAMETER % "other.json:", other_json='{"a": 1}', params_yaml="a: 1\n")
    with pytest.raises(NotFound, match=r"'other\.json:', which params\.yaml does not have") as caught:
        line.repro()
    assert caught.value.hint == (
        "for all of other.json write it on a line of its own, `- other.json:`, or with a blank, `[other.json: ]`"
    )
    line.put(dvc_yaml=PARAMETER % "other.json: ")
    assert line.repro() == {"s": "ran"}
    line.put(dvc_yaml=PARAMETER % "other.json:")
    line.put(params_yaml="'other.json:': 1\n")
    assert line.repro() == {"s": "ran"}
