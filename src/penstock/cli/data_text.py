"""What the data commands print for people."""

from __future__ import annotations

from typing import Any


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


def by_change(changes: Any) -> dict[str, list[str]]:
    """Group changed paths by what happened to them."""
    kinds: dict[str, list[str]] = {"added": [], "deleted": [], "modified": []}
    for path, change in changes.items():
        kinds[change].append(path)
    return kinds


def render_changes(changes: Any, *, summary: bool = False) -> str:
    """List changed paths with a letter each, or count them."""
    letters = {"added": "A", "modified": "M", "deleted": "D"}
    if summary:
        counts = {kind: len(paths) for kind, paths in by_change(changes).items() if paths}
        return ", ".join(f"{count} {kind}" for kind, count in counts.items()) or "No changes."
    return "\n".join(f"{letters[change]}       {path}" for path, change in sorted(changes.items()))


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
        return "\n".join(
            ["| Status | Path |", "|--------|------|", *(f"| {kind} | {name} |" for kind, _, name in rows)]
        )
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
