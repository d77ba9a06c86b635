"""What the working tree lacks and the locks know: a fresh clone before `penstock pull`. Asks the default remote; writes nothing."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from penstock.base.errors import PenstockError
from penstock.data.cache.presence import has
from penstock.data.formats.output import Output
from penstock.flows.pipelines.status import shown_address
from penstock.flows.tracked.remotes.cloud import cloud_status
from penstock.flows.tracked.selection import select
from penstock.pipeline.definition import load_all_stages
from penstock.pipeline.lockfile import load_entries
from penstock.pipeline.outputs import stage_outputs
from penstock.pipeline.status import stage_status
from penstock.project.project import Project


@dataclass(frozen=True)
class Outlook:
    """Which stages a CI run would run, and which it would not although something of theirs is not here.

    `lost`: those it would run though nothing changed, since what they made is neither in the cache nor on the remote.
    """

    would_run: tuple[str, ...] = ()
    lost: tuple[str, ...] = ()
    not_pulled: tuple[str, ...] = ()


def look_ahead(project: Project) -> Outlook:
    """Say which stages would run on a machine that has what the default remote and the cache have.

    Raises:
        Invalid: a dvc.yaml or dvc.lock cannot be read.
        NotFound: a parameter file does not exist.
    """
    repo = project.data
    stages = load_all_stages(repo)
    locked = load_entries(repo.root, stages)
    known = select(repo)
    made = {repo.relative(one.output.path): one.output.hash.md5 for one in known if one.output.hash}
    would_run, absent = [], {}
    for stage in stages:
        entry = locked.get(stage.address)
        status = stage_status(repo, repo.root, stage, entry)
        if not status.is_changed:
            continue
        name = shown_address(repo, stage, project.root)
        if entry is None or status.but_missing(entry, stage, made).is_changed:
            would_run.append(name)
        else:
            absent[name] = stage_outputs(repo.root, stage, entry)
    lost = _lost(project, [output for outputs in absent.values() for output in outputs]) if absent else set()
    again = [
        name
        for name, outputs in absent.items()
        if any(repo.relative(output.path) in lost for output in outputs)
    ]
    return Outlook(tuple(would_run), tuple(again), tuple(name for name in absent if name not in again))


def not_pulled(project: Project, names: Iterable[str]) -> list[str]:
    """Return which of these files are not here although a pointer or a lock knows what they hold."""
    absent = [name for name in names if not (project.root / name).exists()]
    if not absent:
        return []
    tracked = [one.output.path for one in select(project.data) if one.output.hash is not None]
    places = {name: project.root / name for name in absent}
    return [
        name
        for name, place in places.items()
        if any(place == path or path in place.parents for path in tracked)
    ]


def _lost(project: Project, outputs: Iterable[Output]) -> set[str]:
    """Return which outputs are neither in the cache nor on the default remote; none where that does not answer."""
    repo = project.data
    absent = {
        repo.relative(one.path)
        for one in outputs
        if one.hash is not None and not (one.path.exists() if not one.cached else has(repo, one.hash))
    }
    if not absent or repo.config.get("core", "remote") is None:
        return absent
    try:
        nowhere = [path for path, word in cloud_status(repo).items() if word == "missing"]
    except PenstockError:  # the check of the data tells it
        return set()
    return {one for one in absent if any(path == one or path.startswith(f"{one}/") for path in nowhere)}
