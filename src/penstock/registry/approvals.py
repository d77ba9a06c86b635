"""What people said of a version: approved, or withdrawn, each as a signed statement in the event that tells of it.

Each statement names the content of the version, so that it says nothing of another. A row that was changed, or that no
trusted key signed, counts for nobody. Which doors ask is in `flows/models/proving`.
Source: in-toto attestation framework, Statement v1.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from penstock.base.clock import now_ms
from penstock.base.errors import Corrupt
from penstock.base.signing import PublicKey, SigningKey, open_envelope, parse_envelope, seal
from penstock.base.store.events import Event, events, record_event
from penstock.registry.entities import ModelVersion
from penstock.registry.references import list_former_names

STATEMENT = "https://in-toto.io/Statement/v1"
PREDICATE = "urn:penstock:approval:v1"
APPROVED, WITHDRAWN = "gate.approved", "gate.approval_withdrawn"
_SUBJECT = "model:"


@dataclass(frozen=True)
class Approval:
    """What a person said last of a version; `counts` unless it was withdrawn, changed, or signed by nobody trusted here."""

    actor: str
    time_ms: int
    comment: str
    counts: bool
    sentence: str


def person_of(actor: str) -> str:
    """Return the one name of a person, however he is written."""
    return actor.removeprefix("person:").strip().casefold()


def add_approval(
    connection: sa.Connection,
    version: ModelVersion,
    actor: str,
    comment: str,
    key: SigningKey,
    *,
    withdrawn: bool,
) -> None:
    """Write what a person says of a version, signed, as an event."""
    kind = WITHDRAWN if withdrawn else APPROVED
    statement = {
        "_type": STATEMENT,
        "subject": [{"name": version.ref, "digest": {"sha256": version.digest}}],
        "predicateType": PREDICATE,
        "predicate": {"decision": kind, "actor": actor, "time_ms": now_ms(), "comment": comment},
    }
    verb = "withdrew the approval of" if withdrawn else "approved"
    record_event(
        connection,
        kind,
        f"{_SUBJECT}{version.ref}",
        actor,
        f"{actor} {verb} {version.ref}{f': {comment}' if comment else ''}",
        cause={"digest": version.digest, "comment": comment, "envelope": seal(statement, key)},
    )


def list_approvals(
    connection: sa.Connection, version: ModelVersion, keys: Mapping[str, PublicKey]
) -> tuple[Approval, ...]:
    """Return what each person said last of a version, by time, under names too that its model had before.

    Args:
        keys: the trusted keys, by their ids.
    """
    key = (version.model, version.number)
    names = (version.model, *list_former_names(connection, [key])[key])
    subjects = [f"{_SUBJECT}{name}/{version.number}" for name in names]
    query = (
        sa.select(events)
        .where(events.c.subject.in_(subjects), events.c.kind.in_((APPROVED, WITHDRAWN)))
        .order_by(events.c.id)
    )
    found: dict[str, Approval] = {}
    for row in connection.execute(query).mappings():
        one = _read(Event(**row), version, keys)
        # what somebody wrote into the store does not take the place of what a person said
        before = found.get(person_of(one.actor))
        if before is None or one.counts or one.sentence == "withdrawn":
            found[person_of(one.actor)] = one
    return tuple(sorted(found.values(), key=lambda one: one.time_ms))


def who_counts(
    approvals: Collection[Approval], authors: Collection[str], allowed: Collection[str]
) -> tuple[str, ...]:
    """Return the people whose approvals count: each once, no author, and of `allowed` where it names some."""
    without = {person_of(one) for one in authors}
    named = {person_of(one) for one in allowed}
    people = {person_of(one.actor): one.actor for one in approvals if one.counts}
    return tuple(
        actor for person, actor in people.items() if person not in without and (not named or person in named)
    )


def _read(event: Event, version: ModelVersion, keys: Mapping[str, PublicKey]) -> Approval:
    def is_none(why: str) -> Approval:
        return Approval(event.actor, event.time_ms, "", False, why)

    try:
        opened = open_envelope(parse_envelope(str(event.cause.get("envelope", ""))), keys)
        if opened is None:
            return is_none("signed by no key that is trusted here")
        statement, _ = opened
        said: dict[str, Any] = statement["predicate"]
        bound = (statement["_type"], statement["predicateType"], statement["subject"][0])
    except (Corrupt, KeyError, TypeError, IndexError):
        return is_none("changed after it was signed")
    called = event.subject.removeprefix(_SUBJECT)  # as it was called when this was said
    subject = {"name": called, "digest": {"sha256": version.digest}}
    if bound != (STATEMENT, PREDICATE, subject):
        return is_none("of another version")
    if (said.get("decision"), said.get("actor"), said.get("comment")) != (
        event.kind,
        event.actor,
        event.cause.get("comment"),
    ):
        return is_none("changed after it was signed")
    counts = event.kind == APPROVED
    return Approval(
        event.actor, int(said["time_ms"]), str(said["comment"]), counts, "approved" if counts else "withdrawn"
    )
