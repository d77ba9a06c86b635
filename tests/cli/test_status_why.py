"""`status --why`, `dag --svg` and the warning of what a stage imports: why something runs, in the user's own lines."""

from __future__ import annotations

import sys
from xml.etree import ElementTree

from .conftest import Desk

PIPELINE = f"""\
stages:
  clean:
    cmd: {sys.executable} src/clean.py
    deps: [raw, src/clean.py, many]
    params: [rate, model.depth]
    outs: [cleaned]
  train:
    cmd: cp cleaned model
    deps: [cleaned]
    outs: [model]
"""
CLEAN = "import helper\nfrom inner import deep\n\nLIMIT = 3\nopen('cleaned', 'w').write(open('raw').read())\n"


def test_of_a_mapping_the_inner_keys_that_changed_are_told_and_a_misspelt_stage_is_named(desk: Desk) -> None:
    desk.put(
        {
            "dvc.yaml": "stages:\n  'a b': {cmd: touch o, params: [net], outs: [o]}\n",
            "params.yaml": "net: {depth: 3, gone: 1, same: {x: 1}}\n",
        }
    )
    desk.run("repro")
    assert desk.error("status", "--why", "a").count("stages: a b") == 1
    desk.put({"params.yaml": "net: {depth: 4, same: {x: 1}, more: {y: 2}}\n"})
    assert desk.run("status", "--why").stdout.splitlines() == [
        "a b:",
        "\tparameter params.yaml:net.depth: 3 -> 4",
        "\tparameter params.yaml:net.gone deleted (1)",
        "\tparameter params.yaml:net.more.y new (2)",
    ]
    desk.put({"dvc.yaml": "stages:\n  'a b': {cmd: exit 3, params: [net], outs: [o]}\n"})
    assert "penstock repro -s 'a b'" in desk.error("repro")


def test_it_says_what_changed_down_to_the_line(desk: Desk) -> None:
    desk.put(
        {
            "dvc.yaml": PIPELINE,
            "params.yaml": "rate: 0.1\nmodel: {depth: 3}\n",
            "raw": "1",
            "src/clean.py": CLEAN,
            "src/helper.py": "import sys\n",
            "src/inner/__init__.py": "",
            "src/inner/deep.py": "from . import deeper\n",
            "src/inner/deeper.py": "",
            "many/a": "1",
            "many/b": "1",
        }
    )
    assert desk.json("status", "--why")["clean"] == [
        {"kind": "never ran", "subject": "clean", "change": "it never ran"}
    ]
    desk.run("add", "many")
    desk.git("add", "-A")
    desk.git("commit", "-qm", "x")
    told = desk.run("repro").stderr
    assert told.count("warning:") == 1
    for name in ("src/helper.py", "src/inner/__init__.py", "src/inner/deep.py", "src/inner/deeper.py"):
        assert name in told
    assert desk.json("status", "--why") == {}
    desk.put(
        {
            "params.yaml": "rate: 0.2\nmodel: {depth: 3}\n",
            "src/clean.py": CLEAN.replace("LIMIT = 3", "LIMIT = 4\nMORE = 1"),
            "many/a": "2",
            "many/c": "1",
            "dvc.yaml": PIPELINE.replace("cp cleaned", "cp -f cleaned"),
        }
    )
    (desk.root / "model").unlink()
    found = desk.json("status", "--why")
    by_subject = {one["subject"]: one for one in found["clean"]}
    assert by_subject["params.yaml:rate"] == {
        "kind": "parameter",
        "subject": "params.yaml:rate",
        "change": "modified",
        "old": 0.1,
        "new": 0.2,
    }
    assert by_subject["src/clean.py"]["lines"] == [
        "@@ -4 +4,2 @@",
        "- LIMIT = 3",
        "+ LIMIT = 4",
        "+ MORE = 1",
    ]
    assert by_subject["many"]["lines"] == ["~ a", "+ c"]
    train = {one["kind"]: one for one in found["train"]}
    assert (train["command"]["old"], train["command"]["new"]) == ("cp cleaned model", "cp -f cleaned model")
    assert train["output"]["subject"] == "model" and train["stage"]["subject"] == "clean"
    text = desk.run("status", "--why", "clean").stdout
    assert (
        "parameter params.yaml:rate: 0.1 -> 0.2" in text and "\t\t+ LIMIT = 4" in text and "train" not in text
    )
    assert "no stage or output is called 'x'" in desk.error("status", "--why", "x")
    desk.error("status", "--why", "-c", code=2)
    picture = ElementTree.fromstring(desk.run("dag", "--svg").stdout)
    titles = [one.text for one in picture.iter("{http://www.w3.org/2000/svg}title")]
    assert titles == ["many.dvc", "clean", "train"]


def test_of_a_directory_of_git_the_files_that_changed_are_named(desk: Desk) -> None:
    desk.put(
        {
            "dvc.yaml": "stages:\n  one: {cmd: touch made, deps: [src], outs: [made]}\n",
            "src/a.py": "1\n",
            "src/in/b é.py": "2\n",
            "src/c.py": "3\n",
        }
    )
    desk.run("repro")
    desk.git("add", "-A")
    desk.git("commit", "-qm", "made")
    desk.put({"src/c.py": "4\n"})
    desk.git("commit", "-qam", "a later one")
    desk.put({"src/in/b é.py": "5\n", "src/d.py": "6\n"})
    (desk.root / "src/a.py").unlink()
    (reason,) = desk.json("status", "--why")["one"]
    assert reason["lines"] == ["- a.py", "~ c.py", "+ d.py", "~ in/b é.py"]


def test_a_change_that_no_line_shows_is_told_in_words(desk: Desk) -> None:
    before = {"crlf": "a\nb\n", "more": "a", "less": "a\n", "odd": "\x00a"}
    after = {"crlf": "a\r\nb\r\n", "more": "a\n", "less": "a", "odd": "\x00ab"}
    desk.put(
        {"dvc.yaml": f"stages:\n  one: {{cmd: touch made, deps: [{', '.join(before)}], outs: [made]}}\n"}
    )
    for texts in (before, after):
        for name, text in texts.items():
            (desk.root / name).write_bytes(text.encode())
        if texts is before:
            desk.run("repro")
            desk.git("add", "-A")
            desk.git("commit", "-qm", "made")
    told = {one["subject"]: one["lines"] for one in desk.json("status", "--why")["one"]}
    assert told == {
        "crlf": ["line endings changed"],
        "more": ["last newline added"],
        "less": ["last newline removed"],
        "odd": ["binary: 2 -> 3 bytes"],
    }
