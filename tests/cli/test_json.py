"""`--json` gives one JSON document on standard output, or nothing, from every command there is."""

from __future__ import annotations

import io
from typing import Any

import click
import pytest

from base.test_jsontext import strict
from penstock.cli.catalogue import COMMANDS, Catalogue
from penstock.cli.main import run

from .conftest import Desk

# these do not end, take minutes, or print what other programs read
LONG = {"serve", "server", "up", "demo", "monitor run", "ci run", "completion", "git-hook"}
FIRST = ("destroy",)  # leaves nothing behind for the others
NO_NUMBER = '{"auc": NaN, "deep": {"x": -Infinity, "2024": [NaN]}}'


def _commands() -> list[tuple[str, ...]]:
    """Return every command by its words, those of groups too."""
    catalogue = Catalogue("penstock")
    context = click.Context(catalogue)
    found: list[tuple[str, ...]] = []

    def walk(words: tuple[str, ...], command: click.Command | None) -> None:
        if isinstance(command, click.Group):
            for name, inner in command.commands.items():
                walk((*words, name), inner)
        elif " ".join(words) not in LONG and words[0] not in LONG:
            found.append(words)

    for name in sorted(COMMANDS):
        walk((name,), catalogue.get_command(context, name))
    return sorted(found, key=lambda words: words[0] in FIRST)


def test_every_command_prints_one_document_or_nothing(
    desk: Desk, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    desk.put({"data/a": "a", "m.json": NO_NUMBER, "params.yaml": "lr: .nan\n2024-01-01: .inf\n1: [.nan]\n"})
    desk.put(
        {
            "dvc.yaml": "stages:\n  s: {cmd: cp m.json n.json, deps: [m.json], params: [lr], metrics: [n.json]}\n"
            "metrics: [m.json]\nparams: [params.yaml]\n"
        }
    )
    monkeypatch.chdir(desk.root)
    monkeypatch.setattr("sys.stdin", io.StringIO())
    for name, value in {"HOME": str(desk.home), "GIT_CONFIG_GLOBAL": "/dev/null"}.items():
        monkeypatch.setenv(name, value)
    arguments: tuple[tuple[str, ...], ...]
    for arguments in (("add", "data"), ("repro",), ("repro",), *_commands()):
        for more in ((), ("data",)):
            capfd.readouterr()
            code = run(["--json", "-C", str(desk.root), *arguments, *more])
            printed = capfd.readouterr().out
            if printed:
                document: Any = strict(printed)
                is_error = isinstance(document, dict) and "error" in document
                assert is_error or code in {0, 1}, (arguments, printed)
                assert not (is_error and document["error"].get("code") == "defect"), (arguments, printed)
            assert printed or code in {0, 130}, arguments  # 130: a question that nobody answers


def test_numbers_that_are_none_are_shown_and_compared(desk: Desk) -> None:
    desk.put({"m.json": NO_NUMBER, "dvc.yaml": "metrics: [m.json]\n"})
    desk.commit_all()
    shown = strict(desk.run("metrics", "show", "--json").stdout)
    assert shown == {"": {"data": {"m.json": {"data": {"auc": "NaN", "deep": {"x": "-Infinity"}}}}}}
    assert strict(desk.run("metrics", "diff", "--json").stdout) == {}
    desk.put({"m.json": '{"auc": 0.5, "deep": {"x": -Infinity}}'})
    difference = strict(desk.run("metrics", "diff", "--json").stdout)
    assert difference == {"m.json": {"auc": {"old": "NaN", "new": 0.5, "diff": "NaN"}}}
