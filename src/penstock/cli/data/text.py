"""What the data commands print for people."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from penstock.cli.tables import render_grid


def render_status(found: dict[str, Any] | list[Any] | str, depth: int = 0) -> str:
    """Indent a status document as `dvc status` prints it."""
    indent = "\t" * depth
    if isinstance(found, str):
        return f"{indent}{found}"
    if isinstance(found, list):
        return "\n".join(render_status(entry, depth) for entry in found)
    lines = []
    for key, value in found.items():
        if isinstance(value, str):
            lines.append(f"{indent}{value + ':':<20}{key}")
        elif value:
            lines += [f"{indent}{key}:", render_status(value, depth + 1)]
    return "\n".join(lines)


def render_advice(changed: Sequence[Path], base: Path, *, with_git: bool) -> str:
    """Return what to type next, from `base`, so that git knows of changed files; without git, which they are."""
    paths = dict.fromkeys(changed)
    if not with_git:
        return "\n".join(f"Wrote {os.path.relpath(path, base)}" for path in paths if path.exists())
    import shlex

    names = [os.path.relpath(path, base) for path in paths]
    return f"To track the changes with git, run:\n\n\tgit add {' '.join(map(shlex.quote, names))}"


def by_change(changes: Any) -> dict[str, list[str]]:
    """Group changed paths by what happened to them."""
    kinds: dict[str, list[str]] = {"added": [], "deleted": [], "modified": []}
    for path, change in changes.items():
        kinds[change].append(path)
    return kinds


def shown_paths(changes: Mapping[str, str], root: Path, base: Path) -> dict[str, str]:
    """Return changed paths as seen from `base`; a directory that is there ends with a slash."""
    found = {}
    for path, change in changes.items():
        place = root / path
        found[os.path.relpath(place, base) + ("/" if place.is_dir() else "")] = change
    return found


def render_changes(changes: Any) -> str:
    """List changed paths with a letter each."""
    letters = {"added": "A", "modified": "M", "deleted": "D"}
    return "\n".join(f"{letters[change]}       {path}" for path, change in sorted(changes.items()))


def render_summary(counts: Mapping[str, int]) -> str:
    """Say how many files changed, in DVC's words.

    Example:
        >>> render_summary({"modified": 1, "added": 3, "deleted": 0})
        '1 file modified and 3 files added'
    """
    order = ("modified", "added", "deleted")
    told = [
        f"{counts[kind]} file{'s' if counts[kind] > 1 else ''} {kind}" for kind in order if counts.get(kind)
    ]
    head = ", ".join(told[:-1])
    return f"{head} and {told[-1]}" if head else told[0] if told else "No changes."


def natural_size(size: int) -> str:
    """Return a size as `dvc list --size` and `dvc du` print it (dvc/utils/humanize.py): binary, three digits.

    Example:
        >>> natural_size(999), natural_size(2048), natural_size(123 << 20)
        ('999', '2.00k', '123M')
    """
    if size < 1024:
        return str(size)
    value = float(size)
    for unit in ("", "k", "M", "G", "T", "P", "E", "Z"):
        if abs(value) < 999.5:
            if abs(value) < 99.95:
                return f"{value:1.2f}{unit}" if abs(value) < 9.995 else f"{value:2.1f}{unit}"
            return f"{value:3.0f}{unit}"
        value /= 1024
    return f"{value:3.1f}Y"


def render_diff(found: dict[str, list[dict[str, Any]]], *, markdown: bool) -> str:
    """List the entries of a diff by kind, or as a Markdown table."""
    rows = []
    for kind in ("added", "deleted", "renamed", "modified", "not in cache"):
        for entry in found.get(kind, []):
            path, digest = entry["path"], entry.get("hash")
            name = f"{path['old']} -> {path['new']}" if isinstance(path, dict) else path
            if isinstance(digest, dict):
                digest = f"{digest['old'][:8]}..{digest['new'][:8]}"
            rows.append((kind, (digest or "")[: 18 if ".." in (digest or "") else 8], name))
    if markdown:
        return _markdown(rows, with_digests=any(digest for _, digest, _ in rows))
    lines = []
    for kind in dict.fromkeys(kind for kind, _, _ in rows):
        lines.append(f"{kind.capitalize()}:")
        lines += [f"    {digest}{'  ' if digest else ''}{name}" for one, digest, name in rows if one == kind]
        lines.append("")
    files = [(kind, name) for kind, _, name in rows if not name.endswith("/")]
    counts = {kind: sum(one == kind for one, _ in files) for kind in dict.fromkeys(kind for kind, _ in files)}
    if counts:
        lines.append("files summary: " + ", ".join(f"{count} {kind}" for kind, count in counts.items()))
    return "\n".join(lines)


def _markdown(rows: Sequence[tuple[str, str, str]], *, with_digests: bool) -> str:
    if with_digests:
        return render_grid(("Status", "Hash", "Path"), rows, markdown=True)
    return render_grid(("Status", "Path"), [(kind, name) for kind, _, name in rows], markdown=True)
