"""`penstock config` and `penstock cache dir`: DVC's configuration files, level by level."""

from __future__ import annotations

import os
import shlex
from pathlib import Path
from typing import Any

import click

from penstock.base.numbers import counted
from penstock.cli.output import Session, json_option, pass_session


def level_option(command: Any) -> Any:
    """Let a command name a level; None means all (reading) or `.dvc/config` (writing)."""
    for name, value, text in (
        ("--system", "system", "Use the system's configuration."),
        ("--global", "global", "Use the user's configuration."),
        ("--project", "repo", "Use .dvc/config."),
        ("--local", "local", "Use .dvc/config.local, which git ignores."),
    ):
        command = click.option(name, "level", flag_value=value, default=None, type=str, help=text)(command)
    return command


@click.command()
@click.argument("name", required=False)
@click.argument("value", required=False)
@click.option("-u", "--unset", is_flag=True, help="Remove the option.")
@click.option("-l", "--list", "is_list", is_flag=True, help="List all values.")
@click.option("--show-origin", is_flag=True, help="Show the file of each value.")
@level_option
@json_option
@pass_session
def config(
    session: Session,
    name: str | None,
    value: str | None,
    unset: bool,
    is_list: bool,
    show_origin: bool,
    level: str | None,
) -> None:
    """Get or set options: `section.option` or `remote.NAME.option`."""
    from penstock.data.repository import find_root

    if show_origin and (value is not None or unset):
        raise click.UsageError("--show-origin does not go with a VALUE or --unset")
    dvc_dir = find_root(session.directory) / ".dvc"
    if is_list:
        if name is not None or unset:
            raise click.UsageError("--list does not go with a NAME or --unset")
        _list(session, dvc_dir, level, show_origin=show_origin)
    elif name is None:
        raise click.UsageError("give a NAME or --list")
    elif value is None and not unset:
        _get(session, dvc_dir, name, level, show_origin=show_origin)
    else:
        _set(session, dvc_dir, name, level, None if unset else value)


def _list(session: Session, dvc_dir: Path, level: str | None, *, show_origin: bool) -> None:
    rows = []
    for path, sections in _levels(dvc_dir, level):
        ordered = sorted(sections.items(), key=lambda item: '"' not in item[0])
        for section, values in ordered:
            for key, value in values.items():
                rows.append((_origin(dvc_dir, path), f"{_dotted(section)}.{key}", value))
    shown = [f"{origin}\t{key}={value}" if show_origin else f"{key}={value}" for origin, key, value in rows]
    document = [{"origin": origin, "name": key, "value": value} for origin, key, value in rows]
    session.emit(document, "\n".join(shown))


def _get(session: Session, dvc_dir: Path, name: str, level: str | None, *, show_origin: bool) -> None:
    from penstock.base.errors import NotFound
    from penstock.data.configuration.config import split_name

    section, key = split_name(name)
    for path, sections in reversed(_levels(dvc_dir, level)):
        value = sections.get(section, {}).get(key)
        if value is not None:
            origin = f"{_origin(dvc_dir, path)}\t" if show_origin else ""
            session.emit({"name": name, "value": value}, f"{origin}{value}")
            return
    if level is not None:
        raise NotFound(f"{name} is not set", code="config.not_set", hint="penstock config -l", name=name)
    session.emit({"name": name, "value": None}, "")


def _set(session: Session, dvc_dir: Path, name: str, level: str | None, value: str | None) -> None:
    from penstock.base.errors import NotFound
    from penstock.data.configuration.config import (
        is_path_option,
        level_paths,
        read_level,
        set_value,
        split_name,
    )
    from penstock.data.configuration.values import check_edit

    section, key = split_name(name)
    file = level_paths(dvc_dir)[level or "repo"]
    if value is None:
        if key not in read_level(file).get(section, {}):
            raise NotFound(
                f"{name} is not set in {file}", code="config.not_set", hint="penstock config -l --show-origin"
            )
    elif is_path_option(section, key) and value and "://" not in value and not value.startswith("/"):
        value = os.path.relpath(session.directory / Path(value).expanduser(), file.parent)
    check_edit(dvc_dir, level or "repo", section, {key: value})
    set_value(file, section, key, value)
    session.emit({"name": name, "value": value}, "")


def _levels(dvc_dir: Path, level: str | None) -> list[tuple[Path, dict[str, dict[str, str]]]]:
    from penstock.data.configuration.config import level_paths, read_resolved

    paths = level_paths(dvc_dir)
    return [(paths[one], read_resolved(paths[one])) for one in ([level] if level else paths)]


def _origin(dvc_dir: Path, path: Path) -> str:
    return os.path.relpath(path, dvc_dir.parent) if path.is_relative_to(dvc_dir) else str(path)


def _dotted(section: str) -> str:
    return section.replace(' "', ".").rstrip('"')


@click.group()
def cache() -> None:
    """Manage the cache."""


@cache.command("dir")
@click.argument("value", required=False)
@click.option("-u", "--unset", is_flag=True, help="Go back to .dvc/cache.")
@level_option
@json_option
@pass_session
def cache_dir(session: Session, value: str | None, unset: bool, level: str | None) -> None:
    """Show or set where the cache is; a relative path counts from here."""
    from penstock.data.configuration.config import load_config
    from penstock.data.repository import find_root

    dvc_dir = find_root(session.directory) / ".dvc"
    if value is not None or unset:
        _set(session, dvc_dir, "cache.dir", level, None if unset else value)
        return
    if level is not None:
        _get(session, dvc_dir, "cache.dir", level, show_origin=False)
        return
    found = load_config(dvc_dir).get("cache", "dir") or str(dvc_dir / "cache")
    session.emit({"dir": found}, found)


@cache.command("migrate")
@click.option("--dvc-files", "metafiles", is_flag=True, help="Rewrite pointers and dvc.lock too.")
@click.option("--dry", "--dry-run", "dry_run", is_flag=True, help="Only say what would be done.")
@json_option
@pass_session
def cache_migrate(session: Session, metafiles: bool, dry_run: bool) -> None:
    """Bring a cache of DVC 2 to DVC 3's layout; old commits still check out afterwards."""
    from penstock.cli.data.targets import opened
    from penstock.flows.tracked.migrating import migrate

    with opened(session) as repo:
        done = migrate(repo, metafiles=metafiles, dry_run=dry_run)
        names = [repo.relative(path) for path in done.metafiles]
    would = "would be " if dry_run else ""
    lines = [f"{counted(len(done.plan.objects), 'object')} {would}migrated."]
    lines += [f"{name} {would}rewritten" for name in names]
    lines += [f"{name} left as it is: its objects are not in the cache" for name in done.skipped]
    if names and not dry_run:
        lines.append(f"\nTo track the changes with git, run:\n\n\tgit add {shlex.join(names)}")
    session.emit(
        {
            "migrated": len(done.plan.objects),
            "metafiles": names,
            "skipped": list(done.skipped),
            "dry": dry_run,
        },
        "\n".join(lines),
    )
