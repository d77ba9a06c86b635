"""A command in a message can be pasted into a shell, whatever the names in it are: each is quoted by `shlex`."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

SOURCE = Path(__file__).parents[2] / "src/penstock"
COMMAND = re.compile(
    r"(?:^|[^\w.])(?:penstock (?!is\b)[a-z]|git (?:add|branch|checkout|rm|diff|update-ref) )[^;,:(`\n]*$"
)
"""The end of a text that is within a command; what stops one is followed by words to read."""
SAFE = {"commit", "word", "what", "role", "needed", "scope", "kind", "number"}
"""What is called so is this program's own word, or digits."""
PUT_TOGETHER = {
    "flag", "again", "canary", "SHELLS[0]", "'|'.join(FILES)", "shell_path(where + MARKDOWN_FILE)",
    "click.get_current_context().meta[CALLED]",
}  # fmt: skip
"""These are quoted before, or constants."""
PART = re.compile(r'^\(?"|\| quoted\b|\[:10\]|\.number $|^to if to ')
"""A part of a command in a template that needs no quotes, or has them."""


def test_names_in_commands_are_quoted() -> None:
    bare = [
        f"{path.relative_to(SOURCE)}:{line}: {{{name}}}"
        for path in sorted(SOURCE.rglob("*.py"))
        for line, name in _bare_in(ast.parse(path.read_text(encoding="utf-8")))
    ]
    assert bare == [], "\n".join(bare)


def _bare_in(tree: ast.Module) -> Iterator[tuple[int, str]]:
    quoted = {
        name.id
        for node in ast.walk(tree)
        if isinstance(node, ast.Assign) and _is_by_shlex(node.value)
        for target in node.targets
        for name in ast.walk(target)
        if isinstance(name, ast.Name)
    }
    for node in ast.walk(tree):
        if not isinstance(node, ast.JoinedStr):
            continue
        text = ""
        for part in node.values:
            if isinstance(part, ast.Constant):
                text += str(part.value)
            elif isinstance(part, ast.FormattedValue):
                if COMMAND.search(text) and not _is_safe(part.value, quoted):
                    yield node.lineno, ast.unparse(part.value)
                text += "x"


def _is_by_shlex(value: ast.expr) -> bool:
    return any(
        isinstance(one, ast.Attribute) and isinstance(one.value, ast.Name) and one.value.id == "shlex"
        for one in ast.walk(value)
    )


def _is_safe(value: ast.expr, quoted: set[str]) -> bool:
    """Whether a value is quoted, or one of this program's own words, or the beginning of an id."""
    if isinstance(value, ast.IfExp):
        return _is_safe(value.body, quoted) and _is_safe(value.orelse, quoted)
    if isinstance(value, ast.Name):
        return value.id in quoted | SAFE | PUT_TOGETHER or value.id.isupper()
    if isinstance(value, ast.Subscript) and isinstance(value.slice, ast.Slice):
        return True
    return (
        ast.unparse(value) in PUT_TOGETHER
        or isinstance(value, ast.Constant | ast.JoinedStr)
        or _is_by_shlex(value)
    )


def test_names_in_commands_of_pages_are_quoted() -> None:
    told = [
        (path.name, command)
        for path in sorted((SOURCE / "http/templates").glob("*.html"))
        for command in re.findall(
            r'"penstock [^"]*" ~ [^}]*|penstock [a-z]+ [^"<]*\{\{[^}]*', path.read_text(encoding="utf-8")
        )
    ]
    bare = [
        (name, part)
        for name, command in told
        for part in re.split(r" ~ |\{\{ ", command)[1:]
        if not PART.search(part)
    ]
    assert len(told) > 10
    assert bare == []
