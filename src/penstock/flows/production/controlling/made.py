"""What a retraining made: which version is its own, and whether it has gone out. Sends none out."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import NamedTuple

import sqlalchemy as sa

from penstock.base.store.events import list_events
from penstock.flows.production.controlling.under_way import ENDED, FINISHED, LOST, REFUSED, STARTED, newest_of
from penstock.registry.entities import ModelVersion
from penstock.registry.verdicts import glance_verdict
from penstock.registry.versions import list_versions
from penstock.serving.deployments import list_revisions_of_versions


class Made(NamedTuple):
    """A version (`model/number`) that a retraining made. `doubt` says why that is not sure, and is empty where it is."""

    ref: str
    doubt: str = ""


def find_made(connection: sa.Connection, model: str, known: Collection[int], log: str) -> Made | None:
    """Return the newest version that a retraining made and gates passed, None without one.

    What its command registers notes the retraining's log. What came through a server, or from another machine, does
    not: where only that is new, it is taken, and the doubt told.

    Args:
        known: the numbers that were there before it started.
        log: the path of its log.
    """
    new = [one for one in list_versions(connection, model) if one.number not in known]
    logs = {one.number: _log_of(connection, one) for one in new}
    own = [one for one in new if logs[one.number] == log]
    passed = [
        one
        for one in own or [one for one in new if not logs[one.number]]
        if (verdict := glance_verdict(connection, one.model, one.digest)) is not None and verdict.passed
    ]
    if not passed:
        return None
    if own:
        return Made(passed[0].ref)
    others = [one.ref for one in new if one is not passed[0]]
    beside = f"; {', '.join(others)} came meanwhile too" if others else ""
    return Made(passed[0].ref, f"nothing says that the retraining registered it{beside}")


def list_waiting(connection: sa.Connection, endpoints: Collection[str]) -> dict[str, Made]:
    """Return what retrainings made that has neither gone out nor been refused, by endpoint."""
    newest = newest_of(connection, endpoints, (STARTED, *ENDED, LOST, REFUSED))
    made = {
        name: Made(str(event.cause["version"]), str(event.cause["doubt"]))
        for name, event in newest.items()
        if event.kind == FINISHED
        and "doubt" in event.cause  # one without was told by a controller that kept nothing
    }
    out = list_gone_out(connection, made)
    return {name: one for name, one in made.items() if name not in out}


def list_gone_out(connection: sa.Connection, made: Mapping[str, Made]) -> set[str]:
    """Return the endpoints that ever gave what was made for them traffic, whoever deployed it."""
    keys = {name: (one.ref.rpartition("/")[0], int(one.ref.rpartition("/")[2])) for name, one in made.items()}
    revisions = list_revisions_of_versions(connection, set(keys.values())) if keys else {}
    return {
        name
        for name, key in keys.items()
        for one in revisions[key]
        if one.endpoint == name and key[1] in (one.stable, one.canary.version if one.canary else None)
    }


def _log_of(connection: sa.Connection, version: ModelVersion) -> str:
    """Return the log of the retraining that registered a version; empty where none is known to have."""
    found = list_events(connection, subject=f"model:{version.ref}", kind="model.registered", limit=1)
    return str(found[0].cause.get("retraining", "")) if found else ""
