"""What experiments and their baselines say: parameters, metrics, dependencies and outputs, in DVC's shape.

What a commit says never changes, so it is kept in `.dvc/tmp`. What is not known yet is read from a directory into
which, from commit to commit, only the small files that differ are written.

Source: dvc/repo/experiments/serialize.py and collect.py (3.67).
"""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

import msgspec

from penstock.base.errors import PenstockError
from penstock.base.files import write_atomic
from penstock.base.git import Git
from penstock.data.files.ignore import IgnoreRules
from penstock.data.formats.output import HashInfo
from penstock.data.pointers.pointer import list_pointers
from penstock.data.repository import DataRepository
from penstock.flows.pipelines.measures import read_metrics, read_parameters
from penstock.flows.pipelines.snapshot import Snapshot, is_describing, list_describing
from penstock.flows.tracked.history import read_blobs
from penstock.pipeline.lockfile import load_entries

Document = dict[str, Any]
"""`{"data": …}` as DVC's `exp show --json` has it, or `{"error": {"msg", "type"}}`."""
WORKSPACE = "workspace"
FOLDER = "penstock-experiments"


def read_workspace(repo: DataRepository, git: Git, *, param_deps: bool = False) -> Document:
    """Return what the workspace says."""
    return _read(Snapshot(repo, None, git), WORKSPACE, None, param_deps=param_deps)


def read_commits(
    repo: DataRepository, git: Git, times: Mapping[str, int], *, param_deps: bool = False, anew: bool = False
) -> dict[str, Document]:
    """Return what commits say, by id.

    Args:
        times: the commits with their times, in Unix seconds.
        param_deps: leave out parameters that no stage depends on.
        anew: read what is known already too.
    """
    found: dict[str, Document] = {}
    decode = msgspec.json.Decoder().decode
    if not (param_deps or anew):
        for commit in times:
            with suppress(OSError, msgspec.MsgspecError), open(_place(repo, commit), "rb") as file:
                found[commit] = decode(file.read())
    missing = [commit for commit in times if commit not in found]
    if missing:
        for commit, document in _read_missing(repo, git, missing, times, param_deps=param_deps).items():
            found[commit] = document
            if not (param_deps or _has_error(document)):
                _save(repo, commit, document)
    return {commit: found[commit] for commit in times}


def remember(repo: DataRepository, tree: DataRepository, git: Git, commit: str, time_s: int) -> None:
    """Keep what a commit says, read from a working tree that is as it; `repo` is where that is kept."""
    document = _read(Snapshot(tree, None, git), commit, time_s)
    if not _has_error(document):
        _save(repo, commit, document)


def _read_missing(
    repo: DataRepository, git: Git, commits: Sequence[str], times: Mapping[str, int], *, param_deps: bool
) -> dict[str, Document]:
    files = _files_of(git, commits)
    texts = read_blobs(repo.root, {blob for one in files.values() for blob in one.values()})
    found = {}
    with tempfile.TemporaryDirectory(prefix="penstock-experiments-") as folder:
        present: dict[str, str] = {}
        for commit in commits:
            _bring(Path(folder), present, files[commit], texts)
            present = files[commit]
            at = replace(repo, root=Path(folder), ignore=IgnoreRules(folder), seen={})
            found[commit] = _read(Snapshot(at, commit, git), commit, times[commit], param_deps=param_deps)
    return found


def _files_of(git: Git, commits: Sequence[str]) -> dict[str, dict[str, str]]:
    """Return the blobs of the files that describe pipelines, by path, of each commit.

    One listing for each parent, and one comparison of all commits with theirs.
    """
    fields = git.feed(
        "\n".join([*commits, ""]).encode(), "diff-tree", "--stdin", "-r", "-z", "-m", "--relative", "--root"
    ).split(b"\0")
    parents = git.run("rev-list", "--no-walk=unsorted", "--parents", *commits).splitlines()
    first = {words[0]: words[1:] for words in (line.split() for line in parents)}
    listed: dict[str, dict[str, str]] = {}
    changes: dict[str, list[tuple[str, str | None]]] = {commit: [] for commit in commits}
    current, at = "", 0
    while at < len(fields) - 1:
        if not fields[at].startswith(b":"):
            current = fields[at].split()[0].decode()
            at += 1
            continue
        _, mode, _, blob, _ = fields[at].split()
        name = os.fsdecode(fields[at + 1])
        if is_describing(name):
            changes[current].append((name, blob.decode() if mode.startswith(b"100") else None))
        at += 2
    found = {}
    for commit in commits:
        above = first.get(commit, [])
        if len(above) != 1:
            found[commit] = list_describing(git, commit)
            continue
        if above[0] not in listed:
            listed[above[0]] = list_describing(git, above[0])
        files = dict(listed[above[0]])
        for name, changed in changes[commit]:
            files.pop(name, None)
            if changed is not None:
                files[name] = changed
        found[commit] = files
    return found


def _bring(
    folder: Path, present: Mapping[str, str], wanted: Mapping[str, str], texts: Mapping[str, bytes]
) -> None:
    for name in present.keys() - wanted.keys():
        (folder / name).unlink(missing_ok=True)
    for name, blob in wanted.items():
        if present.get(name) != blob:
            place = folder / name
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes(texts[blob])


def _read(snapshot: Snapshot, revision: str, time_s: int | None, *, param_deps: bool = False) -> Document:
    try:
        return {"data": _data(snapshot, revision, time_s, param_deps=param_deps)}
    except PenstockError as error:
        return {"error": {"msg": error.message, "type": type(error).__name__}}


def _data(snapshot: Snapshot, revision: str, time_s: int | None, *, param_deps: bool) -> Document:
    repo = snapshot.repo
    stages = snapshot.stages
    entries = load_entries(repo.root, stages)
    dependencies: dict[str, Document] = {}
    outputs: dict[str, Document] = {}
    for stage in stages:
        entry = entries.get(stage.address)
        locked = {item.path: item.hash for item in entry.dependencies} if entry else {}
        made = {item.path: item.hash for item in entry.outputs} if entry else {}
        for path in stage.dependencies:
            dependencies[stage.place(path)] = _hash(locked.get(path))
        for output in stage.outputs:
            if output.kind == "out":
                described = _hash(made.get(output.path))
                outputs[stage.place(output.path)] = described | _kind(output.is_cached, is_source=False)
    for pointer in list_pointers(repo):
        for tracked in pointer.outputs:
            outputs[repo.relative(tracked.path)] = _hash(tracked.hash) | _kind(tracked.cached, is_source=True)
    return {
        "rev": revision,
        "timestamp": None if time_s is None else datetime.fromtimestamp(time_s).isoformat(),
        "params": _documents(read_parameters(snapshot, only_dependencies=param_deps)),
        "metrics": _documents(read_metrics(snapshot)),
        "deps": dependencies,
        "outs": outputs,
        "meta": {},
    }


def _documents(readings: Mapping[str, Any]) -> Document:
    return {path: reading.to_document() for path, reading in readings.items()}


def _hash(info: HashInfo | None) -> Document:
    return {
        "hash": info.md5 if info else None,
        "size": info.size if info else None,
        "nfiles": info.nfiles if info else None,
    }


def _kind(is_cached: bool, *, is_source: bool) -> Document:
    return {"use_cache": is_cached, "is_data_source": is_source}


def _has_error(document: Document) -> bool:
    data = document.get("data")
    return data is None or any(
        "error" in one for kind in ("params", "metrics") for one in data[kind].values()
    )


def _place(repo: DataRepository, commit: str) -> str:
    return f"{repo.dvc_dir}/tmp/{FOLDER}/{commit[:2]}/{commit[2:]}.json"


def _save(repo: DataRepository, commit: str, document: Document) -> None:
    with suppress(OSError, TypeError, ValueError):  # what JSON has no word for, as NaN, is read again
        json.dumps(document, allow_nan=False, default=str)  # msgspec writes NaN as null
        write_atomic(Path(_place(repo, commit)), msgspec.json.encode(document), durable=False)


def forget(repo: DataRepository, commits: Iterable[str]) -> None:
    """Drop what is kept of commits."""
    for commit in commits:
        with suppress(OSError):
            os.unlink(_place(repo, commit))
