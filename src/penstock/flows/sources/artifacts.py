"""Artifacts as DVC names them: entries under `artifacts` in a dvc.yaml, registered by annotated git tags.

`NAME@v1.2.3` registers a version and `NAME#STAGE` gives a stage; either may end in `#N`, and a `!` before that
takes it back. A name in a directory is `DIR:NAME`, written `DIR=NAME` in a tag.

Source: gto/constants.py (1.7), dvc/repo/artifacts.py (3.67).
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from penstock.base.errors import Invalid, NotFound
from penstock.data.formats.yamltext import load_document
from penstock.flows.sources.repositories import Source, list_tags, source_path

_NAME = r"[a-zA-Z0-9](?:[a-zA-Z0-9-/_]*[a-zA-Z0-9])?"
_FULL_NAME = re.compile(rf"(?:(?P<directory>[a-zA-Z0-9-_./]+):)?(?P<name>{_NAME})")
_NUMBER = r"(?:0|[1-9]\d*)"
_VERSION = re.compile(
    rf"v(?P<numbers>{_NUMBER}\.{_NUMBER}\.{_NUMBER})(?:-(?P<before>[0-9a-zA-Z.-]+))?(?:\+[0-9a-zA-Z.-]+)?"
)
_TAG = re.compile(
    rf"(?P<name>(?:[a-zA-Z0-9-_./]+=)?{_NAME})"
    rf"(?:@(?P<version>{_VERSION.pattern})|#(?P<stage>{_NAME}))(?P<cancelled>!?)(?:#\d+)?"
)


class Tag(NamedTuple):
    """One annotated tag: its name, when it was made (seconds since 1970) and the commit it marks."""

    name: str
    time_s: int
    commit: str


def split_name(name: str) -> tuple[str, str]:
    """Return the directory (empty at the root) and the bare name of `NAME`, `DIR:NAME` or `DIR/dvc.yaml:NAME`.

    Raises:
        Invalid: it cannot be an artifact's name.
    """
    match = _FULL_NAME.fullmatch(name)
    if match is None:
        raise Invalid(
            f"{name!r} is not an artifact's name",
            code="artifact.bad_name",
            hint="NAME, or DIRECTORY:NAME; letters, digits, - _ / are allowed",
        )
    directory = match["directory"] or ""
    if posixpath.basename(directory) == "dvc.yaml":
        directory = posixpath.dirname(directory)
    return directory.rstrip("/"), match["name"]


def choose_commit(
    tags: Iterable[Tag], name: str, version: str | None = None, stage: str | None = None
) -> str:
    """Return the commit of a version, of what is in a stage now, or else of the highest version.

    Raises:
        NotFound: nothing of the kind is registered.
    """
    directory, bare = split_name(name)
    tagged = f"{directory}={bare}" if directory else bare
    versions: dict[str, str] = {}
    stages: dict[str, str] = {}
    for tag in sorted(tags, key=lambda one: one.time_s):
        match = _TAG.fullmatch(tag.name)
        if match is None or match["name"] != tagged:
            continue
        held, key = (versions, match["version"]) if match["version"] else (stages, match["stage"])
        if match["cancelled"]:
            held.pop(key, None)
        else:
            held[key] = tag.commit
    if stage is not None:
        return _pick(stages, stage, f"no version of {name} is in the stage {stage!r}", "stages")
    if version is not None:
        return _pick(versions, version, f"{name} has no version {version}", "versions")
    if not versions:
        raise NotFound(
            f"no version of {name} is registered",
            code="artifact.not_registered",
            hint=f"git tag -a {tagged}@v1.0.0 -m ... registers one; penstock get takes a path from any commit",
        )
    return versions[max(versions, key=version_key)]


def _pick(held: dict[str, str], key: str, words: str, kind: str) -> str:
    if key not in held:
        known = ", ".join(sorted(held)) or "none"
        raise NotFound(words, code="artifact.not_registered", hint=f"{kind} there are: {known}")
    return held[key]


def version_key(version: str) -> tuple[object, ...]:
    """Return what orders versions such as `v1.2.3-rc.1` by the rules of semver.org, section 11."""
    match = _VERSION.fullmatch(version)
    if match is None:
        raise ValueError(version)
    numbers = tuple(int(part) for part in match["numbers"].split("."))
    before = match["before"]
    if before is None:
        return (*numbers, 1)
    parts = [(0, int(part), "") if part.isdigit() else (1, 0, part) for part in before.split(".")]
    return (*numbers, 0, parts)


def find_commit(
    url: str, name: str, base: Path, *, version: str | None = None, stage: str | None = None
) -> str:
    """Return the commit that a repository's tags give for an artifact.

    Raises:
        NotFound: nothing of the kind is registered there.
    """
    return choose_commit([Tag(*one) for one in list_tags(url, base)], name, version, stage)


def artifact_path(source: Source, name: str) -> str:
    """Return where an artifact's data are in its repository, from the dvc.yaml that declares it.

    Raises:
        NotFound: there is no such entry.
        Invalid: the entry is malformed.
    """
    directory, bare = split_name(name)
    file = posixpath.join(directory, "dvc.yaml")
    try:
        text = source_path(source, file).read_text()
    except (FileNotFoundError, NotADirectoryError):
        text = ""
    declared = load_document(text, file).get("artifacts") or {}
    entry = declared.get(bare) if isinstance(declared, dict) else None
    if entry is None:
        raise NotFound(
            f"{file} of {source.url} at {str(source.commit)[:12]} declares no artifact {bare}",
            code="artifact.not_declared",
            hint=f"add it under `artifacts:` with its `path`, and tag that commit {bare}@v…",
        )
    path = entry.get("path") if isinstance(entry, dict) else None
    if not isinstance(path, str) or not path:
        raise Invalid(f"{file}: artifacts.{bare}.path: expected a path", code="artifact.bad_entry")
    return posixpath.normpath(posixpath.join(directory, path))
