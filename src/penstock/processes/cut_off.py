"""Requests that a process took along when it ended, told by the one that begins in its place.

A killed process cannot tell of them, so a version that ends its process would never be seen to fail. What a process is
about is kept in `penstock.serving.ending.underway`.
"""

from __future__ import annotations

import itertools
import logging
from collections.abc import Iterable, Mapping

from penstock.base.clock import now_ms
from penstock.base.numbers import counted
from penstock.flows.production.live.exchanging import route_of
from penstock.serving.deployments import Revision
from penstock.serving.ending.underway import LOADING, SHADOWS, Cut
from penstock.serving.predictions.ids import PredictionId
from penstock.serving.recorder import Exchange, Recorder

logger = logging.getLogger(__name__)
KIND = "process_ended"
"""The kind of failure of such a request."""
FIRST = 1 << 27
"""Their running numbers begin here: those of the process's own requests begin at 1."""


def exchanges_of(cuts: Iterable[Cut], current: Mapping[str, Revision], worker: int) -> list[Exchange]:
    """Return the requests that were cut off, each as a failure of its version.

    Args:
        current: every endpoint's revision; a version that has no part in it is on the route `direct`.
        worker: who tells.
    """
    numbers = itertools.count(FIRST)
    found = []
    for cut in cuts:
        revision = current.get(cut.endpoint)
        if cut.kind == LOADING or revision is None:
            continue
        number, route = route_of(revision, cut.number)
        if cut.kind == SHADOWS:
            number, route = revision.number, "shadow"
        for _ in range(cut.count):
            time_ms, counter = now_ms(), next(numbers)
            named = number or cut.number
            identity = PredictionId(time_ms, revision.endpoint_id, named, route, worker, counter)
            one = Exchange(
                endpoint=cut.endpoint,
                revision=number,
                version=cut.number,
                route=route,
                time_ms=time_ms,
                id=identity.encode(),
                counter=counter,
                inputs={},
                outputs={},
                row_count=0,
                latency_s=0.0,
                error=KIND,
            )
            found.append(one)
    return found


def tell(
    cuts: Iterable[Cut], current: Mapping[str, Revision], worker: int, recorder: Recorder
) -> list[Exchange]:
    """Record what was cut off and log it; return what was recorded."""
    cuts = list(cuts)
    found = exchanges_of(cuts, current, worker)
    for one in found:
        recorder.record(one)
    for cut in cuts:
        if cut.kind == LOADING:
            logger.error("a process ended while version %s of %s was loaded", cut.number, cut.endpoint)
        elif cut.count:
            what = counted(cut.count, "request", "requests")
            logger.error(
                "a process ended while version %s of %s predicted %s", cut.number, cut.endpoint, what
            )
    return found
