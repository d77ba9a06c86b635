"""What the working tree lacks and the locks know: a fresh clone before `penstock pull`. Asks the default remote; writes nothing."""

from __future__ import annotations

from collections.abc import Iterable

from penstock.base.errors import PenstockError
from penstock.data.cache.presence import has
from penstock.data.formats.output import Output
from penstock.data.repository import DataRepository
from penstock.flows.tracked.remotes.cloud import cloud_status
from penstock.flows.tracked.selection import select


def not_pulled(repo: DataRepository, names: Iterable[str]) -> dict[str, Output]:
    """Return which of these files are not here although a pointer or a lock knows what they hold, and what knows it."""
    absent = {name: repo.root / name for name in names if not (repo.root / name).exists()}
    if not absent:
        return {}
    tracked = [one.output for one in select(repo) if one.output.hash is not None]
    return {
        name: output
        for name, place in absent.items()
        for output in tracked
        if place == output.path or output.path in place.parents
    }


def can_be_pulled(repo: DataRepository, names: Iterable[str]) -> set[str]:
    """Return which of these files are not here, and come with `penstock pull`: the cache or the default remote has them."""
    known = not_pulled(repo, names)
    lost = lost_outputs(repo, known.values())
    return {name for name, output in known.items() if repo.relative(output.path) not in lost}


def lost_outputs(repo: DataRepository, outputs: Iterable[Output]) -> set[str]:
    """Return which outputs are neither in the cache nor on the default remote; none where that does not answer."""
    absent = {
        repo.relative(one.path): one
        for one in outputs
        if one.hash is not None and not (one.path.exists() if not one.cached else has(repo, one.hash))
    }
    if not absent or repo.config.get("core", "remote") is None:
        return set(absent)
    try:
        nowhere = [path for path, word in cloud_status(repo).items() if word == "missing"]
    except PenstockError:  # the check of the data tells it
        nowhere = []
    return {
        name
        for name, one in absent.items()
        if not one.push or any(path == name or path.startswith(f"{name}/") for path in nowhere)
    }
