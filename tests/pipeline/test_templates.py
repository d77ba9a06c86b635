"""Templates and groups of stages: what they unfold to, and what is refused by name."""

from __future__ import annotations

from pathlib import Path

import pytest

from penstock.base.errors import Invalid
from penstock.pipeline.context import Context, text_of
from penstock.pipeline.definition import load_stages
from penstock.pipeline.templates import resolve_stages
from tables import table

PARAMS = "a: 1\nb: {c: [x, y], d: true}\nname: out\n"


def stages(root: Path, text: str, **files: str) -> dict[str, str]:
    (root / "params.yaml").write_text(PARAMS)
    for name, content in files.items():
        (root / f"{name}.yaml").write_text(content)
    (root / "dvc.yaml").write_text(text)
    return {stage.name: "; ".join(stage.commands) for stage in load_stages(root)}


def test_names_are_filled_in_everywhere(tmp_path: Path) -> None:
    text = "stages:\n  s:\n    cmd: run ${a} ${b.c[1]} ${b.d}\n    deps: ['${name}.in']\n    outs:\n    - ${name}:\n        cache: false\n"
    assert stages(tmp_path, text) == {"s": "run 1 y true"}
    (stage,) = load_stages(tmp_path)
    assert stage.dependencies == ("out.in",)
    assert [(output.path, output.is_cached) for output in stage.outputs] == [("out", False)]


def test_a_number_may_be_a_whole_path_or_command(tmp_path: Path) -> None:
    text = "stages:\n  s:\n    foreach: [1]\n    do: {cmd: '${item}', deps: ['${item}'], outs: ['${a}', {'${item}': {cache: '${b.d}'}}]}\n"
    assert stages(tmp_path, text) == {"s@1": "1"}
    (stage,) = load_stages(tmp_path)
    assert stage.dependencies == ("1",)
    assert [(output.path, output.is_cached) for output in stage.outputs] == [("1", True), ("1", True)]


def test_an_escaped_template_is_left(tmp_path: Path) -> None:
    assert stages(tmp_path, "stages:\n  s:\n    cmd: echo \\${HOME} ${a}\n") == {"s": "echo ${HOME} 1"}
    assert stages(tmp_path, "stages:\n  s:\n    cmd: echo \\${HOME}\n") == {"s": "echo ${HOME}"}


def test_a_shell_variable_without_braces_is_no_template(tmp_path: Path) -> None:
    assert stages(tmp_path, "stages:\n  s:\n    cmd: echo $HOME\n") == {"s": "echo $HOME"}


@pytest.mark.parametrize(
    ("entry", "expected"),
    [
        (
            "foreach: [u, 2, true]\n    do: {cmd: 'run ${item}'}",
            {"s@u": "run u", "s@2": "run 2", "s@True": "run true"},
        ),
        (
            "foreach: {p: {n: 1}, q: {n: 2}}\n    do: {cmd: 'run ${key} ${item.n}'}",
            {"s@p": "run p 1", "s@q": "run q 2"},
        ),
        ("foreach: [{n: 1}, {n: 2}]\n    do: {cmd: 'run ${item.n}'}", {"s@0": "run 1", "s@1": "run 2"}),
        ("foreach: ${b.c}\n    do: {cmd: 'run ${item}'}", {"s@x": "run x", "s@y": "run y"}),
        (
            "matrix: {m: [1, 2], k: ['${name}']}\n    cmd: run ${item.m} ${item.k} ${key}",
            {"s@1-out": "run 1 out 1-out", "s@2-out": "run 2 out 2-out"},
        ),
        ("matrix: {m: [{n: 1}, {n: 2}]}\n    cmd: run ${item.m.n}", {"s@m0": "run 1", "s@m1": "run 2"}),
    ],
)
def test_groups_unfold(tmp_path: Path, entry: str, expected: dict[str, str]) -> None:
    assert stages(tmp_path, f"stages:\n  s:\n    {entry}\n") == expected


def test_files_and_literals_of_a_stage_are_its_own(tmp_path: Path) -> None:
    text = (
        "vars: [more.yaml, 'part.yaml:k', {lit: 3}]\nstages:\n  s:\n    vars: [{own: 4}]\n"
        "    cmd: run ${m} ${k} ${lit} ${own}\n"
    )
    assert stages(tmp_path, text, more="m: 1", part="k: 2\nother: 9") == {"s": "run 1 2 3 4"}
    with pytest.raises(Invalid, match="own"):
        stages(tmp_path, text + "  t:\n    cmd: run ${own}\n", more="m: 1", part="k: 2\nother: 9")


@table(
    ("text", "said"),
    [
        ("stages:\n  s:\n    cmd: run ${nothing}\n", "nothing"),
        ("stages:\n  s:\n    cmd: run ${a.b}\n", "no 'b'"),
        ("stages:\n  s:\n    cmd: run ${b.c[7]}\n", "no '7'"),
        ("stages:\n  s:\n    cmd: run ${b.c}\n", "a list"),
        ("stages:\n  s:\n    cmd: run\n    deps: ['${b}']\n", "a mapping"),
        ("stages:\n  s:\n    cmd: run ${a[}\n", "is not a name"),
        ("stages:\n  s:\n    cmd: run ${}\n", "is not a name"),
        ("vars: [{a: 2}]\nstages:\n  s:\n    cmd: run ${a}\n", "`a` in vars"),
        ("vars: [absent.yaml]\nstages:\n  s:\n    cmd: run\n", "does not exist"),
        ("vars: ['params.yaml:a']\nstages:\n  s:\n    cmd: run\n", "loaded already"),
        ("stages:\n  s:\n    foreach: [1]\n    do: {cmd: x, vars: [{item: 3}]}\n", "reserved"),
        ("stages:\n  s:\n    foreach: 5\n    do: {cmd: x}\n", "list or a mapping"),
        ("stages:\n  s:\n    foreach: [1]\n    cmd: x\n", "goes with `do`"),
        ("stages:\n  s:\n    matrix: [1]\n    cmd: x\n", "mapping of names to lists"),
        ("stages:\n  s:\n    foreach: [1]\n    do: {cmd: x, depps: [y]}\n", "unknown key `depps`"),
        ("stages:\n  s:\n    foreach: [1]\n    do: {deps: ['${item}']}\n", "missing key `cmd`"),
    ],
)
def test_what_is_wrong_is_named_with_its_stage(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(Invalid) as caught:
        stages(tmp_path, text)
    assert said in caught.value.message
    assert "dvc.yaml" in caught.value.message


def test_without_templates_errors_still_name_lines(tmp_path: Path) -> None:
    with pytest.raises(Invalid, match=r"dvc.yaml:3: unknown key `depps`"):
        stages(tmp_path, "stages:\n  s:\n    depps: [x]\n    cmd: x\n")


def test_a_mapping_becomes_flags(tmp_path: Path) -> None:
    given = {"on": True, "off": False, "n": [1, "a b"], "deep": {"k": "it's"}, "none": None}
    for flags, expected in [
        ({}, "--on --n 1 'a b' --deep.k 'it'\"'\"'s' --none None"),
        (
            {"bool": "boolean_optional", "list": "append"},
            "--on --no-off --n 1 --n 'a b' --deep.k 'it'\"'\"'s' --none None",
        ),
    ]:
        context = Context(tmp_path, flags)
        context.add({"given": given}, "test")
        assert context.resolve("run ${given}", "cmd") == f"run {expected}"


def test_text_is_python_s_but_for_booleans() -> None:
    assert [text_of(one) for one in (True, None, 1e-05, "x")] == ["true", "None", "1e-05", "x"]


def test_stages_of_items_are_named_as_dvc_names_them(tmp_path: Path) -> None:
    document = {
        "stages": {
            "s": {"foreach": [True, False, None, 1.5], "do": {"cmd": "echo ${item}"}},
            "x": {"matrix": {"a": [True], "b": [1.0, "t"]}, "cmd": "echo ${key} ${item.a}"},
        }
    }
    found = resolve_stages(tmp_path / "dvc.yaml", document)
    commands = {name: stage["cmd"] for name, stage in found.items()}
    assert commands == {
        "s@True": "echo true",
        "s@False": "echo false",
        "s@None": "echo None",
        "s@1.5": "echo 1.5",
        "x@True-1.0": "echo True-1.0 true",
        "x@True-t": "echo True-t true",
    }
