"""Read and write `dvc.lock`: what each stage last ran with, in DVC 3's format.

An entry's paths are relative to the stage's working directory; dependencies and outputs are sorted by
path. Entries are written by `lockwriting`.
Source: DVC 3.67 `dvc/stage/serialize.py`, `dvc/dvcfile.py`.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from penstock.base.conflicts import refuse_conflict
from penstock.base.digest import digest_bytes, digest_value
from penstock.base.errors import Invalid
from penstock.base.files import write_atomic
from penstock.data.formats.output import HashInfo, check_md5
from penstock.data.formats.plainyaml import NotYamlError, load, parse_plain
from penstock.data.pointers.metafiles import find_definitions
from penstock.data.repository import DataRepository
from penstock.pipeline.stage import Stage

LOCK_FILE = "dvc.lock"
SCHEMA = "2.0"


@dataclass(frozen=True)
class LockedPath:
    """One dependency or output of a locked stage."""

    path: str
    hash: HashInfo


@dataclass(frozen=True)
class LockEntry:
    """What a stage ran with: the identity of its result."""

    command: str | tuple[str, ...]
    dependencies: tuple[LockedPath, ...] = ()
    parameters: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    outputs: tuple[LockedPath, ...] = ()

    def to_document(self) -> dict[str, Any]:
        """Return the entry as it stands in the file, keys in DVC's order."""
        document: dict[str, Any] = {
            "cmd": self.command if isinstance(self.command, str) else list(self.command)
        }
        if self.dependencies:
            document["deps"] = [_path_document(item) for item in self.dependencies]
        if self.parameters:
            document["params"] = {file: dict(values) for file, values in self.parameters.items()}
        if self.outputs:
            document["outs"] = [_path_document(item) for item in self.outputs]
        return document

    @property
    def digest(self) -> str:
        """The key of this stage result: sha256 of the entry's canonical form."""
        return digest_value(self.to_document())


def load_entries(root: Path, stages: Iterable[Stage]) -> dict[str, LockEntry]:
    """Return what is locked of stages by their address, from the locks beside their definitions."""
    locks = {home: load_lock(root / home) for home in {stage.home for stage in stages}}
    return {
        stage.address: locks[stage.home][stage.name] for stage in stages if stage.name in locks[stage.home]
    }


def load_lock(root: Path) -> dict[str, LockEntry]:
    """Return the locked stages by name; none where there is no lock file.

    Raises:
        Invalid: the file is not a DVC lock.
    """
    path = root / LOCK_FILE
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return {}
    return parse_lock(text, str(path))


def parse_lock(text: str, name: str) -> dict[str, LockEntry]:
    """Parse the text of a lock file; `name` is what errors call it."""
    refuse_conflict(
        text,
        name,
        f"git checkout --ours {shlex.quote(name)} (or --theirs), git add {shlex.quote(name)}, then penstock repro",
    )
    try:
        document = parse_plain(text) or load(text) or {}
        stages = document.get("stages", {})
        return {stage: _parse_entry(entry) for stage, entry in stages.items()}
    except NotYamlError as error:
        problem = " ".join(str(error).split())
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        problem = f"not a dvc.lock: {error!r}"
    raise Invalid(
        f"{name}: {problem}",
        code="pipeline.bad_lock",
        hint="git checkout dvc.lock, or delete it and run penstock repro",
    )


def parse_entry(text: str, name: str) -> LockEntry:
    """Parse the text of one stage's entry.

    Raises:
        Invalid: it is not one.
    """
    indented = "".join(f"    {line}\n" for line in text.splitlines())
    return parse_lock(f"stages:\n  it:\n{indented}", name)["it"]


def drop_entries(root: Path, name: str) -> Path | None:
    """Take a stage, or a group of them, out of the lock; return the file if it changed, which goes with its last stage."""
    from penstock.data.formats.yamltext import dump_document, load_document

    path = root / LOCK_FILE
    if not path.exists():
        return None
    document = load_document(path.read_text(encoding="utf-8"), str(path))
    stages = document.get("stages") or {}
    gone = [one for one in stages if one == name or one.startswith(f"{name}@")]
    if not gone:
        return None
    for one in gone:
        del stages[one]
    if stages:
        write_atomic(path, dump_document(document).encode())
    else:
        path.unlink()
    return path


def lock_digest(repo: DataRepository) -> str | None:
    """Return the digest of the pipelines' locks as they are, or None where there are none."""
    locks = read_locks(repo)
    return digest_bytes(locks) if locks is not None else None


def lock_files(repo: DataRepository) -> list[str]:
    """Return the locks there may be, relative to the root."""
    found = [path.with_name(LOCK_FILE) for path in find_definitions(repo)]
    return [path.relative_to(repo.root).as_posix() for path in found] or [LOCK_FILE]


def read_locks(repo: DataRepository) -> bytes | None:
    """Return the root's lock as it is, or, where others are, a JSON mapping of all their texts by path."""
    found = {
        name: (repo.root / name).read_bytes() for name in lock_files(repo) if (repo.root / name).is_file()
    }
    if list(found) == [LOCK_FILE]:
        return found[LOCK_FILE]
    return json.dumps({name: data.decode() for name, data in found.items()}).encode() if found else None


def _path_document(item: LockedPath) -> dict[str, Any]:
    document: dict[str, Any] = {"path": item.path, "hash": "md5", "md5": item.hash.md5}
    if item.hash.size is not None:
        document["size"] = item.hash.size
    if item.hash.nfiles is not None:
        document["nfiles"] = item.hash.nfiles
    if item.hash.isexec:
        document["isexec"] = True
    return document


def _parse_entry(entry: Mapping[str, Any]) -> LockEntry:
    command = entry["cmd"]
    return LockEntry(
        command=command if isinstance(command, str) else tuple(command),
        dependencies=tuple(_parse_path(item) for item in entry.get("deps", ())),
        parameters=entry.get("params", {}),
        outputs=tuple(_parse_path(item) for item in entry.get("outs", ())),
    )


def _parse_path(item: Mapping[str, Any]) -> LockedPath:
    return LockedPath(
        path=str(item["path"]),
        hash=HashInfo(
            md5=check_md5(item["md5"], LOCK_FILE),
            size=item.get("size"),
            nfiles=item.get("nfiles"),
            isexec=bool(item.get("isexec", False)),
            algorithm="md5" if item.get("hash") == "md5" else "md5-dos2unix",
        ),
    )
