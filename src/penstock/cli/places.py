"""Paths that a command is given: they are meant from where one is, which `-C` changes.

What stands in penstock.yaml or dvc.yaml is meant from the project's root instead, and is none of this module's.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import click

from penstock.cli.output import Session


class GivenPath(click.Path):
    """A path, checked where `-C` says that one is; without `-C` it stays as it was given."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return the path as it is found from the process's own directory."""
        return super().convert(_from_here(value, ctx), param, ctx)


class GivenFile(click.File):
    """A file to read, or - for standard input, found where `-C` says that one is."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return the opened file."""
        return super().convert(value if value == "-" else _from_here(value, ctx), param, ctx)


def from_root(directory: Path, root: Path, path: str) -> str:
    """Return a path that is meant from `directory` as the project's root sees it.

    An absolute path outside of the root stays absolute.
    """
    place = Path(os.path.normpath(directory / path))
    for one, base in ((place, root), (place.parent.resolve() / place.name, root.resolve())):
        if one.is_relative_to(base):
            return one.relative_to(base).as_posix()
    return path if os.path.isabs(path) else os.path.relpath(place, root)


def _from_here(value: Any, ctx: click.Context | None) -> Any:
    session = None if ctx is None else ctx.find_object(Session)
    if session is None or not isinstance(value, str | os.PathLike) or session.directory == Path.cwd():
        return value
    return os.path.join(session.directory, value)
