"""What tracking keeps: experiments and runs."""

from __future__ import annotations

from typing import Literal

import msgspec

RunStatus = Literal["RUNNING", "FINISHED", "FAILED", "KILLED"]


class StageRecord(msgspec.Struct, frozen=True):
    """One stage's part in a run: its result's digest (see `pipeline.lockfile`) and what was done."""

    name: str
    digest: str
    action: str
    seconds: float


class Run(msgspec.Struct, frozen=True, kw_only=True):
    """One execution with what went in and what came out.

    `commit` is the git commit, `dirty_digest` the sha256 of the uncommitted diff (None when clean),
    `lock_digest` the digest of the whole pipeline lock, `inputs` the data digests by path.
    """

    id: str
    experiment: str
    name: str
    status: RunStatus
    start_ms: int
    end_ms: int | None = None
    commit: str | None = None
    dirty_digest: str | None = None
    lock_digest: str | None = None
    params: dict[str, str] = {}
    metrics: dict[str, float] = {}
    tags: dict[str, str] = {}
    inputs: dict[str, str] = {}
    stages: tuple[StageRecord, ...] = ()
