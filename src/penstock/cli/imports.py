"""`penstock list`, `get`, `get-url`, `import`, `import-url`, `update`, `du`: data of other repositories."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import click

from penstock.cli.data import opened
from penstock.cli.output import Session, json_option, pass_session, table

if TYPE_CHECKING:
    from penstock.data.repository import DataRepository

REV = click.option("--rev", metavar="COMMIT", help="Git revision of the source.")
FORCE = click.option("-f", "--force", is_flag=True, help="Replace what is at the target.")
JOBS = click.option("-j", "--jobs", type=int, default=0, help="Objects at once.")


@click.command("list")
@click.argument("url")
@click.argument("path", default="")
@click.option("-R", "--recursive", is_flag=True, help="List every file below.")
@click.option("-L", "--level", type=int, default=0, help="Depth of --recursive.")
@click.option("--dvc-only", is_flag=True, help="List tracked data only.")
@click.option("--size", "with_size", is_flag=True, help="Show sizes.")
@click.option("--show-hash", is_flag=True, help="Show digests.")
@REV
@json_option
@pass_session
def list_(session: Session, /, url: str, path: str, rev: str | None, **options: Any) -> None:
    """List a repository's files, git's and tracked data as one tree."""
    from penstock.flows.import_listing import list_items
    from penstock.flows.import_source import open_source

    with open_source(url, rev, base=session.directory) as source:
        found = list_items(
            source,
            path,
            recursive=options["recursive"],
            dvc_only=options["dvc_only"],
            level=options["level"],
        )
    columns = [
        *(["size"] if options["with_size"] else []),
        *(["md5"] if options["show_hash"] else []),
        "path",
    ]

    def text() -> str:
        if len(columns) == 1:
            return "\n".join(str(entry["path"]) for entry in found)
        return table([tuple(entry[key] for key in columns) for entry in found], tuple(columns))

    session.emit(found, text)


@click.command()
@click.argument("url")
@click.argument("path", default="")
@click.option("-s", "--summarize", is_flag=True, help="Show the total only.")
@REV
@json_option
@pass_session
def du(session: Session, url: str, path: str, summarize: bool, rev: str | None) -> None:
    """Show how much space a repository's data take."""
    from penstock.flows.import_listing import disk_usage
    from penstock.flows.import_source import open_source

    with open_source(url, rev, base=session.directory) as source:
        rows = disk_usage(source, path, summarize=summarize)
    width = max(len(str(size)) for _, size in rows)
    lines = [f"{size:>{width}}  {name}".rstrip() for name, size in rows]
    session.emit([{"path": name, "size": size} for name, size in rows], "\n".join(lines))


@click.command()
@click.argument("url")
@click.argument("path")
@click.option("-o", "--out", type=click.Path(), help="Where to put it.")
@REV
@FORCE
@JOBS
@json_option
@pass_session
def get(
    session: Session, url: str, path: str, out: str | None, rev: str | None, force: bool, jobs: int
) -> None:
    """Download a file or directory of a repository without tracking it."""
    from penstock.flows.import_getting import get_path
    from penstock.flows.import_source import open_source

    target = _target(session, path, out)
    with open_source(url, rev, base=session.directory) as source:
        get_path(source, path, target, force=force, jobs=jobs)
    session.emit({"path": str(target)}, "")


@click.command("get-url")
@click.argument("url")
@click.argument("out", required=False)
@FORCE
@JOBS
@json_option
@pass_session
def get_url(session: Session, url: str, out: str | None, force: bool, jobs: int) -> None:
    """Download a file or directory from a URL without tracking it."""
    from penstock.flows.import_getting import copy_path
    from penstock.flows.import_remote import download_url, is_remote, open_remote

    url = url.removeprefix("file://")
    target = _target(session, url, out)
    if not is_remote(url):
        copy_path(session.directory / url, target, force=force)
    else:
        with _repository_for(session, url) as repo, open_remote(repo, url, jobs=jobs) as source:
            download_url(source, target, force=force)
    session.emit({"path": str(target)}, "")


@contextmanager
def _repository_for(session: Session, url: str) -> Iterator[DataRepository | None]:
    """Open the repository where the URL needs its remotes."""
    if not url.startswith("remote://"):
        yield None
        return
    with opened(session) as repo:
        yield repo


def _import_options(command: Any) -> Any:
    for option in (
        click.option("--no-exec", is_flag=True, help="Write the pointer only."),
        click.option("--no-download", is_flag=True, help="Resolve the source, download nothing."),
        FORCE,
        JOBS,
        json_option,
    ):
        command = option(command)
    return command


@click.command("import")
@click.argument("url")
@click.argument("path")
@click.option("-o", "--out", type=click.Path(), help="Where to put it.")
@REV
@_import_options
@pass_session
def import_(
    session: Session, /, url: str, path: str, out: str | None, rev: str | None, jobs: int, **flags: bool
) -> None:
    """Bring data of another repository here, and track where they came from."""
    from penstock.flows.imports import ImportOptions, import_path

    with opened(session) as repo:
        target = _target(session, path, out)
        options = ImportOptions(rev, **flags)
        pointer = import_path(repo, url, path, target, options, base=session.directory)
        _emit_pointer(session, repo.relative(pointer))


@click.command("import-url")
@click.argument("url")
@click.argument("out", required=False)
@_import_options
@pass_session
def import_url(session: Session, /, url: str, out: str | None, jobs: int, **flags: bool) -> None:
    """Bring a file or directory from elsewhere here, and track where it came from."""
    from penstock.flows import imports

    with opened(session) as repo:
        options = imports.ImportOptions(None, **flags, jobs=jobs)
        pointer = imports.import_url(repo, url, _target(session, url, out), options, base=session.directory)
        _emit_pointer(session, repo.relative(pointer))


@click.command()
@click.argument("targets", nargs=-1, required=True)
@click.option("--no-download", is_flag=True, help="Update the pointer only.")
@click.option("-R", "--recursive", is_flag=True, help="Update every import below a directory.")
@REV
@JOBS
@json_option
@pass_session
def update(
    session: Session, targets: tuple[str, ...], no_download: bool, recursive: bool, rev: str | None, jobs: int
) -> None:
    """Bring imports to what their sources hold now."""
    from penstock.data.pointer import SUFFIX, list_pointers
    from penstock.flows.imports import ImportOptions, update_import

    changed = []
    with opened(session) as repo:
        for target in targets:
            path = session.directory / target
            files = [path if target.endswith(SUFFIX) else path.with_name(path.name + SUFFIX)]
            if recursive and path.is_dir():
                files = [
                    one.path
                    for one in list_pointers(repo)
                    if one.dependencies and one.path.is_relative_to(path)
                ]
            for file in files:
                if update_import(repo, file, ImportOptions(rev, no_download=no_download, jobs=jobs)):
                    changed.append(repo.relative(file))
    session.emit(changed, "\n".join(f"Updated {name}" for name in changed) or "Nothing changed.")


def _target(session: Session, path: str, out: str | None) -> Path:
    name = path.rstrip("/").rpartition("/")[2]
    if path.startswith(("http://", "https://")):
        name = urlsplit(path).path.rpartition("/")[2]
    target = session.directory / (out or name)
    return target / name if out and target.is_dir() and not out.endswith(name) else target


def _emit_pointer(session: Session, pointer: str) -> None:
    session.emit({"pointer": pointer}, f"To track the changes with git, run:\n\n\tgit add {pointer}")
