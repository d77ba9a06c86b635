"""Which build of Penstock this is: its version, the commit it was made from where that is known, the schema it knows.

No program is started and no library imported, since programs ask often: git's own files are read where this runs from a
checkout, and what the installer noted elsewhere.

**Source**: gitrepository-layout(5); PEP 610 (`direct_url.json`) for what was installed from version control.
"""

from __future__ import annotations

import os

from penstock.base.store.head import HEAD

BUILD_LABELS = ("version", "commit", "schema")
"""What `penstock_build_info` is told by; see `describe_build`."""
_SHOWN = 12
_PACKAGE = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


def describe_build(version: str) -> tuple[str, str, str]:
    """Return the values of `BUILD_LABELS`; the commit is empty where nobody knows."""
    return version, find_commit(_PACKAGE, version), HEAD


def told_build(version: str) -> str:
    """Return the same in words, the version first."""
    version, commit, schema = describe_build(version)
    return f"{version} ({f'commit {commit}, ' if commit else ''}schema {schema})"


def find_commit(package: str, version: str) -> str:
    """Return the first digits of the commit that the package in a directory was made from, or nothing."""
    place = os.path.dirname(package)
    root = os.path.dirname(place)
    if os.path.basename(place) == "src" and '\nname = "penstock"' in _read(f"{root}/pyproject.toml"):
        found = _of_checkout(f"{root}/.git")
    else:
        note = _read(f"{place}/penstock-{version}.dist-info/direct_url.json")
        found = "".join(note.partition('"commit_id"')[2].split('"')[1:2])  # json would import re
    is_commit = len(found) >= 40 and not found.strip("0123456789abcdef")
    return found[:_SHOWN] if is_commit else ""


def _of_checkout(git: str) -> str:
    if os.path.isfile(git):  # of a worktree or a submodule
        git = os.path.join(os.path.dirname(git), _read(git).partition("gitdir:")[2].strip())
    shared = os.path.join(git, _read(f"{git}/commondir"))
    head = _read(f"{git}/HEAD")
    name = head.partition("ref:")[2].strip()
    if not name:
        return head
    if found := _read(f"{git}/{name}") or _read(f"{shared}/{name}"):
        return found
    packed = (line.partition(" ") for line in _read(f"{shared}/packed-refs").splitlines())
    return next((commit for commit, _, ref in packed if ref == name), "")


def _read(path: str) -> str:
    try:
        with open(path, encoding="utf-8") as file:
            return file.read().strip()
    except (OSError, ValueError):
        return ""
