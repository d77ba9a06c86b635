"""The data verbs over everything that is tracked: pointers' outputs and the pipeline's together.

Pipeline outputs come in as a parameter (`extra_outputs`), so that the data part stays ignorant of
pipelines. A target is a pointer file, a tracked path, a path below a tracked directory, or a stage name;
one target is found without reading the other pointers.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from penstock.base.errors import Invalid, NotFound, Unavailable
from penstock.base.git import Git
from penstock.data import adding, diff, transfer
from penstock.data.checkout import Change, apply_checkout, plan_checkout
from penstock.data.hashing import hash_path, hash_tree
from penstock.data.lock import repository_lock
from penstock.data.output import HashInfo, Output
from penstock.data.pointer import SUFFIX, Pointer, list_pointers, load_pointer, parse_pointer
from penstock.data.repository import DataRepository
from penstock.data.status import output_state

ExtraOutputs = Callable[[], Iterable[Output]]
Progress = transfer.Progress


def no_outputs() -> Iterable[Output]:
    """Return no pipeline outputs: for repositories without a pipeline."""
    return ()


@dataclass(frozen=True)
class Chosen:
    """One selected output; `within` limits it to a path below a directory, `pointer` declares it."""

    output: Output
    within: str = ""
    pointer: Pointer | None = None


@dataclass
class TransferReport:
    """What a push, fetch or pull did, remote by remote, and what was checked out after a pull."""

    transfers: dict[str, transfer.Transfer] = field(default_factory=dict)
    changes: dict[str, Change] = field(default_factory=dict)

    @property
    def done(self) -> int:
        """Objects that were transferred."""
        return sum(one.done for one in self.transfers.values())

    @property
    def failed(self) -> dict[str, str]:
        """Objects that failed, with the reason."""
        return {md5: why for one in self.transfers.values() for md5, why in one.failed.items()}


def select(
    repo: DataRepository,
    targets: Sequence[str | Path] = (),
    extra_outputs: ExtraOutputs = no_outputs,
    *,
    base: Path | None = None,
    recursive: bool = False,
) -> list[Chosen]:
    """Resolve targets to outputs; no targets means all. Relative targets start at `base` (the root).

    Raises:
        NotFound: a target is not tracked.
    """
    if not targets:
        chosen = [Chosen(out, "", pointer) for pointer in list_pointers(repo) for out in pointer.outputs]
        return chosen + [Chosen(output) for output in extra_outputs()]
    found: list[Chosen] = []
    for target in targets:
        for one in _resolve(repo, str(target), extra_outputs, base or repo.root, recursive):
            if one not in found:
                found.append(one)
    return found


def _resolve(
    repo: DataRepository, target: str, extra_outputs: ExtraOutputs, base: Path, recursive: bool
) -> list[Chosen]:
    path = Path(os.path.normpath(base / target))
    if path.name.endswith(SUFFIX) and path.name != SUFFIX:
        pointer = load_pointer(repo, path)
        return [Chosen(output, "", pointer) for output in pointer.outputs]
    if path.is_relative_to(repo.root) and path != repo.root:
        owner = adding.find_owner(repo, path)
        if owner is not None:
            return [
                _within(output, path, owner) for output in owner.outputs if path.is_relative_to(output.path)
            ]
    outputs = list(extra_outputs())
    names = {target, f"dvc.yaml:{target}"} if ":" not in target else {target, target.removeprefix(":")}
    by_stage = [
        Chosen(out) for out in outputs if out.source in names or out.source.partition(":")[0] == target
    ]
    if by_stage:
        return by_stage
    owners = [_within(output, path, None) for output in outputs if path.is_relative_to(output.path)]
    if owners:
        return owners
    if path.is_dir():
        below = [one for one in select(repo, (), extra_outputs) if one.output.path.is_relative_to(path)]
        if below or recursive:
            return below
    for pointer in list_pointers(repo):
        for output in pointer.outputs:
            if path.is_relative_to(output.path):
                return [_within(output, path, pointer)]
    raise NotFound(
        f"{target} is not tracked", code="data.not_tracked", hint=f"penstock add {target}", target=target
    )


def _within(output: Output, path: Path, pointer: Pointer | None) -> Chosen:
    relative = path.relative_to(output.path).as_posix()
    return Chosen(output, "" if relative == "." else relative, pointer)


def add(repo: DataRepository, paths: Sequence[Path]) -> list[adding.Added]:
    """Track files and directories; `core.autostage` stages their pointers in git."""
    with repository_lock(repo):
        repo.cache.remove_stale_staging()
        done = [adding.add_path(repo, path) for path in paths]
    _autostage(repo, [path for one in done for path in one.changed])
    return done


def commit(
    repo: DataRepository, targets: Sequence[str] = (), *, base: Path | None = None
) -> list[adding.Added]:
    """Record what tracked paths hold now in their pointers; the pipeline's lock is not touched."""
    with repository_lock(repo):
        chosen = select(repo, targets, base=base)
        pointers = {one.pointer.path: one.pointer for one in chosen if one.pointer is not None}
        done = [
            adding.commit_pointer(repo, pointer)
            for pointer in pointers.values()
            if any(_differs(repo, output) for output in pointer.outputs)
        ]
    _autostage(repo, [path for one in done for path in one.changed])
    return done


def _differs(repo: DataRepository, output: Output) -> bool:
    return output_state(repo, output) != "unchanged"


def _autostage(repo: DataRepository, paths: list[Path]) -> None:
    root = repo.git_root()
    if paths and root is not None and repo.config.is_set("core", "autostage"):
        Git(root).run("add", "--", *(str(path) for path in paths))


def status(
    repo: DataRepository,
    targets: Sequence[str] = (),
    *,
    base: Path | None = None,
    extra: Mapping[str, list[Any]] | None = None,
) -> dict[str, list[Any]]:
    """Return what changed in the shape of `dvc status --json`: by pointer, `changed outs`.

    `extra` is the pipeline's own answer in the same shape; it comes first.
    """
    base = base or repo.root
    result: dict[str, list[Any]] = dict(extra or {})
    for one in select(repo, targets, base=base):
        if one.pointer is None:
            continue
        state = output_state(repo, one.output)
        if state == "unchanged":
            continue
        address = os.path.relpath(one.pointer.path, base)
        entry = result.setdefault(address, [{"changed outs": {}}])
        entry[0]["changed outs"][os.path.relpath(one.output.path, base)] = state
    return result


def checkout(
    repo: DataRepository,
    targets: Sequence[str] = (),
    extra_outputs: ExtraOutputs = no_outputs,
    *,
    base: Path | None = None,
    force: bool = False,
) -> dict[str, Change]:
    """Bring tracked paths to their recorded content; return what changed by path.

    All plans are made before any is applied: a refusal or a missing object changes nothing.

    Raises:
        Refused: unsaved work would be lost and `force` was not given.
        NotFound: objects are missing from the cache.
    """
    with repository_lock(repo):
        chosen = select(repo, targets, extra_outputs, base=base)
        plans = [plan_checkout(repo, one.output, one.within) for one in chosen]
        for plan in plans:
            if plan.at_risk and not force:
                apply_checkout(repo, plan)  # raises its refusal before anything is written
        changes: dict[str, Change] = {}
        for plan in plans:
            change = apply_checkout(repo, plan, force=force)
            if change != "unchanged":
                changes[repo.relative(plan.output.path)] = change
    return changes


def push(
    repo: DataRepository,
    targets: Sequence[str] = (),
    extra_outputs: ExtraOutputs = no_outputs,
    *,
    options: TransferOptions | None = None,
) -> TransferReport:
    """Upload tracked content to its remotes."""
    return _transfer(repo, targets, extra_outputs, options or TransferOptions(), transfer.push_objects)


def fetch(
    repo: DataRepository,
    targets: Sequence[str] = (),
    extra_outputs: ExtraOutputs = no_outputs,
    *,
    options: TransferOptions | None = None,
) -> TransferReport:
    """Download tracked content from its remotes into the cache."""
    return _transfer(repo, targets, extra_outputs, options or TransferOptions(), transfer.fetch_objects)


def pull(
    repo: DataRepository,
    targets: Sequence[str] = (),
    extra_outputs: ExtraOutputs = no_outputs,
    *,
    options: TransferOptions | None = None,
    force: bool = False,
) -> TransferReport:
    """Fetch, then check out.

    Raises:
        Unavailable: not everything could be fetched; nothing was checked out.
    """
    options = options or TransferOptions()
    report = fetch(repo, targets, extra_outputs, options=options)
    raise_failures(report, "fetched")
    report.changes = checkout(repo, targets, extra_outputs, base=options.base, force=force)
    return report


@dataclass(frozen=True)
class TransferOptions:
    """`remote` by name (None: each output's own or the default), `jobs` at once (0: the backend's choice)."""

    remote: str | None = None
    jobs: int = 0
    base: Path | None = None
    progress: Progress | None = None


def _transfer(
    repo: DataRepository,
    targets: Sequence[str],
    extra_outputs: ExtraOutputs,
    options: TransferOptions,
    move: Callable[..., transfer.Transfer],
) -> TransferReport:
    report = TransferReport()
    by_remote: dict[str | None, list[HashInfo]] = {}
    with repository_lock(repo):
        for one in select(repo, targets, extra_outputs, base=options.base):
            output = one.output
            if output.hash is None or not output.cached or output.is_import:
                continue
            if move is transfer.push_objects and not output.push:
                continue
            by_remote.setdefault(options.remote or output.remote, []).extend(_content(repo, one))
        for name, hashes in by_remote.items():
            chosen = repo.remote_name(name)
            backend = repo.remote(chosen)
            try:
                report.transfers[chosen] = move(
                    repo, hashes, backend, jobs=options.jobs, progress=options.progress
                )
            finally:
                backend.close()
        if not by_remote:
            repo.remote_name(options.remote)
    return report


def _content(repo: DataRepository, one: Chosen) -> list[HashInfo]:
    info = one.output.hash
    if info is None:
        return []
    if one.output.files is not None:
        return [found for _, found in one.output.files]
    if one.within and repo.cache.find(info) is not None:
        tree = repo.cache.load_tree(info)
        head = f"{one.within}/"
        return [HashInfo(md5) for name, md5 in tree.items() if name == one.within or name.startswith(head)]
    return [info]


def raise_failures(report: TransferReport, verb: str) -> None:
    """Raise when some objects failed, naming how many and the first reason.

    Raises:
        Unavailable: as said.
    """
    failed = report.failed
    if failed:
        md5, why = next(iter(failed.items()))
        raise Unavailable(
            f"{len(failed)} objects were not {verb}: {why}",
            code="data.incomplete",
            hint="run the same command again; what arrived is kept",
            first=md5,
            failed=len(failed),
        )


def compare_revisions(
    repo: DataRepository,
    old: str = "HEAD",
    new: str | None = None,
    *,
    targets: Sequence[str] = (),
    extra_outputs: ExtraOutputs = no_outputs,
    extra_outputs_at: Callable[[str], Iterable[Output]] | None = None,
) -> dict[str, list[dict[str, Any]]]:
    """Compare tracked data of two revisions, or of a revision and the workspace (`new` None).

    `extra_outputs_at` gives the pipeline's outputs as of a revision. Returns an empty mapping when
    nothing differs, else the lists of `dvc diff --json` with hashes.
    """
    trees: dict[str, Mapping[str, str]] = {}
    git = Git(repo.root)
    if git.head() is None:
        return {}
    before = _state_at(repo, git, old, extra_outputs_at)
    if new is not None:
        after = _state_at(repo, git, new, extra_outputs_at)
    else:
        after = _workspace_state(repo, extra_outputs, trees)
    old_list, old_unknown = diff.expand(repo, before, trees)
    new_list, new_unknown = diff.expand(repo, after, trees)
    result = diff.compare(old_list, new_list, old_unknown | new_unknown)
    if new is None:
        absent = repo.cache.missing(set(old_list.values()))
        result["not in cache"] = [
            {"path": path, "hash": md5} for path, md5 in sorted(old_list.items()) if md5 in absent
        ]
    if targets:
        result = _limit(result, targets)
    return result if any(result.values()) else {}


def _state_at(
    repo: DataRepository, git: Git, revision: str, extra_outputs_at: Callable[[str], Iterable[Output]] | None
) -> dict[str, HashInfo]:
    sha = git.resolve(revision)
    top = git.run("rev-parse", "--show-prefix", check=False)
    state: dict[str, HashInfo] = {}
    listed = git.run_bytes("ls-tree", "-r", "-z", "--name-only", sha, ".")
    for raw in listed.split(b"\0"):
        name = os.fsdecode(raw)
        if not name.endswith(SUFFIX) or name.rpartition("/")[2] == SUFFIX or name.startswith(f"{SUFFIX}/"):
            continue
        text = git.show(sha, f"{top}{name}").decode()
        for output in parse_pointer(repo, repo.root / name, text).outputs:
            if output.hash is not None:
                state[repo.relative(output.path)] = output.hash
    for output in extra_outputs_at(sha) if extra_outputs_at else ():
        if output.hash is not None:
            state[repo.relative(output.path)] = output.hash
    return state


def _workspace_state(
    repo: DataRepository, extra_outputs: ExtraOutputs, trees: dict[str, Mapping[str, str]]
) -> dict[str, HashInfo]:
    state: dict[str, HashInfo] = {}
    for one in select(repo, (), extra_outputs):
        path = one.output.path
        if not path.exists():
            continue
        if path.is_dir():
            tree = hash_tree(repo, path)
            state[repo.relative(path)] = tree.info
            if not repo.cache.has_md5(tree.info.md5):
                trees[tree.info.md5] = tree.files()
        else:
            state[repo.relative(path)] = hash_path(repo, path)
    return state


def _limit(
    result: dict[str, list[dict[str, Any]]], targets: Sequence[str]
) -> dict[str, list[dict[str, Any]]]:
    def covered(path: str) -> bool:
        return any(
            path.rstrip("/") == t or path.startswith(f"{t}/") for t in (one.rstrip("/") for one in targets)
        )

    def paths(entry: dict[str, Any]) -> list[str]:
        path = entry["path"]
        return list(path.values()) if isinstance(path, dict) else [path]

    return {key: [one for one in entries if any(map(covered, paths(one)))] for key, entries in result.items()}


def remove(
    repo: DataRepository, targets: Sequence[str], *, base: Path | None = None, with_data: bool = False
) -> list[Path]:
    """Stop tracking by pointer file or path; return the files that changed for git."""
    changed: list[Path] = []
    with repository_lock(repo):
        for one in select(repo, targets, base=base):
            if one.pointer is None or one.within:
                raise Invalid(
                    f"{one.output.path.name} is not declared by a pointer of its own",
                    code="data.not_a_pointer",
                )
            changed += adding.remove_pointer(repo, one.pointer, with_data=with_data)
    _autostage(repo, [path for path in changed if path.exists()])
    return changed


def cloud_status(
    repo: DataRepository,
    targets: Sequence[str] = (),
    extra_outputs: ExtraOutputs = no_outputs,
    *,
    options: TransferOptions | None = None,
) -> dict[str, str]:
    """Compare cache and remote in the shape of `dvc status -c --json`.

    By path of an output or of a file below a directory: `new` is only in the cache, `deleted` only on the
    remote, `missing` in neither.
    """
    options = options or TransferOptions()
    chosen = select(repo, targets, extra_outputs, base=options.base)
    backend = repo.remote(options.remote)
    try:
        names: dict[str, list[str]] = {}
        for one in chosen:
            if one.output.hash is None or not one.output.cached:
                continue
            path = repo.relative(one.output.path)
            names.setdefault(one.output.hash.md5, []).append(path)
            if one.output.hash.is_tree and repo.cache.find(one.output.hash) is not None:
                for name, md5 in repo.cache.load_tree(one.output.hash).items():
                    names.setdefault(md5, []).append(f"{path}/{name}")
        remote_absent = set(transfer.find_absent(backend, names))
        local_absent = repo.cache.missing(set(names))
    finally:
        backend.close()
    words = {(True, False): "new", (False, True): "deleted", (True, True): "missing"}
    result = {}
    for md5, paths in names.items():
        word = words.get((md5 in remote_absent, md5 in local_absent))
        for path in paths:
            if word is not None:
                result[path] = word
    return dict(sorted(result.items()))
