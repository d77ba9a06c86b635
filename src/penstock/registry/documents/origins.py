"""What is not known of where a version came from, in the words that the gate, `why`, `verify` and pages share. Pure."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from typing import Literal

from penstock.base.numbers import counted
from penstock.registry.entities import ModelVersion

WHAT = ("commit", "clean tree", "lock", "stage", "data")
"""What can be known."""
OF_LOCK = ("commit", "lock", "stage", "data")
"""What the lock would say, were it in step: then the commit and its data are what the model was made from."""
MOST_NAMED = 8
Tree = Literal["clean", "changed", "unknown"]


def tree_of(version: ModelVersion) -> Tree:
    """Say whether a version's commit was all of its code; of older ones that a client uploaded nobody knows."""
    origin = version.provenance
    if origin.dirty_digest is not None:
        return "changed"
    return origin.tree or ("unknown" if version.source is not None and origin.output is None else "clean")


def is_of_commit(version: ModelVersion) -> bool:
    """Say whether a version's commit is what it was made from, as far as that is known; else it was only registered there."""
    origin = version.provenance
    is_uploaded = version.source is not None and origin.run_id is not None
    return not origin.stale and (origin.output is not None or is_uploaded or _is_before_stages(version))


def commit_words(version: ModelVersion) -> str:
    """Return what stands before a version's commit: nothing where it was made from it."""
    if version.provenance.stale:
        return "made before "
    return "" if is_of_commit(version) else "registered at "


def unknowns(version: ModelVersion) -> dict[str, str]:
    """Return what was not known when a version was registered, and why, in the order of `WHAT`."""
    origin, was = version.provenance, f"when {version.ref} was registered"
    known = {
        "commit": origin.commit is not None,
        "clean tree": origin.commit is not None and origin.dirty_digest is None,
        "lock": origin.lock_digest is not None,
        "stage": origin.output is not None,
        "data": bool(origin.data),
    }
    missing = {key: f"it was not there {was}" for key, is_known in known.items() if not is_known}
    if origin.commit is not None and tree_of(version) != "clean":
        is_changed = tree_of(version) == "changed"
        missing["clean tree"] = (
            f"files differed from the commit {was}"
            if is_changed
            else "whether the tree was clean is not known"
        )
    if _is_before_stages(version):
        missing["stage"] = "which stage made it was not recorded yet"
    elif origin.output is None:
        missing["stage"] = made_elsewhere(version.path) if version.source is None else "a client uploaded it"
    if origin.stale:
        told = f"dvc.lock was not in step with {_named(origin.stale)} {was}"
        missing |= dict.fromkeys(OF_LOCK, told)
    elif origin.unseen:
        missing["stage"] = f"no recorded run had made what dvc.lock says of {_named(origin.unseen)} {was}"
    return {key: missing[key] for key in WHAT if key in missing}


def not_in_step(stale: Sequence[str]) -> str:
    """Say with what the lock is not in step, and what helps."""
    return f"dvc.lock is not in step with {_named(stale)}; next: penstock repro"


def never_seen(stages: Sequence[str]) -> str:
    """Say of stages that nobody saw them make what is locked, and what helps."""
    return (
        f"no recorded run made what dvc.lock says of {_named(stages)}: it was committed by hand, or run by what does not "
        f"tell this store; next: penstock repro --force {shlex.join(stages[:MOST_NAMED])}"
    )


def made_elsewhere(path: str) -> str:
    """Say of a path that no stage makes it."""
    return f"no stage of the pipeline made {path}"


def by_reason(missing: Mapping[str, str]) -> list[str]:
    """Return what is missing as sentences, one for each reason.

    Example:
        >>> by_reason({"commit": "it is not in git", "lock": "there is none", "data": "it is not in git"})
        ['commit, data: it is not in git', 'lock: there is none']
    """
    reasons: dict[str, list[str]] = {}
    for key, why in missing.items():
        reasons.setdefault(why, []).append(key)
    return [f"{', '.join(keys)}: {why}" for why, keys in reasons.items()]


def _is_before_stages(version: ModelVersion) -> bool:
    """Say whether a version is of a release that noted the lock of a model inside an output directory, but not its stage."""
    origin = version.provenance
    return (
        origin.output is None
        and origin.tree is None
        and origin.lock_digest is not None
        and version.source is None
    )


def _named(names: Sequence[str]) -> str:
    more = len(names) - MOST_NAMED
    return ", ".join(names[:MOST_NAMED]) + (f" and {counted(more, 'more')}" if more > 0 else "")
