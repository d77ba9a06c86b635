"""`penstock remote add/list/modify/remove/rename/default`: remotes in DVC's configuration files."""

from __future__ import annotations

import os
import shlex
from pathlib import Path
from typing import Any

import click

from penstock.cli.data.targets import complete_remotes
from penstock.cli.output import Session, json_option, pass_session


@click.group()
def remote() -> None:
    """Manage remotes."""


def _level(command: Any) -> Any:
    for option in (
        click.option("--system", "level", flag_value="system", help="Use the system's configuration."),
        click.option("--global", "level", flag_value="global", help="Use the user's configuration."),
        click.option(
            "--project", "level", flag_value="repo", default=True, help="Use .dvc/config (default)."
        ),
        click.option(
            "--local", "level", flag_value="local", help="Use .dvc/config.local, which git ignores."
        ),
    ):
        command = option(command)
    return command


def _dvc_dir(session: Session) -> Path:
    from penstock.data.repository import find_root

    return find_root(session.directory) / ".dvc"


def _file(session: Session, level: str | None) -> Path:
    from penstock.data.configuration.config import level_paths

    return level_paths(_dvc_dir(session))[level or "repo"]


def _stored_url(session: Session, file: Path, url: str) -> str:
    if not url or "://" in url or url.startswith("/"):
        return url
    return os.path.relpath(session.directory / Path(url).expanduser(), file.parent)


def _section(name: str) -> str:
    return f'remote "{name}"'


@remote.command("add")
@click.argument("name")
@click.argument("url")
@click.option("-d", "--default", "is_default", is_flag=True, help="Make it the default remote.")
@click.option("-f", "--force", is_flag=True, help="Replace an existing remote.")
@_level
@pass_session
def add_remote(
    session: Session, name: str, url: str, is_default: bool, force: bool, level: str | None
) -> None:
    """Add a remote: a directory, s3://, gs://, azure://, ssh:// or (to fetch from) https:// URL."""
    from penstock.base.errors import Conflict
    from penstock.data.configuration.config import read_level, remove_section, set_value
    from penstock.data.configuration.values import check_edit
    from penstock.storage.resolve import without_password

    file = _file(session, level)
    if _section(name) in read_level(file) and not force:
        raise Conflict(
            f"there is a remote {name!r} already",
            code="data.remote_exists",
            hint=f"penstock remote modify {shlex.quote(name)} url",
        )
    shown, url = without_password(url), _stored_url(session, file, url)
    check_edit(_dvc_dir(session), level or "repo", _section(name), {"url": url}, fresh=True)
    remove_section(file, _section(name))
    set_value(file, _section(name), "url", url)
    if is_default:
        set_value(file, "core", "remote", name)
    document = {"name": name, "url": without_password(url), "default": is_default}
    session.emit(document, f"Remote {name} added: {shown}")


@remote.command("list")
@click.option("--system", "level", flag_value="system", help="Those of the system's configuration alone.")
@click.option("--global", "level", flag_value="global", help="Those of the user's configuration alone.")
@click.option("--project", "level", flag_value="repo", help="Those of .dvc/config alone.")
@click.option("--local", "level", flag_value="local", help="Those of .dvc/config.local alone.")
@json_option
@pass_session
def list_remotes(session: Session, level: str | None) -> None:
    """List remotes with their URLs."""
    from penstock.data.configuration.config import Config, load_config, read_resolved
    from penstock.storage.resolve import without_password

    config = Config(read_resolved(_file(session, level))) if level else load_config(_dvc_dir(session))
    default = config.get("core", "remote")
    rows = [
        (name, without_password(values.get("url", "")), name == default)
        for name, values in config.remotes().items()
    ]
    session.emit(
        [{"name": name, "url": url, "default": chosen} for name, url, chosen in rows],
        "\n".join(
            f"{name}\t{url}{'	(default)' if chosen else ''}".expandtabs(8) for name, url, chosen in rows
        ),
    )


@remote.command("modify")
@click.argument("name", shell_complete=complete_remotes)
@click.argument("option")
@click.argument("value", required=False)
@click.option("-u", "--unset", is_flag=True, help="Remove the option.")
@_level
@pass_session
def modify_remote(
    session: Session, name: str, option: str, value: str | None, unset: bool, level: str | None
) -> None:
    """Set or unset an option of a remote."""
    from penstock.base.errors import NotFound
    from penstock.data.configuration.config import load_config, set_value
    from penstock.data.configuration.values import check_edit

    if value is None and not unset:
        raise click.UsageError("give a VALUE or --unset")
    file = _file(session, level)
    option = option.lower()
    if name not in load_config(_dvc_dir(session)).remotes():
        raise NotFound(
            f"there is no remote {name!r}",
            code="data.no_remote",
            hint=f"penstock remote add {shlex.quote(name)} URL",
        )
    if option == "url" and value is not None:
        value = _stored_url(session, file, value)
    value = None if unset else value
    check_edit(_dvc_dir(session), level or "repo", _section(name), {option: value})
    set_value(file, _section(name), option, value)
    session.emit({"name": name, "option": option}, "")


@remote.command("remove")
@click.argument("name", shell_complete=complete_remotes)
@_level
@pass_session
def remove_remote(session: Session, name: str, level: str | None) -> None:
    """Remove a remote."""
    from penstock.base.errors import NotFound
    from penstock.data.configuration.config import level_paths, read_level, remove_section, set_value

    file = _file(session, level)
    if not remove_section(file, _section(name)):
        raise NotFound(
            f"there is no remote {name!r} in {file}", code="data.no_remote", hint="penstock remote list"
        )
    for path in level_paths(_dvc_dir(session)).values():
        if read_level(path).get("core", {}).get("remote") == name:
            set_value(path, "core", "remote", None)
    session.emit({"name": name}, "")


@remote.command("rename")
@click.argument("name", shell_complete=complete_remotes)
@click.argument("new")
@_level
@pass_session
def rename_remote(session: Session, name: str, new: str, level: str | None) -> None:
    """Rename a remote."""
    from penstock.base.errors import Conflict, NotFound
    from penstock.data.configuration.config import read_level, rename_section, set_value

    file = _file(session, level)
    sections = read_level(file)
    if _section(new) in sections:
        raise Conflict(
            f"there is a remote {new!r} already", code="data.remote_exists", hint="penstock remote list"
        )
    if not rename_section(file, _section(name), _section(new)):
        raise NotFound(
            f"there is no remote {name!r} in {file}", code="data.no_remote", hint="penstock remote list"
        )
    if sections.get("core", {}).get("remote") == name:
        set_value(file, "core", "remote", new)
    session.emit({"name": new}, "")


@remote.command("default")
@click.argument("name", required=False, shell_complete=complete_remotes)
@click.option("-u", "--unset", is_flag=True, help="Have no default remote.")
@_level
@pass_session
def default_remote(session: Session, name: str | None, unset: bool, level: str | None) -> None:
    """Show, set or unset the default remote; with none to show the exit code is 1."""
    from penstock.base.errors import NotFound
    from penstock.data.configuration.config import load_config, set_value

    config = load_config(_dvc_dir(session))
    if unset:
        set_value(_file(session, level), "core", "remote", None)
        session.emit({"default": None}, "")
        return
    if name is None:
        chosen = config.get("core", "remote")
        if chosen is None:
            raise NotFound(
                "no default remote is set", code="data.no_remote", hint="penstock remote default NAME"
            )
        session.emit({"default": chosen}, chosen)
        return
    if name not in config.remotes():
        raise NotFound(
            f"there is no remote {name!r}",
            code="data.no_remote",
            hint=f"penstock remote add {shlex.quote(name)} URL",
        )
    set_value(_file(session, level), "core", "remote", name)
    session.emit({"default": name}, "")
