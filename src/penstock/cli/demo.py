"""`penstock demo`."""

from __future__ import annotations

import time
from pathlib import Path

import click

from penstock.base.errors import Unavailable
from penstock.cli.output import Session, is_terminal, pass_session


@click.command()
@click.argument("directory", type=click.Path(path_type=Path), default=Path("penstock-demo"))
@click.option("-f", "--force", is_flag=True, help="Replace what an earlier demo left in DIRECTORY.")
@pass_session
def demo(session: Session, directory: Path, force: bool) -> None:
    """Take a model of real flights from data to production, through trouble, and back (2 to 3 minutes)."""
    from contextlib import nullcontext

    from rich.console import Console

    from penstock.demo.deliveries import Flights
    from penstock.demo.shop import Shop, find_example
    from penstock.demo.story import STEPS, Story, further_commands
    from penstock.workspace import environment

    folder = session.directory / directory
    shop = Shop(folder, environment())
    flights = Flights()
    shop.prepare(find_example(), force=force)
    began = time.monotonic()
    lines: list[dict[str, object]] = []
    status = Console(stderr=True).status("starting …") if is_terminal() and not session.quiet else None
    story = Story(
        shop, flights, (lambda text: status.update(f"  {text} …")) if status else (lambda text: None)
    )
    try:
        with status or nullcontext():
            for number, (title, step) in enumerate(STEPS, 1):
                started = time.monotonic()
                try:
                    line = step(story)
                except Unavailable as error:
                    hint = f"penstock demo --force repeats it{f'; {error.hint}' if error.hint else ''}"
                    words = f"step {number}, {title}: {error.message}"
                    raise Unavailable(words, code=error.code, hint=hint) from error
                lines.append(
                    {"step": number, "title": title, "line": line, "seconds": time.monotonic() - started}
                )
                if not session.as_json and not session.quiet:
                    heading = click.style(f"{number}. {title}", bold=True)
                    click.echo(f"{heading} ({time.monotonic() - started:.0f} s)\n   {line}")
    finally:
        shop.stop()
    further = further_commands(story, _program(), directory / "flights")
    text = "\n".join(
        [
            f"\nAll six steps held, in {time.monotonic() - began:.0f} s. Look further:",
            *(f"  {one}" for one in further),
        ]
    )
    session.emit({"steps": lines, "numbers": story.numbers, "further": further}, text)


def _program() -> str:
    """Return how a shell finds this program: by name, or by the path it was called with."""
    import shutil
    import sys

    called = Path(sys.argv[0])
    found = shutil.which("penstock")
    if found is not None and called.name == "penstock" and called.exists() and Path(found).samefile(called):
        return "penstock"
    return str(called) if called.name == "penstock" else f"{sys.executable} -m penstock.cli"
