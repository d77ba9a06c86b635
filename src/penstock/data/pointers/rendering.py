"""The text of pointers, byte for byte as DVC writes it: new, with other content, moved.

Reading them is `penstock.data.pointers.pointer`.

Source: dvc/stage/serialize.py, dvc/output.py (3.67).
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from penstock.base.digest import digest_bytes
from penstock.data.formats.output import HashInfo
from penstock.data.pointers.origins import origin_base, seen_from_root
from penstock.data.pointers.pointer import CANONICAL, PATH, WORDS, Pointer

_GROUPS = {"size": 2, "nfiles": 3, "isexec": 4}
"""The groups of `CANONICAL` that may be absent."""
_PLAIN_MD5 = re.compile(r"(?=.*[a-df])(?!\d+e\d+\Z)[0-9a-f]{32}(?:\.dir)?\Z")
_NO_IDENTITY = frozenset(
    {"desc", "type", "labels", "meta", "locked", "frozen", "metric", "persist", "isexec", "size", "nfiles"}
)


def render_new(name: str, info: HashInfo) -> str:
    """Render the pointer of a newly added path.

    Example:
        >>> print(render_new("x", HashInfo("d41d8cd98f00b204e9800998ecf8427e", 0)), end="")
        outs:
        - md5: d41d8cd98f00b204e9800998ecf8427e
          size: 0
          hash: md5
          path: x
    """
    entry = hash_entry(info)
    if (
        _PLAIN_MD5.match(info.md5)
        and re.fullmatch(PATH, name)
        and len(name) < 60
        and name.lower() not in WORDS
    ):
        lines = [f"  {key}: {'true' if value is True else value}\n" for key, value in entry.items()]
        body = "".join(lines)
        return f"outs:\n- {body[2:]}  hash: md5\n  path: {name}\n"
    from penstock.data.formats.yamltext import dump_document

    return dump_document({"outs": [{**entry, "hash": "md5", "path": name}]})


def hash_entry(info: HashInfo) -> dict[str, Any]:
    """Return the content keys of an entry in DVC's order."""
    entry: dict[str, Any] = {"md5": info.md5}
    if info.size is not None:
        entry["size"] = info.size
    if info.nfiles is not None:
        entry["nfiles"] = info.nfiles
    if info.isexec:
        entry["isexec"] = True
    return entry


def render_updated(pointer: Pointer, index: int, info: HashInfo) -> str:
    """Render a pointer with the content of one output replaced; comments and other keys stay."""
    match = CANONICAL.match(pointer.text)
    values = {**hash_entry(info), "hash": "md5"}
    if match and {name for name, at in _GROUPS.items() if match[at]} == values.keys() - {"md5", "hash"}:
        return render_new(match[5], info)
    from penstock.data.formats.yamltext import dump_document, load_document

    document = load_document(pointer.text, str(pointer.path))
    entry = document["outs"][index]
    for key in ("md5", "size", "nfiles", "isexec", "etag", "checksum", "version_id", "cloud", "files"):
        if key in entry and key not in values:
            del entry[key]
    entry.update(values)  # a key that is new comes last, as DVC's edit of the text does it
    return dump_document(document)


def render_moved(root: Path, pointer: Pointer, new_pointer: Path, target: Path) -> str:
    """Render a pointer whose only output moves to `target`; local dependencies are kept in reach.

    The address of an import's repository counts from the repository's root afterwards.
    """
    match = CANONICAL.match(pointer.text)
    name = os.path.relpath(target, new_pointer.parent / pointer.wdir)
    if match and pointer.outputs[0].hash is not None:
        return render_new(name, pointer.outputs[0].hash)
    from penstock.data.formats.yamltext import dump_document, load_document

    document = load_document(pointer.text, str(pointer.path))
    document["outs"][0]["path"] = name
    for entry in document.get("deps") or ():
        path = str(entry.get("path", ""))
        if origin := entry.get("repo"):
            base = origin_base(root, pointer.path.parent, origin)
            origin["url"] = seen_from_root(root, base, str(origin["url"]))
        elif "://" not in path and not path.startswith("/"):
            old = os.path.normpath(pointer.path.parent / pointer.wdir / path)
            entry["path"] = os.path.relpath(old, new_pointer.parent / pointer.wdir)
    if "md5" in document:
        document["md5"] = pointer_md5(document)
    return dump_document(document)


def pointer_md5(document: Mapping[str, Any]) -> str:
    """Return the `md5` of a pointer that has dependencies: of what it declares, not of its comments.

    Source: dvc/stage/utils.py, `compute_md5`; dvc/utils/__init__.py, `dict_hash` (3.67).
    """
    body = {key: value for key, value in document.items() if key not in {"md5", "meta", "desc"}}
    if body.get("wdir") == ".":
        del body["wdir"]
    data = json.dumps(_identity(body), sort_keys=True).encode()
    return digest_bytes(data, "md5")


def _identity(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _identity(item) for key, item in value.items() if key not in _NO_IDENTITY}
    return [_identity(item) for item in value] if isinstance(value, list) else value
