"""DVC's configuration: `.dvc/config` and its three other levels, merged and edited.

Later levels win: system, global, repository (`.dvc/config`), local (`.dvc/config.local`). Keys are
lower-cased; a relative `url` or `cache.dir` means relative to the file that holds it. Penstock's own
settings are not here: unknown keys in these files are DVC's errors (`penstock.data.configuration.values`). A key or section
that is written twice is an error at once.

Source: dvc/config.py and dvc/config_schema.py (3.67).
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from penstock.base.errors import Invalid
from penstock.base.files import write_atomic
from penstock.data.configuration.places import global_config, system_config

LEVELS = ("system", "global", "repo", "local")
Sections = dict[str, dict[str, str]]
_HEADER = re.compile(r"""\[(?:'([\w ".-]+)'|([\w.-]+))\]\Z""")
_PLAIN = re.compile(r"""([\w.-]+) *= *([^'"#,\s](?:[^'"#,]*[^'"#,\s])?)?\Z""")
REMOTE = re.compile(r'remote "(.+)"\Z')
_NAME = re.compile(r"(?:(remote|db)\.)?([^.]+)\.([^.]+)\Z")


@dataclass(frozen=True)
class Config:
    """The merged sections; a remote's section is called `remote "name"`."""

    sections: Mapping[str, Mapping[str, str]]

    def get(self, section: str, key: str) -> str | None:
        """Return a value, or None where no level sets it."""
        return self.sections.get(section, {}).get(key)

    def is_set(self, section: str, key: str, default: bool = False) -> bool:
        """Return a boolean value.

        Raises:
            Invalid: it is neither true nor false.
        """
        text = self.get(section, key)
        if text is None:
            return default
        if text.lower() in {"true", "yes", "on", "1"}:
            return True
        if text.lower() in {"false", "no", "off", "0"}:
            return False
        raise Invalid(
            f"{section}.{key} must be true or false, not {text!r}",
            code="config.invalid",
            key=f"{section}.{key}",
        )

    def remotes(self) -> dict[str, Mapping[str, str]]:
        """Return every remote's keys by name."""
        found = {}
        for section, values in self.sections.items():
            match = REMOTE.match(section)
            if match:
                found[match[1]] = values
        return found


def level_paths(dvc_dir: Path) -> dict[str, Path]:
    """Return where each level's file is; it need not exist."""
    return {
        "system": system_config(),
        "global": global_config(),
        "repo": dvc_dir / "config",
        "local": dvc_dir / "config.local",
    }


def load_config(dvc_dir: Path) -> Config:
    """Merge the four levels of the repository whose `.dvc` is given.

    Raises:
        Invalid: a file cannot be parsed.
    """
    merged: Sections = {}
    for path in level_paths(dvc_dir).values():
        for section, values in read_resolved(path).items():
            merged.setdefault(section, {}).update(values)
    return Config(merged)


def split_name(name: str) -> tuple[str, str]:
    """Return the section and key that `core.remote` or `remote.NAME.url` means.

    Raises:
        Invalid: it has another form.
    """
    match = _NAME.match(name)
    if match is None:
        raise Invalid(
            f"{name!r} names no option",
            code="config.bad_name",
            hint="write section.option, or remote.NAME.option",
        )
    kind, section, key = match.groups()
    return (f'{kind} "{section.lower()}"' if kind else section.lower()), key.lower()


def is_path_option(section: str, key: str) -> bool:
    """Say whether a relative value of the option counts from the file that holds it."""
    return (section == "cache" and key == "dir") or (REMOTE.match(section) is not None and key == "url")


def read_resolved(path: Path) -> Sections:
    """Read one level with its relative paths made absolute."""
    return {
        section: {key: _resolve(section, key, value, path.parent) for key, value in values.items()}
        for section, values in read_level(path).items()
    }


def _resolve(section: str, key: str, value: str, base: Path) -> str:
    if is_path_option(section, key) and value and "://" not in value and not value.startswith("/"):
        return os.path.normpath(base / Path(value).expanduser())
    return value


def read_level(path: Path) -> Sections:
    """Read one file's sections as they are written; a missing file is empty.

    Raises:
        Invalid: it cannot be parsed.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except (OSError, UnicodeDecodeError) as error:
        raise Invalid(f"{path} cannot be read: {error}", code="config.unreadable", file=str(path)) from None
    simple = _parse_simple(text)
    return _parse_any(path) if simple is None else simple


def _parse_simple(text: str) -> Sections | None:
    """Parse what DVC itself writes; None when the text has anything else (10 ms less than configobj)."""
    sections: Sections = {}
    current: dict[str, str] | None = None
    for raw in text.splitlines():
        line = raw.strip()
        if not line or line.startswith("#"):
            continue
        header = _HEADER.match(line)
        if header:
            name = (header[1] or header[2]).lower()
            if name in sections:
                return None
            current = sections[name] = {}
            continue
        pair = _PLAIN.match(line)
        if pair is None or current is None or pair[1].lower() in current:
            return None
        current[pair[1].lower()] = pair[2] or ""
    return sections


def _parse_any(path: Path) -> Sections:
    document = _open_document(path)
    found: Sections = {}
    for section in document.sections:
        body = document[section]
        found[str(section).lower()] = {
            str(key).lower(): ",".join(value) if isinstance(value, list) else str(value)
            for key, value in body.items()
            if not isinstance(value, dict)
        }
    return found


def _open_document(path: Path):  # type: ignore[no-untyped-def]
    import configobj

    try:
        document = configobj.ConfigObj(
            str(path), encoding="utf-8", interpolation=False, indent_type="    ", list_values=True
        )
    except (configobj.ConfigObjError, UnicodeDecodeError) as error:
        raise Invalid(
            f"{path} is not a valid config: {error}", code="config.invalid", file=str(path)
        ) from None
    if not any(line.strip() for line in document.initial_comment):
        document.initial_comment = []
    return document


def set_value(path: Path, section: str, key: str, value: str | None) -> None:
    """Set a value in one level's file, or remove it (and its section, once empty) with None.

    Comments and the order of the file are kept.
    """
    document = _open_document(path)
    if value is None:
        if section in document:
            document[section].pop(key, None)
            if not document[section]:
                del document[section]
    else:
        document.setdefault(section, {})[key] = value
    _save(path, document)


def _order(sections: list[str]) -> None:
    """Put named sections (remotes) last, as DVC does."""
    sections.sort(key=lambda name: '"' in name)


def remove_section(path: Path, section: str) -> bool:
    """Remove a whole section; say whether it was there."""
    document = _open_document(path)
    if section not in document:
        return False
    del document[section]
    _save(path, document)
    return True


def rename_section(path: Path, old: str, new: str) -> bool:
    """Rename a section in place; say whether it was there."""
    document = _open_document(path)
    if old not in document:
        return False
    body = document[old].dict()
    del document[old]
    document[new] = body
    _save(path, document)
    return True


def _save(path: Path, document) -> None:  # type: ignore[no-untyped-def]
    _order(document.sections)
    lines = document.write() if document.filename is None else _lines(document)
    text = "".join(f"{line}\n" for line in lines) or "\n"  # DVC leaves an empty line where all is gone
    write_atomic(path, text.encode(), durable=False)


def _lines(document) -> list[str]:  # type: ignore[no-untyped-def]
    document.filename = None
    return [line.decode() if isinstance(line, bytes) else line for line in document.write()]
