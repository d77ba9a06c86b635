"""Experiments that wait, run or failed: refs of git beside DVC's, which its `exp show` does not list.

`refs/penstock/queue/<name>`, `running/<process>/<name>` and `failed/<name>` point at a commit of what the experiment
begins with; its message holds the request. What runs in a process that has ended waits again, without anything being
written. DVC's own queue is a file of pickled Python objects and a broker's folder, read by no other.
"""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import msgspec

from penstock.base.errors import Conflict, Invalid
from penstock.base.git import Git
from penstock.base.running import has_ended, name_process
from penstock.flows.experiments.references import NONE, check_name, taken, update_references
from penstock.flows.experiments.request import Job, Request
from penstock.flows.experiments.trees import commit_tree

State = Literal["queue", "running", "failed"]
STATES: tuple[State, ...] = ("queue", "running", "failed")
UNDONE: tuple[State, ...] = ("queue", "running")
_FORMAT = "--format=%(refname)%00%(objectname)%00%(parent)%00%(committerdate:unix)%00%(contents)%00%00"
_HEAD = "penstock: a queued experiment\n\n"


@dataclass(frozen=True)
class Waiting:
    """An experiment in the queue, one that runs, or one that failed; `refs` are where it is kept."""

    job: Job
    state: State
    created_s: int
    refs: tuple[str, ...]


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
    """Return what waits, what runs or what failed, the oldest first."""
    places = {"queue": ("queue", "running"), "running": ("running",), "failed": ("failed",)}[state]
    found: dict[tuple[str, str], Waiting] = {}
    records = git.run("for-each-ref", _FORMAT, *(f"refs/penstock/{place}" for place in places)).split("\0\0")
    for record in records:
        if not record.strip():
            continue
        ref, commit, parent, time, message = record.lstrip("\n").split("\0", 4)
        _, _, place, *owner, name = ref.split("/")
        if place == "running" and has_ended(_process(owner)) is (state == "running"):
            continue
        try:
            request = msgspec.json.decode(message.removeprefix(_HEAD), type=Request)
        except msgspec.MsgspecError as error:
            raise Invalid(
                f"the queued experiment {name!r} cannot be read: {error}",
                code="experiments.bad_queue",
                hint=f"git update-ref -d {shlex.quote(ref)}",
            ) from None
        same = found.get((name, commit))
        refs = (*same.refs, ref) if same else (ref,)
        found[name, commit] = Waiting(Job(name, parent, commit, request), state, int(time), refs)
    return sorted(found.values(), key=lambda one: (one.created_s, one.job.request.place, one.job.name))


def take(git: Git, one: Waiting) -> None:
    """Mark an experiment of the queue as one that this process runs, until `finish`, `put_failed` or `put_again`.

    Raises:
        Conflict: another process took it.
        Invalid: git could not, for another reason.
    """
    start = one.job.start
    try:
        update_references(
            git,
            [f"create {_mine(one.job)} {start}", *(f"delete {ref} {start}" for ref in one.refs)],
        )
    except Invalid:
        left = git.run("for-each-ref", "--format=%(refname) %(objectname)", *one.refs).splitlines()
        if {f"{ref} {start}" for ref in one.refs} <= set(left):
            raise
        raise Conflict(
            f"the experiment {one.job.name!r} is no longer in the queue", code="experiments.gone"
        ) from None


def finish(git: Git, job: Job) -> None:
    """Forget an experiment that ran: its result is kept."""
    update_references(git, [f"delete {_mine(job)}"])


def put_failed(git: Git, job: Job) -> None:
    """Keep an experiment that ran as one that failed."""
    update_references(git, [f"update refs/penstock/failed/{job.name} {job.start}", f"delete {_mine(job)}"])


def put_again(git: Git, job: Job) -> None:
    """Put an experiment that was interrupted back into the queue."""
    update_references(git, [f"update refs/penstock/queue/{job.name} {job.start}", f"delete {_mine(job)}"])


def drop_waiting(git: Git, chosen: Sequence[Waiting]) -> None:
    """Remove experiments that wait or failed."""
    update_references(git, [f"delete {ref}" for one in chosen for ref in one.refs])


def _mine(job: Job) -> str:
    """Return where this process keeps what it runs; a ref's name cannot hold two dots in a row."""
    return f"refs/penstock/running/{name_process().replace('.', '-')}/{job.name}"


def _process(owner: Sequence[str]) -> str:
    return "/".join(owner).replace("-", ".")
