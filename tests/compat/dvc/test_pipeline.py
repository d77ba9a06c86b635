"""Pipelines both ways: what one tool ran, the other finds done; lock and run cache are equal byte for byte."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from compat.dvc.tools import Tool, git

pytestmark = [pytest.mark.slow, pytest.mark.dvc("remembered")]

DVC_YAML = """\
stages:
  split:
    cmd: mkdir -p parts && head -n 2 data.txt > parts/a && tail -n 1 data.txt > 'parts/b ü'
    deps: [data.txt]
    outs: [parts]
  count:
    cmd:
      - wc -c parts/a > sizes/n.txt
      - printf '{"n":3}' > sizes/m.json
    wdir: .
    deps: [parts]
    params: [rate, nested.deep, {other.json: null}]
    outs:
      - sizes/n.txt
    metrics:
      - sizes/m.json: {cache: false}
  long:
    wdir: sub
    cmd: cat ../sizes/n.txt ../parts/a ../parts/a ../parts/a ../parts/a ../parts/a ../parts/a ../parts/a > out.txt
    deps: [../sizes/n.txt]
    params: [{local.yaml: [x]}]
    outs: [out.txt]
    meta: {anything: [1]}
"""


def write_pipeline(root: Path) -> None:
    files = {
        "dvc.yaml": DVC_YAML,
        "data.txt": "one\ntwo\nthree\n",
        "params.yaml": "rate: 1.0e-05\nnested: {deep: [1, {a: true}], other: 2}\nunused: 1\n",
        "other.json": '{"k": null, "s": "ü: x", "yes": "yes"}',
        "sub/local.yaml": "x: 'on'\ny: 1\n",
    }
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
    (root / "sizes").mkdir()


def tree(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()
    }


def test_both_write_the_same_lock_and_run_cache(
    make_repo: Callable[[str, Tool], Path], dvc: Tool, penstock: Tool
) -> None:
    roots = {tool.name: make_repo(tool.name, tool) for tool in (dvc, penstock)}
    for tool in (dvc, penstock):
        write_pipeline(roots[tool.name])
        tool(roots[tool.name], "repro")
    ours, theirs = roots["penstock"], roots["dvc"]
    assert (ours / "dvc.lock").read_text() == (theirs / "dvc.lock").read_text()
    assert tree(ours / ".dvc/cache/runs") == tree(theirs / ".dvc/cache/runs")
    assert tree(ours / ".dvc/cache/files").keys() == tree(theirs / ".dvc/cache/files").keys()
    assert (ours / ".gitignore").read_text() == (theirs / ".gitignore").read_text()


def test_what_one_ran_the_other_finds_done(
    make_repo: Callable[[str, Tool], Path], sides: tuple[Tool, Tool]
) -> None:
    writer, reader = sides
    root = make_repo("project", writer)
    write_pipeline(root)
    writer(root, "repro")
    assert reader.json(root, "status") == {}
    before = (root / "dvc.lock").read_bytes()
    reader(root, "repro")
    assert (root / "dvc.lock").read_bytes() == before


@pytest.mark.parametrize(
    ("change", "stage"),
    [
        (("params.yaml", "rate: 1.0e-05", "rate: 2"), "count"),
        (("params.yaml", "deep: [1", "deep: [2"), "count"),
        (("other.json", "ü: x", "y"), "count"),
        (("data.txt", "two", "zwei"), "split"),
        (("dvc.yaml", "printf", "printf  "), "count"),
        (("sub/local.yaml", "'on'", "off"), "long"),
    ],
)
def test_both_see_the_same_change(
    make_repo: Callable[[str, Tool], Path],
    dvc: Tool,
    penstock: Tool,
    change: tuple[str, str, str],
    stage: str,
) -> None:
    root = make_repo("project", penstock)
    write_pipeline(root)
    penstock(root, "repro")
    name, old, new = change
    path = root / name
    path.write_text(path.read_text().replace(old, new))
    ours, theirs = penstock.json(root, "status"), dvc.json(root, "status")
    assert ours == theirs
    assert stage in ours


def test_a_deleted_output_is_seen_alike_and_comes_back(
    make_repo: Callable[[str, Tool], Path], dvc: Tool, penstock: Tool
) -> None:
    root = make_repo("project", penstock)
    write_pipeline(root)
    penstock(root, "repro")
    shutil.rmtree(root / "parts")
    assert penstock.json(root, "status") == dvc.json(root, "status")
    penstock(root, "repro")
    assert dvc.json(root, "status") == {}


@pytest.mark.dvc("real")
def test_the_run_cache_of_one_serves_the_other(
    make_repo: Callable[[str, Tool], Path], sides: tuple[Tool, Tool]
) -> None:
    writer, reader = sides
    root = make_repo("project", writer)
    write_pipeline(root)
    (root / "dvc.yaml").write_text(DVC_YAML.replace("wc -c parts/a", "date +%N > when && wc -c parts/a"))
    writer(root, "repro")
    when = (root / "when").read_text()
    (root / "dvc.lock").unlink()
    shutil.rmtree(root / "parts")
    (root / "sizes/m.json").unlink()
    reader(root, "repro")
    assert (root / "when").read_text() == when
    assert (root / "sizes/m.json").read_text() == '{"n":3}'
    assert writer.json(root, "status") == {}


@pytest.mark.dvc("real")
def test_pushed_outputs_reach_the_other_tools_clone(
    make_repo: Callable[[str, Tool], Path], sides: tuple[Tool, Tool], tmp_path: Path
) -> None:
    writer, reader = sides
    root = make_repo("project", writer)
    write_pipeline(root)
    writer(root, "repro")
    writer(root, "remote", "add", "-d", "storage", str(tmp_path / "storage"))
    writer(root, "push")
    git(root, "add", "-A")
    git(root, "commit", "-qm", "state")
    git(tmp_path, "clone", "-q", str(root), "clone")
    reader(tmp_path / "clone", "pull")
    assert tree(tmp_path / "clone/parts") == tree(root / "parts")
    assert reader.json(tmp_path / "clone", "status") == {}
    assert writer.json(tmp_path / "clone", "status") == {}


TEMPLATED = """
vars:
  - more.yaml
  - b: two
stages:
  one:
    cmd: echo ${a} ${b} ${m.q} \\${HOME} ${train.names[1]} > ${p}1
    outs: ["${p}1"]
  flags:
    cmd: echo ${train} > flags.out
    outs: [flags.out]
  each:
    foreach: [u, v]
    do:
      cmd: echo ${item} > ${item}.txt
      outs: ["${item}.txt"]
  named:
    foreach: ${models}
    do:
      vars: [{z: 5}]
      cmd: echo ${key} ${item.n} ${z} > ${key}.m
      params: [a]
      outs:
        - ${key}.m:
            cache: false
  placed:
    foreach: [{x: 1}, {x: 2}]
    do:
      cmd: echo ${item.x} > placed${item.x}
      outs: ["placed${item.x}"]
  combined:
    matrix:
      os: [l, w]
      n: ${lst}
      o: [{k: 1}, {k: 2}]
    cmd: echo ${item.os} ${item.n} ${item.o.k} ${key} > mx-${key}
    outs: ["mx-${key}"]
  elsewhere:
    wdir: ${p}dir
    cmd: echo ${a} > f
    outs: [f]
"""
VALUES = """
a: 1
train: {lr: 0.1, flag: true, off: false, names: [x, "y z"], nested: {k: v}}
models: {big: {n: 10}, small: {n: 2}}
lst: [1, 2]
p: out
"""


@pytest.mark.dvc("real")
def test_templates_and_groups_leave_the_same_lock(make_repo, dvc: Tool, penstock: Tool) -> None:  # type: ignore[no-untyped-def]
    locks = []
    for tool in (dvc, penstock):
        root = make_repo(f"templates-{tool.name}", tool)
        (root / "params.yaml").write_text(VALUES)
        (root / "more.yaml").write_text("m: {q: 7}\n")
        (root / "dvc.yaml").write_text(TEMPLATED)
        (root / "outdir").mkdir()
        tool(root, "repro")
        locks.append(root)
    theirs, ours = ((root / "dvc.lock").read_text() for root in locks)
    assert sorted(ours.splitlines()) == sorted(theirs.splitlines())
    assert dvc.json(locks[1], "status") == penstock.json(locks[0], "status") == {}
    (locks[1] / "u.txt").unlink()
    (locks[1] / "v.txt").unlink()
    penstock(locks[1], "repro", "each")
    assert (locks[1] / "v.txt").read_text() == "v\n"
