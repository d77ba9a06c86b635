"""Refusals that stand: what gates said of some content holds while no gates are set, until a person answers for it.

Where a model has gates, its doors ask for a verdict that passes them, and nothing here counts. Where it has none, who
took them away, or gave the same files another name, would open every door.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence

import sqlalchemy as sa

from penstock.base.clock import now_ms
from penstock.base.errors import Invalid
from penstock.base.numbers import counted
from penstock.base.store.events import record_event
from penstock.registry.entities import ModelVersion, Verdict
from penstock.registry.states import VersionState, add_state, clear_state
from penstock.registry.tables import version_states
from penstock.registry.verdicts import glance_verdicts_on, list_verdicts_on

logger = logging.getLogger(__name__)


def last_said(connection: sa.Connection, version: ModelVersion) -> list[Verdict]:
    """Return the newest verdict of any gate on a version's content, of each model that it was judged as, newest first.

    One that nothing was checked for says nothing, and takes the place of none.

    Raises:
        Corrupt: a row cannot be read.
    """
    return _newest(list_verdicts_on(connection, version.digest))


def _newest(said: Sequence[Verdict]) -> list[Verdict]:
    newest: dict[str, Verdict] = {}
    for verdict in said:
        if verdict.checks:
            newest.setdefault(verdict.model, verdict)
    return list(newest.values())


def standing(
    connection: sa.Connection, version: ModelVersion, said: Sequence[Verdict]
) -> tuple[Verdict, str] | None:
    """Return the newest of the verdicts `said` that refuses a version, and why in words; None where none does.

    One that a person answered for when this content had this name is left out.
    """
    refusals = [(one, told_refusal(version, one)) for one in said]
    found = [(one, why) for one, why in refusals if why is not None]
    answered = _answered(connection, version) if found else frozenset()
    return next(((one, why) for one, why in found if one.id not in answered), None)


def require_reason(force: bool, reason: str | None) -> None:
    """Make sure that who answers for a version says why.

    Raises:
        Invalid: no reason is given.
    """
    if force and not reason:
        raise Invalid("--force needs a reason", code="serving.no_reason", hint="--force --reason TEXT")


def answer_for(connection: sa.Connection, version: ModelVersion, actor: str, reason: str) -> None:
    """Let a version out again because a person answers for it: its rollbacks are taken back, and the refusals that stand.

    A verdict that cannot be read is told and left out: nobody answers for it, and it stops no emergency.
    """
    clear_state(connection, version, actor, reason)
    answered = _answered(connection, version)
    said, unreadable = glance_verdicts_on(connection, version.digest)
    if unreadable:
        logger.warning(
            "%s of the files of %s cannot be read and %s not answered for: %s; penstock model verify %s tells more",
            counted(len(unreadable), "verdict"), version.ref, "is" if len(unreadable) == 1 else "are",
            ", ".join(unreadable), version.ref,
        )  # fmt: skip
    told = [(one, told_refusal(version, one)) for one in _newest(said) if one.id not in answered]
    refusals = [(one, why) for one, why in told if why is not None]
    if not refusals:
        return
    cause = {"refused": [one.id for one, _ in refusals]}
    state = VersionState(
        model=version.model,
        number=version.number,
        digest=version.digest,
        state="cleared",
        time_ms=now_ms(),
        actor=actor,
        reason=reason,
        cause=cause,
    )
    add_state(connection, state)
    record_event(
        connection,
        "model.cleared",
        f"model:{version.ref}",
        actor,
        f"{version.ref} may go out though {refusals[0][1].partition(': ')[0]}: {reason}",
        cause=cause,
    )


def told_refusal(version: ModelVersion, verdict: Verdict) -> str | None:
    """Say why a verdict refuses a version now, or None where it passed."""
    is_own = verdict.model == version.model
    if not verdict.passed:
        failed = next(iter(verdict.blocking), None)
        told = "its gate refused it" if is_own else f"the same files were refused as {verdict.model}"
        return f"{told}{f': {failed.sentence}' if failed else ''}"
    ended = verdict.ended_waiver(now_ms())
    if ended is None or ended.waiver is None:
        return None
    whose = "its" if is_own else f"{verdict.model}'s, of the same files,"
    return f"{whose} check {ended.kind} failed, and its waiver ended on {ended.waiver.until}"


def _answered(connection: sa.Connection, version: ModelVersion) -> frozenset[str]:
    columns = version_states.c
    query = sa.select(columns.cause).where(
        columns.model == version.model, columns.digest == version.digest, columns.state == "cleared"
    )
    return frozenset(one for row in connection.execute(query) for one in row.cause.get("refused", ()))
