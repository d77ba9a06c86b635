"""Calls of watched services that wait on this machine's disk: how many, since when, and why.

The processes that have them write down why (`watching/sending.py`); anybody may read it, also when they have ended.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

import msgspec

from penstock.base.clock import format_ms, now_ms
from penstock.base.numbers import counted
from penstock.flows.production.live.spool import Folder, Spool, list_folders
from penstock.serving.told.observations import BatchHead, read_head

KIND = "watch"
"""The spool of watched services."""
WHY = "why"
ON_THE_WAY_MS = 10_000
"""What a process that lives has written down for less is on its way."""


class Reason(msgspec.Struct, frozen=True, kw_only=True):
    """Why calls wait: of an endpoint and the version that its service names; of all calls where both are empty."""

    endpoint: str
    model: str
    why: str


class Reasons(msgspec.Struct, frozen=True, kw_only=True):
    """What a process found when it tried to deliver what it has, and when."""

    time_ms: int
    reasons: tuple[Reason, ...]


class Undelivered(msgspec.Struct, frozen=True, kw_only=True):
    """Calls that wait. `model` is the version that their service names; empty where it named none."""

    endpoint: str
    model: str
    call_count: int
    batch_count: int
    since_ms: int
    why: str

    @property
    def sentence(self) -> str:
        """Say how many calls wait, since when and why."""
        calls = counted(self.call_count, "call waits", "calls wait")
        batches = counted(self.batch_count, "batch", "batches")
        named = f", of {self.model}" if self.model else ""
        since = format_ms(self.since_ms)
        return f"{calls} on this machine's disk ({batches}{named}) since {since}: {self.why}"


def write_reasons(spool: Spool, reasons: Iterable[Reason]) -> None:
    """Write down why what a process has is not delivered, where that has changed."""
    found = tuple(reasons)
    if spool.folder is None or found == spool.noted:
        return
    path = spool.folder / WHY
    with suppress(OSError):
        if found:
            part = path.with_name(f".{WHY}")
            part.write_bytes(msgspec.json.encode(Reasons(time_ms=now_ms(), reasons=found)))
            part.rename(path)
        else:
            path.unlink(missing_ok=True)
        spool.noted = found


def list_undelivered(home: Path) -> tuple[Undelivered, ...]:
    """Return what waits of a project's watched services on this machine, by endpoint; the project's home says which."""
    found: dict[tuple[str, str], list[Undelivered]] = {}
    for folder in list_folders(home, KIND):
        reasons = _reasons_in(folder)
        for one in folder.waiting:
            try:
                head = _head_of(folder.path / one.name)
            except (OSError, msgspec.DecodeError):
                continue
            why = _why(folder, reasons, head)
            if not why and now_ms() - one.time_ms < ON_THE_WAY_MS:
                continue
            told = Undelivered(
                endpoint=head.endpoint,
                model=head.model or "",
                call_count=head.call_count,
                batch_count=1,
                since_ms=one.time_ms,
                why=why or "a process that runs is sending them",
            )
            found.setdefault((told.endpoint, told.why), []).append(told)
    return tuple(_together(group) for _, group in sorted(found.items()))


def _why(folder: Folder, reasons: Reasons | None, head: BatchHead) -> str:
    known = {} if reasons is None else {(one.endpoint, one.model): one.why for one in reasons.reasons}
    why = known.get((head.endpoint, head.model or "")) or known.get(("", "")) or ""
    if why and reasons is not None:
        why = f"{why} (as of {format_ms(reasons.time_ms)})"
    if folder.is_held:
        return why
    left = (
        "the process that recorded them has ended; the next watched process of this project here sends them"
    )
    return f"{why}; {left}" if why else left


@functools.lru_cache(maxsize=10_000)
def _head_of(path: Path) -> BatchHead:
    """Return what a batch is about; one is never changed once it has its name."""
    return read_head(path.read_bytes())


def _together(group: list[Undelivered]) -> Undelivered:
    models = {one.model for one in group}
    return msgspec.structs.replace(
        group[0],
        model=models.pop() if len(models) == 1 else "",
        call_count=sum(one.call_count for one in group),
        batch_count=sum(one.batch_count for one in group),
        since_ms=min(one.since_ms for one in group),
    )


def _reasons_in(folder: Folder) -> Reasons | None:
    try:
        return msgspec.json.decode((folder.path / WHY).read_bytes(), type=Reasons)
    except (OSError, msgspec.DecodeError):
        return None
