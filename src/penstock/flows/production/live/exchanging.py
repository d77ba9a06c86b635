"""Observations as exchanges: checked, with the route and version they belong to and their values as columns."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Mapping

import msgspec

from penstock.base.clock import now_ms
from penstock.base.errors import NotFound
from penstock.flows.production.live.summarising import window_start_s
from penstock.flows.production.payloads.redaction import without_redacted
from penstock.monitoring.settings import MonitorSettings
from penstock.monitoring.windows import WindowKey
from penstock.records.signature import Signature
from penstock.serving.deployments import Revision
from penstock.serving.predictions.ids import UNKNOWN_ENDPOINT, PredictionId, Route, parse_prediction_id
from penstock.serving.recorder import Exchange
from penstock.serving.told.observations import (
    BATCH_ID,
    COUNT_MAX,
    MissedCalls,
    Observation,
    ObservationBatch,
    bad_batch,
    made_id,
)
from penstock.serving.told.values import Rows, answers_of, columns_of, fit_answers, fit_rows, fit_types

AHEAD_MS = 86_400_000
"""A number that is further ahead of ours than this is no time in milliseconds."""
APART_MS = 5_000
"""A clock that is ahead of ours by less is in step."""
BEHIND_MS = 60_000
"""A clock that is behind by less may be in step: a batch takes a while from its sender to us."""
SENDER_AHEAD_MS = 10 * 365 * 86_400_000
"""A clock that is further ahead is none, and ids have no room for its times."""
SAME_CLOCK_MS = 60_000
"""A batch whose newest call is further from its sender's now may have been recorded before that clock was set."""
EARLIEST_MS = 978_307_200_000
"""The beginning of 2001: a number below it is a time in seconds, or none."""
LATENCY_MAX_S = 1e6
VERSION_MAX = 2**31 - 1
ERROR_MAX = 64


class Told(msgspec.Struct, kw_only=True):
    """What a batch says: exchanges, calls of which only the counts are known, answers that fit no rows."""

    current: Revision
    exchanges: list[Exchange]
    missed: list[MissedCalls]
    models: dict[int, str]
    """The model of each revision; of 0, the current one's."""
    places: dict[int, tuple[str, int, int, Route, int]]
    """Endpoint, revision, version, route and time of each of `missed`, by its place."""
    left_out: int
    ahead_ms: int
    """By how much all times were set back, since the sender's clock is ahead; below 0 where it is behind."""
    moved: int
    """Of how many calls the time lay ahead of us all the same, and became our now."""

    def key_of(self, one: MissedCalls, monitor: MonitorSettings) -> WindowKey:
        """Return the window of calls that were missed."""
        endpoint, revision, version, route, time_ms = self.places[id(one)]
        return WindowKey(endpoint, window_start_s(time_ms, monitor), revision, version, route)


class Exchanging:
    """Reads the observations of an endpoint.

    All times go by our clock, which is the store's: a call cannot be later than now, where windows of it would stand for
    the newest and hide what fails now. Ids that are made keep the sender's time, so that they stay the same.

    Args:
        current: the endpoint's revision now.
        revisions: those that the batch names, as far as they exist.
        default: the version of calls that name none, where it is not the stable one.
        signature: returns what a version takes and gives, or None.
        redacted: columns that are not to be kept by row.
        sender_ms: what the sender's clock said when it sent the batch, where it told. It counts only where the batch's newest
            call was just before, and so was recorded by the same clock; what no clock shows counts for nothing.
        arrived_ms: our now when the batch came, which may have waited since; None for this moment.
    """

    def __init__(
        self,
        current: Revision,
        revisions: Mapping[int | None, Revision],
        default: int | None,
        signature: Callable[[str, int], Signature | None],
        redacted: tuple[str, ...] = (),
        sender_ms: int | None = None,
        arrived_ms: int | None = None,
    ) -> None:
        self._current, self._revisions, self._default = current, revisions, default
        self._signature, self._redacted = signature, redacted
        self._now_ms = now_ms() if arrived_ms is None else arrived_ms
        self._sender_ms, self._ahead_ms = sender_ms, 0
        self._left_out = self._moved = 0

    def read(self, batch: ObservationBatch) -> Told:
        """Return what a batch says.

        Raises:
            Invalid: its id, or an observation, cannot be one; the error says which.
        """
        if not BATCH_ID.fullmatch(batch.batch):
            raise bad_batch("a batch's id has 1 to 128 letters, digits, dots, dashes and underscores")
        if len(batch.observations) + len(batch.missed) > COUNT_MAX:
            raise bad_batch(f"a batch has at most {COUNT_MAX} observations")
        self._ahead_ms = self._ahead(batch)
        exchanges = [self._exchange(batch.batch, index, one) for index, one in enumerate(batch.observations)]
        if len({one.id for one in exchanges}) != len(exchanges):
            raise bad_batch("two observations have the same prediction id")
        places = {}
        for index, one in enumerate(batch.missed):
            time_ms = self._time(f"missed[{index}]", one.time_ms, one.request_count)
            if not 0 <= one.error_count <= one.request_count <= VERSION_MAX:
                raise bad_batch(f"missed[{index}]: error_count is not between 0 and request_count")
            revision = self._revision(f"missed[{index}]", one.revision)
            version = self._version(f"missed[{index}]", one.version, revision)
            number, route = route_of(revision, version)
            places[id(one)] = (revision.endpoint, number, version, route, time_ms)
        models = {one.number: one.model for one in self._revisions.values()}
        models |= {self._current.number: self._current.model, 0: self._current.model}
        return Told(
            current=self._current,
            exchanges=exchanges,
            missed=batch.missed,
            models=models,
            places=places,
            left_out=self._left_out,
            ahead_ms=self._ahead_ms,
            moved=self._moved,
        )

    def _ahead(self, batch: ObservationBatch) -> int:
        """Return by how much the clock that a batch was recorded by is ahead, 0 where that is not known."""
        sender_ms = self._sender_ms
        if sender_ms is None or not EARLIEST_MS <= sender_ms <= self._now_ms + SENDER_AHEAD_MS:
            return 0
        apart_ms = sender_ms - self._now_ms
        times_ms = [one.time_ms for one in batch.observations] + [one.time_ms for one in batch.missed]
        newest_ms = max(times_ms, default=sender_ms)
        if -BEHIND_MS <= apart_ms <= APART_MS or abs(sender_ms - newest_ms) > SAME_CLOCK_MS:
            return 0
        return apart_ms

    def _exchange(self, batch_id: str, index: int, one: Observation) -> Exchange:
        where = f"observations[{index}]"
        time_ms = self._time(where, one.time_ms)
        if not (math.isfinite(one.latency_s) and 0 <= one.latency_s <= LATENCY_MAX_S):
            raise bad_batch(f"{where}: latency_s is no number of seconds from 0 to {LATENCY_MAX_S:g}")
        revision = self._revision(where, one.revision)
        version = self._version(where, one.version, revision)
        number, route = route_of(revision, version)
        identity = self._identity(where, batch_id, index, one)
        try:
            signature = self._signature(revision.model, version)
        except NotFound as error:
            raise bad_batch(f"{where}: {error.message}") from None
        takes, gives = _datatypes(signature)
        inputs = columns_of(without_redacted(one.inputs, self._redacted), list(takes))
        inputs = (fit_types(inputs[0], takes), inputs[1])
        answer = None if one.error is not None else without_redacted(one.outputs, self._redacted)
        outputs = answers_of(answer, gives)
        outputs = (fit_answers(outputs[0], gives or {}), outputs[1])
        row_count = self._row_count(where, one, inputs, outputs)
        answered = fit_rows(outputs, row_count)
        self._left_out += bool(outputs[0]) and not answered
        return Exchange(
            endpoint=revision.endpoint,
            revision=number,
            version=version,
            route=route,
            time_ms=time_ms,
            id=identity.encode() if one.id is None else one.id,
            counter=identity.counter,
            inputs=fit_rows(inputs, row_count),
            outputs=answered,
            row_count=row_count,
            latency_s=one.latency_s,
            error=None if one.error is None else one.error[:ERROR_MAX] or "error",
        )

    def _row_count(self, where: str, one: Observation, inputs: Rows, outputs: Rows) -> int:
        """Return how many rows a call was: as many as it was asked and answered, one where either is one."""
        asked, answered = inputs[1], outputs[1]
        if one.rows is not None:
            if not 0 < one.rows <= VERSION_MAX:
                raise bad_batch(f"{where}: rows is not above 0")
            return one.rows
        if not asked or not answered:
            return asked or answered or 1
        return 1 if answered == 1 else asked

    def _identity(self, where: str, batch_id: str, index: int, one: Observation) -> PredictionId:
        if one.id is None:
            return made_id(self._current.endpoint, batch_id, index, one.time_ms)
        identity = parse_prediction_id(one.id)
        if identity.endpoint_id not in (UNKNOWN_ENDPOINT, self._current.endpoint_id & 0xFFFFFF):
            raise bad_batch(f"{where}: prediction {one.id} was not made by endpoint {self._current.endpoint}")
        return identity

    def _time(self, where: str, time_ms: int, count: int = 1) -> int:
        """Return a time by our clock.

        Raises:
            Invalid: it is none; the error says why.
        """
        latest_ms = self._now_ms + self._ahead_ms + AHEAD_MS
        own_ms = time_ms - self._ahead_ms
        if min(time_ms, own_ms) >= EARLIEST_MS and time_ms <= latest_ms:
            self._moved += count if own_ms > self._now_ms + APART_MS else 0
            return min(own_ms, self._now_ms)
        unit = _unit_of(time_ms, latest_ms)
        why = f"it looks like {unit}" if unit else "that is before 2001, or after tomorrow"
        raise bad_batch(f"{where}: time_ms is {time_ms}, and not milliseconds since 1970: {why}")

    def _revision(self, where: str, number: int | None) -> Revision:
        if not number or number == self._current.number:
            return self._current
        found = self._revisions.get(number)
        if found is None:
            raise bad_batch(f"{where}: endpoint {self._current.endpoint} has no revision {number}")
        return found

    def _version(self, where: str, number: int | None, revision: Revision) -> int:
        chosen = number if number is not None else self._default or revision.stable
        if not 0 < chosen <= VERSION_MAX:
            raise bad_batch(f"{where}: version is not above 0")
        return chosen


def _unit_of(time: int, latest_ms: int) -> str | None:
    """Return in which other unit a number would be a time that can be."""
    units = (("seconds", 1000.0), ("microseconds", 1e-3), ("nanoseconds", 1e-6))
    return next((name for name, ms in units if EARLIEST_MS <= time * ms <= latest_ms), None)


@functools.lru_cache(maxsize=256)
def _datatypes(signature: Signature | None) -> tuple[dict[str, str], dict[str, str] | None]:
    """Return the datatypes of what a version takes and gives, by name; None where nobody knows what it gives."""
    if signature is None:
        return {}, None
    return (
        {column.name: str(column.datatype) for column in signature.inputs},
        {column.name: str(column.datatype) for column in signature.outputs},
    )


def tell_sender(ahead_ms: int, moved: int) -> str:
    """Return from what clock calls come, and what was done about it.

    Example:
        >>> tell_sender(7_200_000, 0)
        "from a clock that is 7200 s ahead of this server's: their times were set right; set that clock, by NTP"
        >>> tell_sender(0, 3)
        'from the future (3 calls): their times became the time they came; set the clock of who sends them, by NTP'
    """
    if ahead_ms:
        where = "ahead of" if ahead_ms > 0 else "behind"
        return (
            f"from a clock that is {abs(ahead_ms) / 1000:.0f} s {where} this server's: "
            "their times were set right; set that clock, by NTP"
        )
    return (
        f"from the future ({moved} call{'' if moved == 1 else 's'}): "
        "their times became the time they came; set the clock of who sends them, by NTP"
    )


def route_of(revision: Revision, version: int) -> tuple[int, Route]:
    """Return the revision and route a version answers on; 0 and `direct` where it takes no part."""
    if version == revision.stable:
        return revision.number, "stable"
    if revision.canary is not None and version == revision.canary.version:
        return revision.number, "canary"
    if version in revision.shadows:
        return revision.number, "shadow"
    return 0, "direct"
