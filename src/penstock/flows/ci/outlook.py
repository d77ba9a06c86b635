"""What a CI run would run where the data of the locks are pulled first. Asks the default remote; writes nothing."""

from __future__ import annotations

from dataclasses import dataclass

from penstock.flows.pipelines.status import shown_address
from penstock.flows.tracked.selection import select
from penstock.flows.tracked.unpulled import lost_outputs
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
    outputs = [output for outputs in absent.values() for output in outputs]
    gone = lost_outputs(repo, outputs) if absent else set()
    again = [
        name
        for name, outputs in absent.items()
        if any(repo.relative(output.path) in gone for output in outputs)
    ]
    return Outlook(tuple(would_run), tuple(again), tuple(name for name in absent if name not in again))
