"""`penstock get`, `get-url`, `import`, `import-url`, `update`: data of other repositories and places."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypedDict, Unpack
from urllib.parse import urlsplit

import click

from penstock.cli.data.targets import SOME_TARGETS, complete_remotes, opened
from penstock.cli.data.text import render_advice
from penstock.cli.many_values import ManyValues
from penstock.cli.output import Session, json_option, pass_session

if TYPE_CHECKING:
    from penstock.data.repository import DataRepository
    from penstock.flows.sources.overrides import Overrides

REV = click.option("--rev", metavar="COMMIT", help="Git revision of the source.")
FORCE = click.option("-f", "--force", is_flag=True, help="Replace what is at the target.")
JOBS = click.option("-j", "--jobs", type=click.IntRange(min=0), default=0, help="Objects at once.")


class OverrideFlags(TypedDict):
    """What `override_options` adds."""

    config: str | None
    remote: str | None
    remote_config: tuple[str, ...]


class GetFlags(OverrideFlags):
    """The options of `get`."""

    show_url: bool
    force: bool
    jobs: int


class ImportFlags(TypedDict):
    """What `_import_options` adds."""

    no_exec: bool
    no_download: bool
    force: bool
    jobs: int


class RepositoryImportFlags(ImportFlags, OverrideFlags):
    """The options of `import`."""


class UrlImportFlags(ImportFlags):
    """The options of `import-url`."""

    to_remote: bool
    remote: str | None


class UpdateFlags(TypedDict):
    """The options of `update`, as the flow takes them."""

    no_download: bool
    to_remote: bool
    remote: str | None
    rev: str | None
    jobs: int


def override_options(command: Any) -> Any:
    """Add what goes over the configuration of a source repository."""
    for option in (
        click.option("--config", type=click.Path(), help="A config file to set over the source's."),
        click.option("--remote", help="The remote of the source to take data from."),
        click.option(
            "--remote-config",
            multiple=True,
            metavar="NAME=VALUE",
            help="Options for that remote.",
        ),
    ):
        command = option(command)
    return command


def overrides_of(options: OverrideFlags) -> Overrides:
    """Return what the options of `override_options` say."""
    from penstock.flows.sources.overrides import Overrides

    return Overrides(options["config"], options["remote"], key_values(options["remote_config"]))


def key_values(pairs: tuple[str, ...]) -> dict[str, str]:
    """Split `name=value` words."""
    found = {}
    for pair in pairs:
        key, sign, value = pair.partition("=")
        if not sign or not value:
            raise click.UsageError(f"write {pair!r} as NAME=VALUE")
        found[key] = value
    return found


@click.command(cls=ManyValues)
@click.argument("url")
@click.argument("path")
@click.option("-o", "--out", type=click.Path(), help="Where to put it.")
@click.option("--show-url", is_flag=True, help="Print where the data are stored, and download nothing.")
@override_options
@REV
@FORCE
@JOBS
@json_option
@pass_session
def get(
    session: Session, /, url: str, path: str, out: str | None, rev: str | None, **options: Unpack[GetFlags]
) -> None:
    """Download a file or directory of a repository without tracking it."""
    from penstock.flows.sources.getting import get_path, storage_url
    from penstock.flows.sources.repositories import open_source

    target = target_of(session, path, out)
    with open_source(url, rev, base=session.directory, overrides=overrides_of(options)) as source:
        if options["show_url"]:
            found = storage_url(source, path)
            session.emit({"url": found}, found)
            return
        get_path(source, path, target, force=options["force"], jobs=options["jobs"])
    session.emit({"path": str(target)}, "")


@click.command("get-url", cls=ManyValues)
@click.argument("url")
@click.argument("out", required=False)
@click.option("--fs-config", multiple=True, metavar="NAME=VALUE", help="Options of a remote for the URL.")
@FORCE
@JOBS
@json_option
@pass_session
def get_url(
    session: Session, url: str, out: str | None, fs_config: tuple[str, ...], force: bool, jobs: int
) -> None:
    """Download a file or directory from a URL without tracking it."""
    from penstock.flows.sources.getting import copy_path
    from penstock.flows.sources.urls import download_url, is_remote, open_remote

    url = url.removeprefix("file://")
    target = target_of(session, url, out)
    if not is_remote(url):
        copy_path(session.directory / url, target, force=force)
    else:
        settings = key_values(fs_config)
        with repository_for(session, url) as repo, open_remote(repo, url, settings, jobs=jobs) as source:
            download_url(source, target, force=force)
    session.emit({"path": str(target)}, "")


@contextmanager
def repository_for(session: Session, url: str) -> Iterator[DataRepository | None]:
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


@click.command("import", cls=ManyValues)
@click.argument("url")
@click.argument("path")
@click.option("-o", "--out", type=click.Path(), help="Where to put it.")
@override_options
@REV
@_import_options
@pass_session
def import_(
    session: Session,
    /,
    url: str,
    path: str,
    out: str | None,
    rev: str | None,
    **flags: Unpack[RepositoryImportFlags],
) -> None:
    """Bring data of another repository here, and track where they came from."""
    from penstock.flows.sources.imports import ImportOptions, import_path

    with opened(session) as repo:
        target = target_of(session, path, out)
        options = ImportOptions(
            rev,
            no_exec=flags["no_exec"],
            no_download=flags["no_download"],
            force=flags["force"],
            jobs=flags["jobs"],
            overrides=overrides_of(flags),
        )
        pointer = import_path(repo, url, path, target, options, base=session.directory)
        _emit_pointer(session, repo, pointer)


@click.command("import-url", cls=ManyValues)
@click.argument("url")
@click.argument("out", required=False)
@click.option("--to-remote", is_flag=True, help="Send the data straight to a remote; nothing stays here.")
@click.option("-r", "--remote", shell_complete=complete_remotes, help="The remote for --to-remote.")
@click.option("--fs-config", multiple=True, metavar="NAME=VALUE", help="Options of a remote for the URL.")
@_import_options
@pass_session
def import_url(
    session: Session,
    /,
    url: str,
    out: str | None,
    fs_config: tuple[str, ...],
    **flags: Unpack[UrlImportFlags],
) -> None:
    """Bring a file or directory from elsewhere here, and track where it came from."""
    from penstock.flows.sources import imports

    with opened(session) as repo:
        options = imports.ImportOptions(None, **flags, fs_config=key_values(fs_config))
        pointer = imports.import_url(repo, url, target_of(session, url, out), options, base=session.directory)
        _emit_pointer(session, repo, pointer)


@click.command()
@SOME_TARGETS
@click.option("--no-download", is_flag=True, help="Update the pointer only.")
@click.option("-R", "--recursive", is_flag=True, help="Update every import below a directory.")
@click.option("--to-remote", is_flag=True, help="Send new data straight to a remote; nothing stays here.")
@click.option("-r", "--remote", shell_complete=complete_remotes, help="The remote for --to-remote.")
@REV
@JOBS
@json_option
@pass_session
def update(
    session: Session, /, targets: tuple[str, ...], recursive: bool, **flags: Unpack[UpdateFlags]
) -> None:
    """Bring imports to what their sources hold now."""
    from penstock.data.pointers.metafiles import SUFFIX
    from penstock.data.pointers.pointer import list_pointers
    from penstock.flows.sources.imports import ImportOptions, update_import

    changed = []
    with opened(session) as repo:
        for target in targets:
            path = Path(os.path.normpath(session.directory / target))
            files = [path if target.endswith(SUFFIX) else path.with_name(path.name + SUFFIX)]
            if recursive and path.is_dir():
                files = [
                    one.path
                    for one in list_pointers(repo)
                    if one.dependencies and one.path.is_relative_to(path)
                ]
            for file in files:
                if update_import(repo, file, ImportOptions(**flags)):
                    changed.append(repo.relative(file))
    session.emit(changed, "\n".join(f"Updated {name}" for name in changed) or "Nothing changed.")


def target_of(session: Session, path: str, out: str | None) -> Path:
    """Return where something goes: the place named, or its own name here or in the directory named."""
    name = path.rstrip("/").rpartition("/")[2]
    if path.startswith(("http://", "https://")):
        name = urlsplit(path).path.rpartition("/")[2]
    target = Path(os.path.normpath(session.directory / (out or name)))
    return target / name if out and target.is_dir() else target


def _emit_pointer(session: Session, repo: DataRepository, pointer: Path) -> None:
    ignore = pointer.with_name(".gitignore")
    changed = [pointer, ignore] if ignore.is_file() else [pointer]
    advice = render_advice(changed, session.directory, with_git=repo.git_root() is not None)
    session.emit({"pointer": repo.relative(pointer)}, advice)
