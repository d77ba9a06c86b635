"""What every command shares: its session, its output, and the table of causes to exit codes.

Standard output carries the result alone (text, or one JSON document with `--json`); progress, hints and
errors go to standard error.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from penstock.base import errors
from penstock.base.jsontext import render_json

F = TypeVar("F", bound=Callable[..., Any])

EXIT_CODES: tuple[tuple[type[errors.PenstockError], int], ...] = (
    (errors.NotARepository, 3),
    (errors.Conflict, 4),
    (errors.Unavailable, 5),
    (errors.PenstockError, 1),
)
EXIT_FAILED = 1
EXIT_USAGE = 2
EXIT_HELD = 6
EXIT_INTERRUPTED = 130


# commands whose text is what the user wants to know; the others tell what they did
ASKED = frozenset(
    [
        "artifacts get",
        "cache dir",
        "config",
        "dag",
        "data status",
        "diff",
        "du",
        "endpoint list",
        "endpoint show",
        "exp diff",
        "exp list",
        "exp show",
        "list",
        "list-url",
        "log",
        "metrics diff",
        "metrics show",
        "model list",
        "model show",
        "monitor backtest",
        "monitor report",
        "monitor rules",
        "params diff",
        "remote list",
        "root",
        "run list",
        "run show",
        "stage list",
        "token create",
        "token list",
        "user list",
        "version",
        "why",
    ]
)


def _command() -> str:
    """Return the own names of the command that runs and its groups; the program's is left out."""
    context = click.get_current_context(silent=True)
    words: list[str] = []
    while context is not None and context.parent is not None:
        words.insert(0, context.command.name or "")
        context = context.parent
    return " ".join(words)


class Session:
    """The global options of one invocation."""

    def __init__(self, directory: Path, *, as_json: bool, quiet: bool, verbose: bool) -> None:
        self.directory = directory
        self.as_json = as_json
        self.quiet = quiet
        self.verbose = verbose

    def emit(self, document: object, text: str | Callable[[], str]) -> None:
        """Print the result: `document` as JSON with `--json`, else `text`.

        `--quiet` hides what a command says of its own work, not what it was asked for (`ASKED`).
        """
        if self.as_json:
            click.echo(render_json(document))
        elif not self.quiet or _command() in ASKED:
            rendered = text if isinstance(text, str) else text()
            if rendered:
                click.echo(rendered)

    def note(self, text: str) -> None:
        """Tell people something that is not the result, on standard error."""
        if not self.quiet:
            click.echo(text, err=True)


pass_session = click.make_pass_decorator(Session)


def json_option(command: F) -> F:
    """Let a command take `--json` after its name too, as DVC's users write it."""

    def set_json(context: click.Context, _parameter: click.Parameter, value: bool) -> None:
        if value:
            context.ensure_object(Session).as_json = True

    return click.option(
        "--json", is_flag=True, expose_value=False, callback=set_json, help="Print one JSON document."
    )(command)


def exit_code(error: errors.PenstockError) -> int:
    """Return the exit code of a cause."""
    return next(code for kind, code in EXIT_CODES if isinstance(error, kind))


def error_document(error: errors.PenstockError) -> dict[str, object]:
    """Return an error as `--json` tells it."""
    return {"code": error.code, "message": error.message, "hint": error.hint, **error.fields}


def report_error(error: errors.PenstockError, *, as_json: bool) -> None:
    """Print what is wrong and what to do: JSON on standard output with `--json`, else text."""
    if as_json:
        click.echo(render_json({"error": error_document(error)}))
        return
    click.echo(f"{click.style('error:', fg='red', bold=True)} {error.message}", err=True)
    if error.hint:
        click.echo(f"{click.style(' hint:', fg='cyan')} {error.hint}", err=True)


def is_terminal() -> bool:
    """Say whether a person watches standard error, so that progress is worth drawing."""
    return sys.stderr.isatty()


def can_ask() -> bool:
    """Say whether a person can be asked: standard input is a terminal."""
    return sys.stdin is not None and sys.stdin.isatty()


def require_yes(question: str, sentence: str, code: str, hint: str) -> None:
    """Ask a person, the one way that commands do; a no ends the command.

    Args:
        sentence: what the command would do, which is refused where nobody can be asked.
        hint: the flag that does it without asking.

    Raises:
        Refused: nobody can be asked.
    """
    if not can_ask():
        raise errors.Refused(f"{sentence}, and nobody can be asked", code=code, hint=hint)
    click.confirm(question, abort=True, err=True)
