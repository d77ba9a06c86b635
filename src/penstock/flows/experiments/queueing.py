"""Experiments that wait, and those that failed: refs of git beside DVC's, which its `exp show` does not list.

`refs/penstock/queue/<name>` and `refs/penstock/failed/<name>` point at a commit of what the experiment begins with; its
message holds the request. DVC's own queue is a file of pickled Python objects and a broker's folder, read by no other.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import msgspec

from penstock.base.errors import Conflict, Invalid
from penstock.base.git import Git
from penstock.flows.experiments.references import NONE, check_name, taken, update_references
from penstock.flows.experiments.request import Request
from penstock.flows.experiments.running import Job
from penstock.flows.experiments.trees import commit_tree

State = Literal["queue", "failed"]
_FORMAT = (
    "--format=%(refname:lstrip=3)%00%(objectname)%00%(parent)%00%(committerdate:unix)%00%(contents)%00%00"
)
_HEAD = "penstock: a queued experiment\n\n"


@dataclass(frozen=True)
class Waiting:
    """An experiment in the queue, or one that left it and failed."""

    job: Job
    state: State
    created_s: int

    @property
    def ref(self) -> str:
        """Where it is kept."""
        return f"refs/penstock/{self.state}/{self.job.name}"


def enqueue(git: Git, name: str, baseline: str, tree: str, request: Request) -> Job:
    """Keep an experiment for later.

    Raises:
        Invalid: git would not take the name.
        Conflict: one of this name waits already.
    """
    check_name(name)
    start = commit_tree(git, tree, baseline, _HEAD + msgspec.json.encode(request).decode())
    try:
        git.run("update-ref", f"refs/penstock/queue/{name}", start, NONE)
    except Invalid:
        raise taken(name) from None
    return Job(name, baseline, start, request)


def list_waiting(git: Git, state: State) -> list[Waiting]:
    """Return what waits, or what failed, the oldest first."""
    found = []
    for record in git.run("for-each-ref", _FORMAT, f"refs/penstock/{state}").split("\0\0"):
        if not record.strip():
            continue
        name, commit, parent, time, message = record.lstrip("\n").split("\0", 4)
        try:
            request = msgspec.json.decode(message.removeprefix(_HEAD), type=Request)
        except msgspec.MsgspecError as error:
            raise Invalid(
                f"the queued experiment {name!r} cannot be read: {error}",
                code="experiments.bad_queue",
                hint=f"git update-ref -d refs/penstock/{state}/{name}",
            ) from None
        found.append(Waiting(Job(name, parent, commit, request), state, int(time)))
    return sorted(found, key=lambda one: (one.created_s, one.job.request.place, one.job.name))


def take(git: Git, one: Waiting) -> None:
    """Take an experiment out of the queue, for good.

    Raises:
        Conflict: another process took it.
    """
    try:
        git.run("update-ref", "-d", one.ref, one.job.start)
    except Invalid:
        raise Conflict(
            f"the experiment {one.job.name!r} is no longer in the queue", code="experiments.gone"
        ) from None


def put_failed(git: Git, job: Job) -> None:
    """Keep an experiment as one that failed."""
    git.run("update-ref", f"refs/penstock/failed/{job.name}", job.start)


def put_again(git: Git, job: Job) -> None:
    """Put an experiment that was interrupted back into the queue."""
    git.run("update-ref", f"refs/penstock/queue/{job.name}", job.start)


def drop_waiting(git: Git, chosen: Sequence[Waiting]) -> None:
    """Remove experiments that wait or failed."""
    update_references(git, [f"delete {one.ref}" for one in chosen])
