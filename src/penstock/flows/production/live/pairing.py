"""Events of payload loggers as observations: a call is taken once both of its sides are there."""

from __future__ import annotations

from collections.abc import Sequence

from penstock.base.clock import now_ms
from penstock.base.digest import digest_bytes
from penstock.base.errors import Invalid
from penstock.flows.production.live.ingesting import Ingest, Taken
from penstock.project.project import Project
from penstock.serving.deployments import get_revision
from penstock.serving.predictions.stored import find_like
from penstock.serving.told.events import Half, drop_halves, find_halves, keep_half
from penstock.serving.told.observations import Observation, ObservationBatch, is_taken, made_id
from penstock.serving.told.payloads import values_of

SOUGHT_MS = 3_600_000
"""How long before its answer the request of a call may have come, for the answer that is sent again to find it."""


def endpoint_of(half: Half, named: str | None) -> str:
    """Return the endpoint an event is about: the one that is named, else the one called as the service.

    Raises:
        Invalid: neither is told.
    """
    found = named or half.service
    if found is None:
        raise Invalid(
            "the event does not say whose call it is",
            code="observations.bad_event",
            hint="add ?endpoint=NAME to the logger's URL",
        )
    return found


def take_halves(
    project: Project, ingest: Ingest, halves: Sequence[tuple[str, Half]], model: str | None
) -> Taken:
    """Take events that came in one request, each with its endpoint, as `take_half` does; of several, say it of all.

    Where it fails on the way, what came before is taken, and once: the same request sent again takes the rest.
    """
    if len(halves) == 1:
        return take_half(project, ingest, *halves[0], model)
    for _, half in halves:
        values_of(half.payload)
    calls: dict[str, Taken] = {}
    for endpoint, half in halves:
        taken = take_half(project, ingest, endpoint, half, model)
        before = calls.get(taken.batch)
        if before is None or not before.prediction_ids:
            calls[taken.batch] = taken
    named = "/".join(f"{endpoint}/{half.call_id}/{half.side}" for endpoint, half in halves)
    return Taken(
        batch=f"events-{digest_bytes(named.encode())[:48]}",
        is_new=any(one.is_new for one in calls.values()),
        observation_count=sum(one.observation_count for one in calls.values()),
        prediction_ids=tuple(id_ for one in calls.values() for id_ in one.prediction_ids),
        answers_left_out=sum(one.answers_left_out for one in calls.values()),
    )


def take_half(project: Project, ingest: Ingest, endpoint: str, half: Half, model: str | None) -> Taken:
    """Keep one side of a call, and take the call when the other one is there.

    Once, however often and in whichever order they are sent. A call lasted from the time of its request to that of its
    answer. Either side of a call that was taken before is answered with the prediction id of the first time: a request
    where its time tells it, an answer where the call lasted no longer than an hour.

    Raises:
        NotFound: there is no such endpoint.
        Invalid: the payload is not understood.
        Unavailable: the store cannot be reached; nothing was taken.
    """
    values_of(half.payload)
    batch_id = f"event-{digest_bytes(f'{endpoint}/{half.call_id}'.encode())[:48]}"
    with project.database.write() as connection:
        get_revision(connection, endpoint)
        is_known = is_taken(connection, batch_id)
        if not is_known:
            keep_half(connection, endpoint, half, now_ms())
    if is_known:
        return _again(project, ingest, endpoint, batch_id, half)
    # after the commit: two sides that come at once both find the other one, and the batch's id takes the call once
    with project.database.read() as connection:
        sides = find_halves(connection, endpoint, half.call_id)
    if len(sides) < 2:
        return Taken(batch=batch_id, is_new=True, observation_count=0)
    asked_ms, asked = sides["request"]
    answered_ms, answered = sides["response"]
    taken = ingest.take(
        ObservationBatch(
            batch=batch_id,
            endpoint=endpoint,
            model=model,
            observations=[
                Observation(
                    time_ms=asked_ms,
                    latency_s=max(0, answered_ms - asked_ms) / 1000,
                    inputs=values_of(asked),
                    outputs=values_of(answered),
                )
            ],
        )
    )
    with project.database.write() as connection:
        drop_halves(connection, endpoint, half.call_id)
    return taken


def _again(project: Project, ingest: Ingest, endpoint: str, batch_id: str, half: Half) -> Taken:
    """Say of a call that was taken which prediction it is; an answer does not know when its request came, so it is sought."""
    ids: tuple[str, ...] = ()
    if half.side == "request" and half.time_ms is not None:
        ids = (made_id(endpoint, batch_id, 0, half.time_ms).encode(),)
        ids = ids if ingest.are_recorded(ids) else ()
    elif half.side == "response":
        answered_ms = half.time_ms if half.time_ms is not None else now_ms()
        like = made_id(endpoint, batch_id, 0, answered_ms)
        with project.database.read() as connection:
            found = find_like(connection, endpoint, like, answered_ms - SOUGHT_MS)
        ids = () if found is None else (found,)
    return Taken(batch=batch_id, is_new=False, observation_count=1, prediction_ids=ids)
