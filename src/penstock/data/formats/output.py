"""What a pointer or a pipeline lock says about one tracked path: its content and how it is kept.

Shared by `.dvc` pointers (`penstock.data.pointers.pointer`) and pipeline locks; it reads and writes nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from penstock.base.errors import Invalid

Algorithm = Literal["md5", "md5-dos2unix"]
Within = str | frozenset[str]  # a path below a tracked directory, or some of its files; "" is all of it
TREE_SUFFIX = ".dir"
_HEX = frozenset("0123456789abcdef")


@dataclass(frozen=True, slots=True)
class HashInfo:
    """The content of a file or a directory.

    `md5` is 32 lower-case hex digits, followed by `.dir` for a directory. `md5-dos2unix` marks content
    that DVC 2 hashed with line ends normalised; it is read, never written.
    """

    md5: str
    size: int | None = None
    nfiles: int | None = None
    isexec: bool = False
    algorithm: Algorithm = "md5"

    @property
    def is_tree(self) -> bool:
        """Whether it is a directory's."""
        return self.md5.endswith(TREE_SUFFIX)

    def same_content(self, other: HashInfo | None) -> bool:
        """Say whether both name the same bytes."""
        return other is not None and self.md5 == other.md5 and self.algorithm == other.algorithm


@dataclass(frozen=True, slots=True)
class Output:
    """One tracked path: where it is, what it should hold, who declares it and how it is kept.

    `path` is absolute, `source` what declares it (`data/x.dvc`, `dvc.yaml:train`), relative to the root.
    `hash` is None while it was never computed. `cached` False means that git holds it, `push` False that
    it never leaves this cache, `remote` the only remote it goes to. `is_import` marks what comes from
    elsewhere and is fetched from there. `files` holds the entries of a cloud-versioned directory, which
    has no tree object.
    """

    path: Path
    hash: HashInfo | None
    source: str
    cached: bool = True
    push: bool = True
    remote: str | None = None
    persist: bool = False
    is_import: bool = False
    files: tuple[tuple[str, HashInfo], ...] | None = None


def check_md5(text: object, where: str) -> str:
    """Return `text` when it is an object id: 32 hex digits and perhaps `.dir`.

    Everything that becomes a path below a cache or a remote passes through here, so that `../` in a
    digest field goes nowhere.

    Raises:
        Invalid: it is not.
    """
    if isinstance(text, str):
        digest = text.removesuffix(TREE_SUFFIX)
        if len(digest) == 32 and _HEX.issuperset(digest):
            return text
    raise Invalid(f"{where}: not an md5: {text!r}", code="data.bad_digest", where=where)


def is_within(name: str, within: Within) -> bool:
    """Say whether a file of a tracked directory is meant."""
    if not isinstance(within, str):
        return name in within
    return not within or name == within or name.startswith(f"{within}/")
