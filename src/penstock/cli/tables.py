"""The one writer of tables: aligned columns for people, and the two formats in which DVC prints its tables.

Not rich: DVC's formats must be equal to the byte, and rich takes 60 ms of each command that prints a few rows.

Source: the formats `plain` and `github` of the tabulate package, as dvc/ui/table.py (3.67) uses them.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

from penstock.cli.printing import one_line

PADDING = 2


def render_table(rows: Sequence[Sequence[object]], headers: Sequence[str], *, none: str = "") -> str:
    """Return rows under their headings, numbers to the right; no rows give `none`, or the headings alone.

    Example:
        >>> print(render_table([("a", 1), ("bc", 20)], ("name", "n")))
        name   n
        a      1
        bc    20
    """
    if none and not rows:
        return none
    cells = [["-" if cell is None else one_line(cell) for cell in row] for row in rows]
    numbers = {
        at
        for at in range(len(headers))
        if rows and all(isinstance(row[at], int | float | None) for row in rows)
    }
    return _join(_align([headers, *cells], right=numbers))


def render_columns(rows: Sequence[Sequence[str]], *, numbers_first: bool) -> str:
    """Return rows without a heading; the first column to the right where it holds numbers."""
    return _join(_align(rows, right={0} if numbers_first else ()))


def render_grid(headers: Sequence[str], rows: Sequence[Sequence[str]], *, markdown: bool) -> str:
    r"""Return rows under their headings as DVC does; plain and without rows, nothing.

    Example:
        >>> print(render_grid(("Path", "n"), [("a.json", "1")], markdown=False))
        Path    n
        a.json  1
        >>> render_grid(("Path",), [("a.json",)], markdown=True).splitlines()
        ['| Path   |', '|--------|', '| a.json |']
    """
    if not rows and not markdown:
        return ""
    lines = _align([headers, *rows], least=[len(word) + PADDING for word in headers])
    if not markdown:
        return _join(lines)
    heading, *body = ["| " + " | ".join(cells) + " |" for cells in lines]
    rule = "|" + "|".join("-" * (len(cell) + 2) for cell in lines[0]) + "|"
    return "\n".join([heading, rule, *body, ""])


def _align(
    rows: Sequence[Sequence[str]], *, right: Collection[int] = (), least: Sequence[int] | None = None
) -> list[list[str]]:
    """Return cells padded to their column's width, which is `least` or more."""
    columns = range(len(rows[0])) if rows else range(0)
    widths = [max([least[at] if least else 0, *(len(row[at]) for row in rows)]) for at in columns]
    return [
        [row[at].rjust(widths[at]) if at in right else row[at].ljust(widths[at]) for at in columns]
        for row in rows
    ]


def _join(lines: Sequence[Sequence[str]]) -> str:
    return "\n".join("  ".join(cells).rstrip() for cells in lines)
