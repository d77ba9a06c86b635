"""Tables as DVC prints them: plain columns two blanks apart, or Markdown.

Source: the formats `plain` and `github` of the tabulate package, as dvc/ui/table.py (3.67) uses them.
"""

from __future__ import annotations

from collections.abc import Sequence

PADDING = 2


def render_grid(headers: Sequence[str], rows: Sequence[Sequence[str]], *, markdown: bool) -> str:
    r"""Return rows under their headings; plain and without rows, nothing.

    Example:
        >>> print(render_grid(("Path", "n"), [("a.json", "1")], markdown=False))
        Path    n
        a.json  1
        >>> render_grid(("Path",), [("a.json",)], markdown=True).splitlines()
        ['| Path   |', '|--------|', '| a.json |']
    """
    if not rows and not markdown:
        return ""
    widths = [max([len(word) + PADDING, *(len(row[at]) for row in rows)]) for at, word in enumerate(headers)]
    lines = [[cell.ljust(width) for cell, width in zip(row, widths, strict=True)] for row in (headers, *rows)]
    if not markdown:
        return "\n".join("  ".join(cells).rstrip() for cells in lines)
    heading, *body = ["| " + " | ".join(cells) + " |" for cells in lines]
    rule = "|" + "|".join("-" * (width + 2) for width in widths) + "|"
    return "\n".join([heading, rule, *body, ""])
