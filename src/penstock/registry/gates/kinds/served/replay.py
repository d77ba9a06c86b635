"""`replay`: recorded requests of an endpoint are answered by the candidate, much as they were answered then.

Each request goes through the real serving engine as it came, with all its rows. A request is what is counted: its rows
were made by one caller, and are alike.
"""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np

from penstock.base.errors import PenstockError
from penstock.base.numbers import counted
from penstock.registry.gates.asking import weigh
from penstock.registry.gates.check import (
    Evidence,
    Gate,
    Outcome,
    RecordedRequest,
    Subject,
    told_of_broken,
)
from penstock.stats.shares import share_bounds

WARMUP = 5
KEPT = 100
FILE = "replay.json"
JUDGED = ("probability", "prediction")


class ReplayGate(msgspec.Struct, frozen=True, kw_only=True):
    """The newest `requests` that an endpoint recorded, asked of the candidate, and what may be otherwise than then.

    An answer has changed where `output` differs by more than `tolerance` in some row, or is another text. The upper bound
    of the share of changed answers is held against `max_changed_ratio`.
    """

    endpoint: str | None = None
    requests: int = 1000
    min_requests: int = 100
    output: str | None = None
    tolerance: float = 0.05
    max_changed_ratio: float | None = None
    max_error_ratio: float = 0.0
    p95_ms: float | None = None
    alpha: float = 0.05

    def __post_init__(self) -> None:
        """Refuse values outside their range."""
        if not 1 <= self.min_requests <= self.requests <= 100_000:
            raise ValueError("`min_requests` is at least 1 and at most `requests`, which is at most 100000")
        if self.tolerance < 0 or not 0 < self.alpha < 1:
            raise ValueError("`tolerance` is at least 0, `alpha` in (0, 1)")
        for ratio in (self.max_changed_ratio, self.max_error_ratio):
            if ratio is not None and not 0 <= ratio < 1:
                raise ValueError("`max_changed_ratio` and `max_error_ratio` are in [0, 1)")
        if self.p95_ms is not None and self.p95_ms <= 0:
            raise ValueError("`p95_ms` is above 0")


class _Replayed(msgspec.Struct, kw_only=True):
    """What became of the requests; `changed` has the row of each that changed most."""

    changed: list[dict[str, Any]] = []
    failed: list[dict[str, Any]] = []
    took_ms: list[float] = []
    largest: list[float] = []


def check_replay(gate: ReplayGate, evidence: Evidence) -> Outcome:
    """Send the requests.

    Raises:
        PenstockError: nothing was recorded, or the candidate takes what was not.
    """
    traffic = evidence.require_traffic()
    recorded = traffic.recorded(gate.endpoint, gate.requests)
    if len(recorded) < gate.min_requests:
        sentence = f"{len(recorded)} recorded requests are too few, {gate.min_requests} are needed"
        return Outcome(
            "error", sentence, expected=f"at least {counted(gate.min_requests, 'request')}", n=len(recorded)
        )
    model = evidence.require_candidate()
    output = gate.output or next((one for one in JUDGED if one in recorded[0].outputs), JUDGED[1])
    if not any(output in one.outputs for one in recorded):
        return Outcome("error", f"no recorded answer has the output {output}", n=len(recorded))
    for request in recorded[:WARMUP]:
        _ask(model, request)
    found = _Replayed()
    for request in recorded:
        _replay(gate, model, request, output, found)
    count = len(recorded)
    if len(found.failed) == count:
        return Outcome(
            "error", f"the candidate answers no recorded request: {found.failed[0]['error']}", n=count
        )
    low, high = share_bounds(len(found.changed), count, gate.alpha)
    p95_ms = float(np.percentile(found.took_ms, 95)) if found.took_ms else float("inf")
    broken = [
        *(["max_error_ratio"] if len(found.failed) > gate.max_error_ratio * count else []),
        *(
            ["max_changed_ratio"]
            if gate.max_changed_ratio is not None and high > gate.max_changed_ratio
            else []
        ),
        *(["p95_ms"] if gate.p95_ms is not None and p95_ms > gate.p95_ms else []),
    ]
    found.changed.sort(key=lambda one: -_size(one["difference"]))
    kept = msgspec.json.encode({"changed": found.changed[:KEPT], "failed": found.failed[:KEPT]})
    sentence = (
        f"{len(found.changed)} of {count} recorded requests are answered otherwise in {output} "
        f"({100 * low:.1f} to {100 * high:.1f} %), {len(found.failed)} not at all, p95 {p95_ms:.2f} ms"
        f"{told_of_broken(broken)}"
    )
    return Outcome(
        "fail" if broken else "pass",
        sentence,
        observed=len(found.changed) / count,
        expected="; ".join(_limits(gate)),
        n=count,
        interval=(low, high),
        evidence={
            "errors": len(found.failed),
            "p95_ms": p95_ms,
            "recorded_p95_ms": 1000 * float(np.percentile([one.latency_s for one in recorded], 95)),
            "output": output,
            "mean_largest_difference": float(np.mean(found.largest)) if found.largest else None,
            "versions": _versions(recorded),
            "changed_most": found.changed[:5],
            "files": evidence.keep_file(FILE, kept),
        },
    )


def _replay(
    gate: ReplayGate, model: Subject, request: RecordedRequest, output: str, found: _Replayed
) -> None:
    named = {"prediction_id": request.id, "version": request.version, "time_ms": request.time_ms}
    answer = _ask(model, request)
    if isinstance(answer, str):
        found.failed.append({**named, "error": answer})
        found.changed.append({**named, "row": None, "before": None, "after": None, "difference": "no answer"})
        return
    outputs, took_s = answer
    found.took_ms.append(1000 * took_s)
    before, after = request.outputs.get(output), outputs.get(output)
    if before is None or after is None or len(before) != len(after):
        found.changed.append(
            {**named, "row": None, "before": None, "after": None, "difference": f"no {output}"}
        )
        return
    gaps = _gaps(before, after)
    row = int(np.argmax(gaps))
    if np.isfinite(gaps[row]):
        found.largest.append(float(gaps[row]))
    if gaps[row] > gate.tolerance:
        size = float(gaps[row]) if np.isfinite(gaps[row]) else "another value"
        one = {"row": row, "before": _plain(before[row]), "after": _plain(after[row]), "difference": size}
        found.changed.append({**named, **one})


def _ask(model: Subject, request: RecordedRequest) -> tuple[Any, float] | str:
    """Return what a model answers and how long it took; the error in words where it does not."""
    try:
        return model.replay(request.inputs)
    except PenstockError as error:
        return error.message[:300]
    except Exception as error:  # noqa: BLE001 - a model may raise anything
        return f"{type(error).__name__}: {error}"[:300]


def _gaps(before: Any, after: Any) -> Any:
    """Return by how much each row differs, (n,); infinite where values are no numbers and are not the same."""
    one, other = np.asarray(before), np.asarray(after)
    if one.shape == other.shape and one.dtype.kind in "fiub" and other.dtype.kind in "fiub":
        gaps = np.abs(one.astype(np.float64) - other.astype(np.float64))
        both = np.isnan(one.astype(np.float64)) & np.isnan(other.astype(np.float64))
        gaps = np.where(both, 0.0, np.where(np.isnan(gaps), np.inf, gaps))
        return gaps.reshape(len(one), -1).max(axis=1)
    return np.array(
        [0.0 if str(_plain(a)) == str(_plain(b)) else np.inf for a, b in zip(one, other, strict=True)]
    )


def _plain(value: Any) -> Any:
    value = value.tolist() if hasattr(value, "tolist") else value
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else value


def _size(difference: float | str) -> float:
    return difference if isinstance(difference, float) else float("inf")


def _versions(recorded: tuple[RecordedRequest, ...]) -> dict[str, int]:
    """Return how many requests each version had answered."""
    found: dict[str, int] = {}
    for one in recorded:
        found[str(one.version)] = found.get(str(one.version), 0) + 1
    return found


def _limits(gate: ReplayGate) -> list[str]:
    words = [f"errors in at most {100 * gate.max_error_ratio:g} %"]
    if gate.max_changed_ratio is not None:
        words.append(f"surely at most {100 * gate.max_changed_ratio:g} % changed")
    if gate.p95_ms is not None:
        words.append(f"p95 at most {gate.p95_ms:g} ms")
    return words


GATE = Gate(
    settings=ReplayGate,
    check=check_replay,
    title=lambda gate: gate.endpoint or "its endpoint",
    weighed=weigh(
        endpoint="any",
        requests="lower",
        min_requests="lower",
        output="any",
        tolerance="higher",
        max_changed_ratio="higher",
        max_error_ratio="higher",
        p95_ms="higher",
        alpha="higher",
    ),
)
