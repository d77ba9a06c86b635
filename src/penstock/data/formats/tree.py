"""Tree objects: the list of files of a tracked directory, byte for byte as DVC writes it.

The bytes are a JSON array of `{"md5": …, "relpath": …}`, sorted by relpath as text (the whole path, by code
point), with `", "` and `": "`, everything beyond ASCII escaped, no line end. The object's name is the md5 of
these bytes followed by `.dir`. Reading is strict: what does not belong is refused, since the paths will be
written to.

Source: dvc_data/hashfile/tree.py (3.18).
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Iterator, Mapping
from itertools import islice
from json.encoder import encode_basestring_ascii

from penstock.base.digest import digest_blocks, digest_bytes
from penstock.base.errors import Corrupt, Invalid
from penstock.data.files.ignore import BUILT_IN
from penstock.data.formats.output import TREE_SUFFIX, check_md5

BLOCK = 4096  # entries
# An empty, `.` or `..` part, or a `/` at either end, in names with a zero byte before and after each.
_BAD_PARTS = [f"{before}{part}{after}" for part in ("", ".", "..") for before in "\0/" for after in "\0/"]


def render_tree(entries: Iterable[tuple[str, str]]) -> bytes:
    """Encode (relpath, md5) pairs.

    Example:
        >>> render_tree([("b", "d41d8cd98f00b204e9800998ecf8427e")])
        b'[{"md5": "d41d8cd98f00b204e9800998ecf8427e", "relpath": "b"}]'
    """
    return b"".join(render_blocks(sorted(entries)))


def render_blocks(entries: Iterable[tuple[str, str]]) -> Iterator[bytes]:
    """Encode (relpath, md5) pairs that are in order, some thousands at a time."""
    quote, lead, pairs = encode_basestring_ascii, "[", iter(entries)
    while part := list(islice(pairs, BLOCK)):
        body = ", ".join([f'{{"md5": "{md5}", "relpath": {quote(relpath)}}}' for relpath, md5 in part])
        yield f"{lead}{body}".encode("ascii")
        lead = ", "
    yield b"[]" if lead == "[" else b"]"


def tree_md5(data: bytes) -> str:
    """Return the object id of a tree's bytes."""
    return digest_bytes(data, "md5") + TREE_SUFFIX


def blocks_md5(blocks: Iterable[bytes]) -> str:
    """Return the object id of a tree whose bytes come in blocks."""
    return digest_blocks(blocks, "md5") + TREE_SUFFIX


def parse_tree(data: bytes, where: str) -> dict[str, str]:
    """Decode a tree into md5 by relpath; `where` is what errors call it.

    Raises:
        Corrupt: it is not a tree, or an entry names a path outside the directory.
    """
    try:
        entries = json.loads(data)
        tree = {entry["relpath"]: entry["md5"] for entry in entries}
    except (ValueError, TypeError, KeyError, RecursionError):
        raise _corrupt(where, "it is not a list of files") from None
    try:
        is_plain = are_plain(tree) and _are_md5s(tree.values())
    except TypeError:  # something that is no text
        is_plain = False
    if not is_plain:
        for relpath, md5 in tree.items():
            check_md5(md5, where)
            check_relpath(relpath, where)
    if len(tree) != len(entries):
        raise _corrupt(where, "a path stands twice")
    check_nesting(tree, where)
    return tree


def are_plain(names: Collection[str]) -> bool:
    """Say at once that all paths stay inside their directory; when not, each is looked at to name it.

    Measured on 20,000 entries: 3 ms in place of 30 ms.
    """
    joined = "\0".join(["", *names, ""])
    return joined.count("\0") == len(names) + 1 and not any(bad in joined for bad in _BAD_PARTS)


def _are_md5s(found: Collection[str]) -> bool:
    md5s, zeros = "\0".join([*found, ""]), "\0" * len(found)
    return (
        len(md5s) == 33 * len(found)
        and md5s[32::33] == zeros
        and md5s.encode("utf-8", "replace").translate(None, b"0123456789abcdef") == zeros.encode()
    )


def check_relpath(relpath: object, where: str) -> str:
    """Return a relative path that stays below its directory.

    Raises:
        Corrupt: it is absolute, empty, holds a zero byte or a `.`, `..` or empty part.
    """
    if (
        not isinstance(relpath, str)
        or not relpath
        or "\0" in relpath
        or relpath[0] == "/"
        or ("." in relpath and not {".", ".."}.isdisjoint(relpath.split("/")))
        or "//" in relpath
        or relpath[-1] == "/"
    ):
        raise _corrupt(where, f"the path {relpath!r} does not stay inside the directory")
    return relpath


def check_placeable(relpaths: Iterable[str], where: str) -> None:
    """Refuse a tree that would put a repository of git or DVC into the workspace, with hooks and settings of its own.

    Raises:
        Invalid: a part of a path is called `.git`, `.hg` or `.dvc`.
    """
    joined = "/\0/".join(["", *relpaths, ""])
    for name in BUILT_IN:
        if f"/{name}/" in joined:
            at = joined.index(f"/{name}/")
            start, end = joined.rindex("\0/", 0, at + 1) + 2, joined.index("/\0", at + 1)
            raise Invalid(
                f"{where} holds {joined[start:end]!r}, which would be git's or DVC's own",
                code="data.outside",
                hint="take it out where the data come from, and add them again",
                path=joined[start:end],
            )


def check_nesting(tree: Mapping[str, str], where: str) -> None:
    """Refuse a tree in which a path is a file and a directory.

    Raises:
        Corrupt: as said.
    """
    folders = {relpath.rpartition("/")[0] for relpath in tree} - {""}
    while folders:
        for folder in folders & tree.keys():
            raise _corrupt(where, f"{folder!r} is both a file and a directory")
        folders = {folder.rpartition("/")[0] for folder in folders} - {""}


def _corrupt(where: str, why: str) -> Corrupt:
    return Corrupt(
        f"the directory object {where} is damaged: {why}", code="data.bad_tree", hint="penstock verify"
    )
