"""`penstock list`, `list-url` and `du`: what repositories and places behind URLs hold."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, TypedDict, Unpack

import click

from penstock.cli.data.imports import (
    REV,
    OverrideFlags,
    key_values,
    override_options,
    overrides_of,
    repository_for,
)
from penstock.cli.data.text import natural_size
from penstock.cli.many_values import ManyValues
from penstock.cli.output import Session, json_option, pass_session
from penstock.cli.tables import render_columns

if TYPE_CHECKING:
    from penstock.flows.sources.listing import Item

LEVEL = click.option("-L", "--level", type=int, help="Depth of --recursive and --tree.")
RECURSIVE = click.option("-R", "--recursive", is_flag=True, help="List every file below.")
TREE = click.option("-T", "--tree", "as_tree", is_flag=True, help="Draw directories as a tree.")
SIZE = click.option("--size", "with_size", is_flag=True, help="Show sizes.")


class TreeFlags(TypedDict):
    """How a listing goes down, and what it shows."""

    recursive: bool
    as_tree: bool
    with_size: bool


class ListFlags(TreeFlags, OverrideFlags):
    """The options of `list`."""

    level: int | None
    dvc_only: bool
    show_hash: bool


class ListUrlFlags(TreeFlags):
    """The options of `list-url`."""

    fs_config: tuple[str, ...]


@click.command("list", cls=ManyValues)
@click.argument("url")
@click.argument("path", default="")
@RECURSIVE
@TREE
@LEVEL
@click.option("--dvc-only", is_flag=True, help="List tracked data only.")
@SIZE
@click.option("--show-hash", is_flag=True, help="Show digests.")
@override_options
@REV
@json_option
@pass_session
def list_(session: Session, /, url: str, path: str, rev: str | None, **options: Unpack[ListFlags]) -> None:
    """List a repository's files, git's and tracked data as one tree."""
    from penstock.flows.sources.listing import list_items, list_tree
    from penstock.flows.sources.repositories import open_source

    if options["as_tree"] and session.as_json:
        raise click.UsageError("--tree and --json exclude each other")
    with open_source(url, rev, base=session.directory, overrides=overrides_of(options)) as source:
        if options["as_tree"]:
            tree = list_tree(source, path, dvc_only=options["dvc_only"], level=options["level"])
            session.emit(
                {}, _render(_draw(tree), with_size=options["with_size"], with_hash=options["show_hash"])
            )
            return
        found = list_items(
            source,
            path,
            recursive=options["recursive"],
            dvc_only=options["dvc_only"],
            level=options["level"] or 0,
        )
    rows = [(entry["path"], entry["size"], entry["isdir"], entry["md5"]) for entry in found]
    size, digest = options["with_size"], options["show_hash"]
    session.emit(found, lambda: _render(rows, with_size=size, with_hash=digest))


def _draw(item: Item, prefix: str = "", mark: str = "", inner: str = "") -> list[tuple[Any, ...]]:
    """Return a row per item, its name behind the branches that lead to it."""
    name = item.path if not mark else item.path.rpartition("/")[2]
    rows: list[tuple[Any, ...]] = [(f"{prefix}{mark}{name}", item.size, item.is_dir, item.md5)]
    for number, one in enumerate(item.contents):
        is_last = number == len(item.contents) - 1
        branch, below = ("└── ", "    ") if is_last else ("├── ", "│   ")
        rows += _draw(one, prefix + inner, branch, below)
    return rows


def _render(rows: list[tuple[Any, ...]], *, with_size: bool, with_hash: bool = False) -> str:
    if not (with_size or with_hash):
        return "\n".join(str(row[0]) for row in rows)
    cells = []
    for name, size, is_dir, md5 in rows:
        shown = "" if size is None or (is_dir and size <= 0) else natural_size(size)
        cells.append((*([shown] if with_size else []), *([md5 or "-"] if with_hash else []), str(name)))
    return render_columns(cells, numbers_first=with_size)


@click.command("list-url", cls=ManyValues)
@click.argument("url")
@RECURSIVE
@TREE
@LEVEL
@SIZE
@click.option("--fs-config", multiple=True, metavar="NAME=VALUE", help="Options of a remote for the URL.")
@json_option
@pass_session
def list_url(session: Session, /, url: str, level: int | None, **options: Unpack[ListUrlFlags]) -> None:
    """List a directory behind a URL, on a configured remote, or on this machine."""
    from penstock.flows.sources.listing import nest
    from penstock.flows.sources.url_listing import list_place

    settings = key_values(options["fs_config"])
    with repository_for(session, url) as repo:
        deep = options["recursive"] or options["as_tree"]
        items = list_place(repo, url, session.directory, settings, recursive=deep, level=level or 0)
    if options["as_tree"]:
        session.emit({}, _render(_draw(nest(items, url, level)), with_size=options["with_size"]))
        return
    document = [{"path": one.path, "isdir": one.is_dir, "size": one.size} for one in items]
    rows = [(one.path, one.size, one.is_dir, None) for one in items]
    session.emit(document, lambda: _render(rows, with_size=options["with_size"]))


@click.command(cls=ManyValues)
@click.argument("url")
@click.argument("path", default="")
@click.option("-s", "--summarize", is_flag=True, help="Show the total only.")
@override_options
@REV
@json_option
@pass_session
def du(
    session: Session,
    /,
    url: str,
    path: str,
    summarize: bool,
    rev: str | None,
    **options: Unpack[OverrideFlags],
) -> None:
    """Show how much space a repository's data take."""
    from penstock.flows.sources.listing import disk_usage
    from penstock.flows.sources.repositories import open_source

    path = Path(path).as_posix() if path else ""
    with open_source(url, rev, base=session.directory, overrides=overrides_of(options)) as source:
        rows = disk_usage(source, path, summarize=summarize)
    document = [{"path": name, "size": size} for name, size in rows]
    cells = [(natural_size(size), name) for name, size in rows]
    session.emit(document, lambda: render_columns(cells, numbers_first=False))
