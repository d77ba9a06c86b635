"""What a push, fetch or pull did, and the errors that tell what it could not do."""

from __future__ import annotations

import errno
import os
import shlex
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from penstock.base.errors import Corrupt, NotFound, Unavailable
from penstock.base.numbers import counted
from penstock.data.cache import transfer
from penstock.data.formats.output import HashInfo
from penstock.data.repository import DataRepository
from penstock.data.verbs.checkout import Change

SHOWN = 3  # paths named in an error


@dataclass
class TransferReport:
    """What a push, fetch or pull did, remote by remote, and what was checked out after a pull.

    `lacking` names the paths whose content is not where it should come from, by the place. `imported` holds what
    came from the sources of imports, by output path. `kept_back` are outputs that are never pushed (`push: false`) and
    are not here: only whoever made them has them.
    """

    transfers: dict[str, transfer.Transfer] = field(default_factory=dict)
    changes: dict[str, Change] = field(default_factory=dict)
    lacking: dict[str, list[str]] = field(default_factory=dict)
    imported: dict[Path, HashInfo] = field(default_factory=dict)
    kept_back: dict[Path, str] = field(default_factory=dict)

    @property
    def done(self) -> int:
        """Objects that were transferred."""
        return sum(one.done for one in self.transfers.values())

    @property
    def failed(self) -> dict[str, str]:
        """Objects that failed, with the reason."""
        return {md5: why for one in self.transfers.values() for md5, why in one.failed.items()}

    @property
    def missing(self) -> set[str]:
        """Those of the failed that are not where they should come from."""
        return {md5 for one in self.transfers.values() for md5 in one.missing}

    @property
    def damaged(self) -> set[str]:
        """Those of the failed whose bytes are not what their names say."""
        return {md5 for one in self.transfers.values() for md5 in one.damaged}


def raise_failures(report: TransferReport, verb: str, *, allow_missing: bool = False) -> None:
    """Raise when some objects failed, naming the paths, or how many and the first reason.

    Raises:
        NotFound: all that failed is not where it should come from (`allow_missing` lets that pass).
        Corrupt: what failed is not what its name says.
        Unavailable: the rest; another try may help.
    """
    failed, missing, damaged = report.failed, report.missing, report.damaged
    if damaged and not failed.keys() - missing - damaged:
        md5 = min(damaged)
        raise Corrupt(
            f"{counted(len(failed), 'object was', 'objects were')} not {verb}: {failed[md5]}",
            code="data.object_corrupt",
            hint="penstock repair"
            if verb == "pushed"
            else "penstock repair --cloud in a repository that has them",
            first=md5,
            failed=len(failed),
        )
    if failed.keys() - missing:
        md5, why = next((md5, why) for md5, why in failed.items() if md5 not in missing)
        is_full = os.strerror(errno.ENOSPC) in why
        raise Unavailable(
            f"{counted(len(failed), 'object was', 'objects were')} not {verb}: {why}",
            code="data.incomplete",
            hint="make room, then run the same command again; what arrived is kept"
            if is_full
            else "run the same command again; what arrived is kept",
            first=md5,
            failed=len(failed),
        )
    if not missing or allow_missing:
        return
    told = "; ".join(f"{shorten(paths)} not in {where}" for where, paths in report.lacking.items())
    first = next((paths[0] for paths in report.lacking.values() if paths), "")
    raise NotFound(
        f"not everything was {verb}: {told}",
        code="data.object_missing",
        hint=(
            f"penstock fetch {shlex.quote(first)} from a remote that has it, or penstock commit what the workspace holds"
            if verb == "pushed"
            else f"penstock push {shlex.quote(first)} where it was added, or go on without it with penstock pull --allow-missing"
        ),
        paths=[path for paths in report.lacking.values() for path in paths],
        failed=len(failed),
    )


def require_pushed(repo: DataRepository, report: TransferReport) -> None:
    """Refuse to pass over outputs that were asked for and that no remote is expected to have.

    Raises:
        NotFound: there are such.
    """
    if not report.kept_back:
        return
    path, source = next(iter(report.kept_back.items()))
    names = [repo.relative(one) for one in report.kept_back]
    raise NotFound(
        f"{shorten(names)} never pushed (push: false), and not here",
        code="data.never_pushed",
        hint=f"penstock repro {shlex.quote(source.rpartition(':')[2])} makes {shlex.quote(repo.relative(path))}",
        paths=names,
    )


def named(paths: Sequence[str]) -> str:
    """Name the first few paths and how many more there are."""
    more = f" and {len(paths) - SHOWN} more" if len(paths) > SHOWN else ""
    return ", ".join(paths[:SHOWN]) + more


def shorten(paths: list[str]) -> str:
    """Name the first few paths and how many more there are, with the verb that fits."""
    return f"{named(paths)} {'are' if len(paths) > 1 else 'is'}"
