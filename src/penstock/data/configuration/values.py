"""Whether DVC takes what a configuration says: one wrong option stops every `dvc` command in the repository.

What `config` and `remote` write is judged before they write it; what stands in the files is judged where a remote is
opened or not found, not at each start.

Source: dvc/config_schema.py (3.67).
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Collection, Mapping
from pathlib import Path

from penstock.base.errors import Invalid
from penstock.base.links import LINK_KINDS
from penstock.data.configuration.config import REMOTE, Config, level_paths, read_level
from penstock.data.configuration.schema import (
    ALIAS,
    AUTH,
    BOOLEANS,
    COUNTS,
    LENIENT,
    NAMED,
    NUMBERS,
    REMOTE_BOOLEANS,
    REMOTES,
    SECONDS,
    SECTIONS,
)

_NAMED_SECTION = re.compile(r'(db|machine) "(.*)"\Z')
SCHEMES = sorted({*REMOTES, ALIAS} - {""})


def check_config(config: Config, dvc_dir: Path) -> None:
    """Refuse a merged configuration that DVC would refuse, except for a remote without a URL that nobody opens.

    Raises:
        Invalid: the first error, with the file, the section and the key.
    """
    for section, values in config.sections.items():
        try:
            check_section(section, values)
        except Invalid as error:
            file = _file_of(dvc_dir, section, error.fields.get("option"))
            raise Invalid(
                f"{file}: [{section}]: {error.message}" if file else f"[{section}]: {error.message}",
                code=error.code,
                hint=error.hint,
                **error.fields,
                file=file,
            ) from None


def _file_of(dvc_dir: Path, section: str, key: object) -> str | None:
    """Return the file that has the last word on an option, or on a section."""
    for path in reversed(level_paths(dvc_dir).values()):
        values = read_level(path).get(section)
        if values is not None and (key is None or key in values):
            return str(path)
    return None


def check_edit(
    dvc_dir: Path, level: str, section: str, edit: Mapping[str, str | None], *, fresh: bool = False
) -> None:
    """Refuse an edit of one level that DVC would refuse; an option with None is removed, `fresh` forgets the others.

    What DVC would see are the levels up to this one. Removing an option is refused only for a remote's last URL,
    so that a broken file can be mended step by step.

    Raises:
        Invalid: as said.
    """
    below: dict[str, str] = {}
    paths = level_paths(dvc_dir)
    for name, path in paths.items():
        if name == level:
            break
        below.update(read_level(path).get(section, {}))
    own = {} if fresh else dict(read_level(paths[level]).get(section, {}))
    for key, value in edit.items():
        if value is None:
            own.pop(key, None)
        else:
            own[key] = value
    merged = below | own
    match = REMOTE.match(section)
    if match and not merged.get("url") and (any(edit.values()) or "url" in edit):
        raise no_url(match[1], is_new=not below and not read_level(paths[level]).get(section))
    if any(value is not None for value in edit.values()):
        check_section(section, merged)


def no_url(name: str, *, is_new: bool = False) -> Invalid:
    """Make the error for a remote that leads nowhere."""
    return Invalid(
        f"the remote {name!r} has no URL",
        code="data.no_url",
        hint=f"penstock remote add {shlex.quote(name)} URL, or name the level that has it: --local, --global, --system"
        if is_new
        else f"penstock remote modify {shlex.quote(name)} url URL, or penstock remote remove {shlex.quote(name)}",
        remote=name,
    )


def check_section(section: str, values: Mapping[str, str]) -> None:
    """Refuse what DVC would call an error in a section: its name, a key, a value of another kind.

    Raises:
        Invalid: as said.
    """
    if REMOTE.match(section):
        _check_remote(values)
        return
    named = _NAMED_SECTION.match(section)
    kind = named[1] if named else section
    table = NAMED if named else SECTIONS
    if kind not in table:
        raise Invalid(
            f"DVC has no section {section}",
            code="config.unknown",
            hint=_near(kind, SECTIONS),
            section=section,
        )
    known = table[kind].split()
    for key, value in values.items():
        name = f"{section}.{key}"
        if key not in known:
            if kind == LENIENT:
                continue
            raise Invalid(
                f"{name} is not an option of DVC",
                code="config.unknown",
                hint=_near(key, known),
                key=name,
                option=key,
            )
        if not named:
            _check_value(name, key, value)


def _check_value(name: str, key: str, value: str) -> None:
    if name == "cache.type":
        _check_links(name, value)
    elif name == "cache.shared":
        _refuse_unless(value.lower() == "group", name, "group", value)
    elif name in BOOLEANS:
        _refuse_unless(value.lower() in {"true", "false"}, name, "true or false", value)
    elif key in COUNTS:
        _refuse_unless(_is_count(value), name, "a whole number from 1", value)


def _check_remote(values: Mapping[str, str]) -> None:
    scheme = _scheme_of(values["url"]) if values.get("url") else ALIAS
    known = frozenset(" ".join(REMOTES.values() if scheme == ALIAS else [REMOTES[scheme]]).split())
    for key, value in values.items():
        if key not in known:
            raise _unknown(key, scheme, known)
        if key == "type":
            _check_links(key, value)
        elif key == "shared":
            _refuse_unless(value.lower() == "group", key, "group", value)
        elif key == "auth":
            _refuse_unless(value.lower() in AUTH, key, f"one of {', '.join(AUTH)}", value)
        elif key in REMOTE_BOOLEANS:
            _refuse_unless(value.lower() in {"true", "false"}, key, "true or false", value)
        elif key in COUNTS:
            _refuse_unless(_is_count(value), key, "a whole number from 1", value)
        elif key in NUMBERS or (key in SECONDS and scheme in {"s3", "azure"}):
            _refuse_unless(value.removeprefix("-").isdecimal(), key, "a whole number", value)
        elif key in SECONDS:
            _refuse_unless(value.replace(".", "", 1).isdecimal(), key, "a number of seconds", value)


def _scheme_of(url: str) -> str:
    """Return the scheme of a remote's URL; without a host it is a directory's, `file:///…` too.

    Raises:
        Invalid: no remote has such a scheme.
    """
    scheme, separator, rest = url.partition("://")
    if not separator or not rest.partition("/")[0]:
        return ""
    if scheme not in SCHEMES:
        raise Invalid(
            f"no remote can have a {scheme}:// URL",
            code="config.invalid",
            hint=f"use a path or one of {', '.join(f'{known}://' for known in SCHEMES)}",
            option="url",
        )
    return scheme


def _unknown(key: str, scheme: str, known: Collection[str]) -> Invalid:
    others = [f"{other}://" for other, keys in REMOTES.items() if other and key in keys.split()]
    place = {"": "a directory", ALIAS: "any kind"}.get(scheme, f"{scheme}://")
    return Invalid(
        f"{key} is not an option of a remote of {place}"
        + (f", but of {', '.join(others)}" if others else ""),
        code="config.unknown",
        hint=_near(key, known),
        key=key,
        option=key,
    )


def _near(word: str, known: Collection[str]) -> str:
    import difflib

    near = difflib.get_close_matches(word, sorted(known), 3)
    return f"near it: {', '.join(near)}" if near else f"known: {', '.join(sorted(known))}"


def _is_count(value: str) -> bool:
    return value.isdecimal() and int(value) > 0


def _check_links(name: str, value: str) -> None:
    unknown = [word for word in value.split(",") if word.strip() not in LINK_KINDS]
    _refuse_unless(not unknown, name, f"some of {', '.join(LINK_KINDS)}", value)


def _refuse_unless(is_right: bool, name: str, expected: str, value: str) -> None:
    if not is_right:
        raise Invalid(
            f"{name} must be {expected}, not {value!r}",
            code="config.invalid",
            key=name,
            option=name.rpartition(".")[2],
        )
