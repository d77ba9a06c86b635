"""A line that shows how far a transfer is, how fast, and how long it may take; drawn on terminals only."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from penstock.cli.output import Session, is_terminal

Show = Callable[[int, int, int], None]  # objects done, objects in all, bytes done


@contextmanager
def shown_progress(session: Session, verb: str) -> Iterator[Show | None]:
    """Yield what to call after each object, or None where nobody watches; the line goes away at the end.

    Rates are those since the start; the estimate is rich's, over the last seconds.
    """
    if session.quiet or not is_terminal():
        yield None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("objects {task.fields[rate]}"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as line:
        task = line.add_task(verb, total=None, rate="")
        started = time.monotonic()

        def show(done: int, total: int, size_bytes: int) -> None:
            seconds = max(time.monotonic() - started, 1e-3)
            line.update(task, completed=done, total=total, rate=render_rate(done, size_bytes, seconds))

        yield show


def render_rate(object_count: int, size_bytes: int, seconds: float) -> str:
    """Return how fast that is.

    Example:
        >>> render_rate(3000, 12_000_000, 2)
        '1,500/s, 6.0 MB/s'
    """
    return f"{object_count / seconds:,.0f}/s, {size_bytes / seconds / 1e6:,.1f} MB/s"
