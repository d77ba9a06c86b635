"""Write docs/reference/commands.md from the commands themselves: `python docs/generate_commands.py`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import click

from penstock.cli.main import cli

TARGET = Path(__file__).parent / "reference" / "commands.md"
HEAD = """\
# Commands

<!-- Made by docs/generate_commands.py. Change the commands, then run it again. -->

`penstock [OPTIONS] COMMAND …` works in the repository that holds the current directory. With `--json` a
command prints one JSON document on standard output and nothing else. Progress, hints and errors go to
standard error. What each exit code means stands in [errors](errors.md).
"""


def render() -> str:
    """Return the whole page."""
    root = click.Context(cli, info_name="penstock")
    parts = [HEAD, "## Options of every command\n", *_parameters(cli, root)]
    for name in cli.list_commands(root):
        command = cli.get_command(root, name)
        if command is None:
            raise LookupError(name)
        for level, context, one in _walk(command, root, name, 2):
            usage = " ".join(one.collect_usage_pieces(context))
            parts.append(f"{'#' * level} `{context.command_path}`\n")
            parts.append(f"{_paragraphs(one.help)}\n")
            parts.append(f"    {context.command_path} {usage}".rstrip() + "\n")
            parts += _parameters(one, context)
    return "\n".join(parts).rstrip() + "\n"


def _walk(
    command: click.Command, parent: click.Context, name: str, level: int
) -> Iterator[tuple[int, click.Context, click.Command]]:
    context = click.Context(command, info_name=name, parent=parent)
    yield level, context, command
    if isinstance(command, click.Group):
        for inner in command.list_commands(context):
            found = command.get_command(context, inner)
            if found is not None:
                yield from _walk(found, context, inner, level + 1)


def _parameters(command: click.Command, context: click.Context) -> list[str]:
    rows = [
        record
        for parameter in command.get_params(context)
        if isinstance(parameter, click.Option) and "--help" not in parameter.opts
        if (record := parameter.get_help_record(context)) is not None
    ]
    if not rows:
        return []
    lines = [f"| `{names}` | {text} |" for names, text in ((_cell(a), _cell(b)) for a, b in rows)]
    return ["| option | |\n| --- | --- |\n" + "\n".join(lines) + "\n"]


def _cell(text: str) -> str:
    return " ".join(text.replace("|", "\\|").split())


def _paragraphs(text: str | None) -> str:
    blocks = (text or "").replace("\b", "").strip().split("\n\n")
    return "\n\n".join(" ".join(block.split()) for block in blocks)


if __name__ == "__main__":
    TARGET.parent.mkdir(exist_ok=True)
    TARGET.write_text(render(), encoding="utf-8")
