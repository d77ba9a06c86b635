"""A watched endpoint in this process: where it stands, its calls as batches, and its hooks."""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence

import msgspec

from penstock.base.errors import Invalid, NotFound, PenstockError
from penstock.serving.told.current import Current
from penstock.serving.told.observations import MissedCalls, Observation, ObservationBatch
from penstock.watching.calls import Call, Calls, Mark, Standing
from penstock.watching.counting import Counts
from penstock.watching.keeping import encoder, plain
from penstock.watching.places import Place

logger = logging.getLogger(__name__)
Hook = Callable[[Current], object]
BATCH_COUNT, BATCH_BYTES = 5_000, 8 * 1024 * 1024
"""Calls of one batch, and about how large it may become."""
HOOK_RETRY_S = 5.0
"""A hook that failed is called again after this long."""
FAULTS_TOLD_MAX = 100


class Watched:
    """What one process watches of an endpoint, for one version that the service says to run, or for what is wanted.

    Args:
        model: `NAME/3` or `NAME@alias`, which the service has loaded; None: it follows what the endpoint wants.
    """

    def __init__(self, endpoint: str, model: str | None, counts: Counts) -> None:
        self.endpoint, self.model, self.counts = endpoint, model, counts
        self.calls = Calls()
        self.current: Current | None = None
        self.hooks: list[Hook] = []
        self._given = _number_of(model)
        self._known: str | None = None
        self._took: str | None = None
        """The version that its hooks took over last, in place of the one that the service said."""
        self._taken: dict[Hook, tuple[int, float]] = {}
        """By hook: the revision it was told of last, and when it is told again of one it failed at."""
        self._faults: set[str] = set()
        self.standing = Standing(version=self._given)

    def fault(self, doing: str, error: Exception) -> None:
        """Tell once that something of a call could not be recorded."""
        text = f"{doing}: {type(error).__name__}: {error}"[:500]
        if text not in self._faults and len(self._faults) < FAULTS_TOLD_MAX:
            self._faults.add(text)
            logger.warning("a call of %s is recorded in part: %s", self.endpoint, text)

    def after_fork(self, counts: Counts) -> None:
        """In a child: leave the calls to the parent, and let the hooks be told anew."""
        self.counts, self.calls, self.current = counts, Calls(), None
        self._taken, self._took = {}, None
        self.standing = Standing(version=self._given)

    def follow(self, place: Place) -> None:
        """Look which version is wanted, tell the hooks when another one is, and say what answers from then on.

        Raises:
            PenstockError: it cannot be known now.
        """
        current = place.look(self.endpoint)
        missing = self._find_given(place, current)
        if missing is not None and self._given is None:
            raise missing
        version = self._version(current)
        if self.current is None or current.revision != self.current.revision or self._is_due(current):
            version = self._tell(current, version)
        before, self.current = self.standing, current
        self.standing = Standing.of(current, version)
        if missing is not None and self._took is None:
            raise missing
        if self.standing.route == "direct" and self.standing != before:
            logger.warning(
                "%s wants %s since revision %s, and this service answers with version %s: it is recorded, and no "
                "guardrail judges it",
                self.endpoint, current.ref, current.revision, self.standing.version,
            )  # fmt: skip

    @property
    def named(self) -> str | None:
        """The version that the service says to run, by its number where that is known."""
        return self._known or self.model

    def _find_given(self, place: Place, current: Current) -> PenstockError | None:
        """Look up the version that the service says to run, once; return why none of its calls are recorded."""
        if self.model is None:
            return None
        if self._known is None:
            try:
                self._known = place.resolve(self.model)
            except (NotFound, Invalid) as error:
                return error
            self._given = _number_of(self._known)
            if self._known != self.model:
                logger.warning(
                    "calls of %s count for %s, which %s means now: name the version that is loaded",
                    self.endpoint, self._known, self.model,
                )  # fmt: skip
        if self._known.rpartition("/")[0] != current.model:
            return Invalid(
                f"{self._known} is another model than {current.model}, which {self.endpoint} serves",
                code="watch.other_model",
                hint=f"name the version of {current.model} that is loaded, or another endpoint",
            )
        return None

    def _version(self, current: Current) -> int | None:
        """Return what the service answers with; None stands for what is wanted."""
        if self.hooks and self.standing.endpoint_id:
            return self.standing.version
        return self._given

    def _is_due(self, current: Current) -> bool:
        return any(
            self._taken.get(hook, (0, 0.0))[0] != current.revision
            and time.monotonic() >= self._taken.get(hook, (0, 0.0))[1]
            for hook in self.hooks
        )

    def _tell(self, current: Current, version: int | None) -> int | None:
        """Call the hooks that do not know a revision; return the version that answers then."""
        if not self.hooks:
            return version
        if self.current is None and version == current.version:  # it runs already
            self._taken = dict.fromkeys(self.hooks, (current.revision, 0.0))
            return version
        for hook in list(self.hooks):
            if self._taken.get(hook, (0, 0.0))[0] == current.revision:
                continue
            try:
                hook(current)
            except Exception as error:  # noqa: BLE001 - it is the service's; whatever it raises is told
                known = self._taken.get(hook, (0, 0.0))[0]
                self._taken[hook] = (known, time.monotonic() + HOOK_RETRY_S)
                self.counts.hook_failures[self.endpoint] += 1
                logger.error(
                    "on_revision of %s failed at revision %s (%s), and is called again in %g s: %s: %s",
                    self.endpoint, current.revision, current.ref, HOOK_RETRY_S, type(error).__name__, error,
                )  # fmt: skip
            else:
                self._taken[hook] = (current.revision, 0.0)
        is_taken = all(self._taken.get(hook, (0, 0.0))[0] == current.revision for hook in self.hooks)
        if not is_taken:
            return version
        self._took = current.ref
        return current.version

    def batches(self, next_id: Callable[[], str]) -> Iterator[tuple[str, int, bytes, int]]:
        """Yield what came since the last time as batches: id, time, bytes, and how many calls they tell of."""
        calls, missed = self.calls.take()
        self.counts.add(self.endpoint, calls, missed, self._place)
        told = [call for call in calls if call.outcome in {"ok", "error"}]
        counted = list(_count_missed(missed))
        # what one version waits for keeps no other waiting
        for version in dict.fromkeys(
            [call.mark.standing.version for call in told] + [one.version for one in counted]
        ):
            rest = [one for one in counted if one.version == version]
            of_version = [call for call in told if call.mark.standing.version == version]
            for part in _parts(of_version) or [[]]:
                batch = ObservationBatch(
                    batch=next_id(),
                    endpoint=self.endpoint,
                    observations=[self._observation(call) for call in part],
                    missed=rest,
                    model=self._model_of(version),
                )
                rest = []
                yield batch.batch, _now_ms(), self._encode(batch), len(part) + _sum(batch.missed)

    def _model_of(self, version: int | None) -> str | None:
        """Return the name of the version that calls are of, as far as the service said it."""
        if self._took is not None and version == _number_of(self._took):
            return self._took
        return self.named if version in (None, self._given) else None

    def _place(self, mark: Mark) -> Standing:
        """Return where a call stands that may have been made before the store was reached."""
        if mark.standing.endpoint_id or self.current is None:
            return mark.standing
        return Standing.of(
            self.current, self._given if mark.standing.version is None else mark.standing.version
        )

    def _observation(self, call: Call) -> Observation:
        mark = call.mark
        try:
            inputs, outputs = plain(call.inputs), plain(call.outputs)
        except Exception as error:  # noqa: BLE001 - of types that nobody here knows
            self.fault("its values", error)
            inputs = outputs = None
        return Observation(
            time_ms=mark.time_ms,
            latency_s=call.latency_s,
            inputs=inputs,
            outputs=None if call.error else outputs,
            id=mark.id,
            version=mark.standing.version,
            revision=mark.standing.revision or None,
            error=call.error,
        )

    def _encode(self, batch: ObservationBatch) -> bytes:
        try:
            return encoder.encode(batch)
        except Exception as error:  # noqa: BLE001 - of types that nobody here knows
            self.fault("its values", error)
        for one in batch.observations:
            try:
                encoder.encode(one)
            except Exception:  # noqa: BLE001 - as above
                one.inputs = one.outputs = None
        return encoder.encode(batch)


def counts_only(data: bytes) -> bytes:
    """Return a batch without the values of its calls, for which there is no room: that they came, and failed."""
    batch = msgspec.msgpack.decode(data, type=ObservationBatch)
    found: Counter[tuple[int | None, int | None]] = Counter()
    failed: Counter[tuple[int | None, int | None]] = Counter()
    for one in batch.observations:
        found[one.version, one.revision] += 1
        failed[one.version, one.revision] += one.error is not None
    time_ms = batch.observations[0].time_ms if batch.observations else _now_ms()
    batch.missed += [
        MissedCalls(
            time_ms=time_ms,
            request_count=count,
            error_count=failed[where],
            version=where[0],
            revision=where[1],
        )
        for where, count in found.items()
    ]
    batch.observations = []
    return encoder.encode(batch)


def _number_of(model: str | None) -> int | None:
    number = (model or "").rpartition("/")[2]
    return int(number) if model and "/" in model and number.isascii() and number.isdigit() else None


def _parts(calls: Sequence[Call]) -> list[Sequence[Call]]:
    parts: list[Sequence[Call]] = []
    start = size = 0
    for index, call in enumerate(calls):
        size += _size_of(call)
        if index - start >= BATCH_COUNT or size > BATCH_BYTES:
            if index > start:
                parts.append(calls[start:index])
            start, size = index, _size_of(call)
    if start < len(calls):
        parts.append(calls[start:])
    return parts


def _size_of(call: Call) -> int:
    """Return about how large a call becomes when written; only arrays and frames are looked at."""
    return 200 + sum(
        9 * int(getattr(value, "size", 0) or 0) if hasattr(value, "shape") else 200
        for value in (call.inputs, call.outputs)
    )


def _count_missed(missed: Sequence[tuple[Mark, str]]) -> Iterator[MissedCalls]:
    groups: dict[Standing, list[tuple[Mark, str]]] = {}
    for mark, outcome in missed:
        if outcome in {"ok", "error"}:
            groups.setdefault(mark.standing, []).append((mark, outcome))
    for standing, found in groups.items():
        yield MissedCalls(
            time_ms=found[0][0].time_ms,
            request_count=len(found),
            error_count=sum(outcome == "error" for _, outcome in found),
            version=standing.version,
            revision=standing.revision or None,
        )


def _sum(missed: Sequence[MissedCalls]) -> int:
    return sum(one.request_count for one in missed)


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
