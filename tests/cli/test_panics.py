"""A library that gives up in Rust is a defect like any other: told in a sentence, with no traceback."""

from __future__ import annotations

import io
import json

import click
import polars as pl
import pytest

from penstock.cli import catalogue, main
from penstock.cli.output import EXIT_FAILED


@click.command("panic")
def panic() -> None:
    """Write what polars has no words for."""
    pl.DataFrame({"x": [b"a"]}).write_ndjson(io.BytesIO())


def test_a_panic_is_told_as_a_defect(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(catalogue, "panic", panic, raising=False)
    monkeypatch.setitem(catalogue.COMMANDS, "panic", ("catalogue:panic", "Panics."))
    assert main.run(["panic"]) == EXIT_FAILED
    said = capsys.readouterr().err
    assert "error: a defect in Penstock: PanicException: " in said
    assert "run the command again with -v" in said
    assert "Traceback" not in said
    assert main.run(["--json", "panic"]) == EXIT_FAILED
    assert json.loads(capsys.readouterr().out.splitlines()[-1] or "{}")["error"]["code"] == "defect"
