"""Alerts of one endpoint, from the numbers of its policy: errors, latency, and whether it is there at all."""

from __future__ import annotations

import math
import shlex
from collections.abc import Iterator, Sequence

from penstock.monitoring.guardrails.limits import LatencyLimit
from penstock.monitoring.prometheus.recording import LONGEST_S
from penstock.monitoring.prometheus.rules import MIN_REQUESTS, Case, Rule, number, quoted
from penstock.monitoring.settings import EndpointSettings

BURNS = (
    ("PenstockErrorsBurnFast", "page", 14.4, "1h", "5m"),
    ("PenstockErrorsBurn", "page", 6.0, "6h", "30m"),
    ("PenstockErrorsBurnSlow", "warning", 3.0, "1d", "2h"),
)
"""Name, severity, how many times faster than allowed failures come, and over which spans.

Source: Beyer et al., "The Site Reliability Workbook", 2018, chapter 5, table 5-8.
"""
MOST = 0.9
"""A share of failures above which somebody is told however large the objective is."""
VERSION = 'version="1",route="stable"'


def alerts_of(
    endpoint: str, settings: EndpointSettings, *, is_served: bool = True, is_watched: bool = True
) -> Iterator[Rule]:
    """Yield the alerts that stand on an endpoint's own numbers.

    Args:
        is_served: whether a serve process is to answer for it, as none does for one of batch jobs alone.
        is_watched: whether a policy is to watch it.
    """
    budgets = sorted({entry.errors.max_ratio for entry in settings.guardrails if entry.errors is not None})
    if budgets:
        yield from (_burn(endpoint, budgets[0], burn) for burn in BURNS)
    limits = [entry.latency for entry in settings.guardrails if entry.latency is not None]
    told = sorted((one for one in limits if one.limit_s < LONGEST_S), key=lambda one: -one.limit_s)
    if told:
        # of each rank the least; the lowest rank first
        yield _slow(endpoint, [least for _, least in sorted({one.rank: one for one in told}.items())])
    yield _stale(endpoint, settings)
    served, watched = _absent(endpoint)
    if is_served:
        yield served
    if is_watched:
        yield watched


def untold(settings: EndpointSettings) -> list[str]:
    """Say which limits of a policy no rule can hold."""
    limits = [entry.latency for entry in settings.guardrails if entry.latency is not None]
    return [
        f"the limit of {one.limit_s:g} s on latency is beyond the last bucket of the histogram, {LONGEST_S:g} s"
        for one in limits
        if one.limit_s >= LONGEST_S
    ]


def threshold(budget: float, factor: float) -> float:
    """Return the share of failures at which a burn is told; it can be reached whatever the objective is.

    Example:
        >>> round(threshold(0.01, 14.4), 3), threshold(0.2, 14.4)
        (0.144, 0.9)
    """
    return max(budget, min(factor * budget, MOST))


def _burn(endpoint: str, budget: float, burn: tuple[str, str, float, str, str]) -> Rule:
    name, severity, factor, long, short = burn
    own, least = f"{{endpoint={quoted(endpoint)}}}", threshold(budget, factor)
    ratio = "endpoint:penstock_request_errors:ratio"
    over = number(least)

    counted = f"penstock_requests_total{{endpoint={quoted(endpoint)},outcome="

    def requests(ok: str, failed: str) -> tuple[tuple[str, str], ...]:
        return ((f'{counted}"ok"}}', ok), (f'{counted}"error"}}', failed))

    bad = math.ceil(1000 * (1 + least) / 2)
    held = math.floor(1000 * budget / 2)
    return Rule(
        name=name,
        expr=f"{ratio}{long}{own} > {over} and {ratio}{short}{own} > {over} "
        f"and endpoint:penstock_requests:increase{long}{own} >= {MIN_REQUESTS}",
        labels={"severity": severity, "endpoint": endpoint},
        annotations={
            "summary": f"{endpoint} fails more than {least:.2%} of its requests",
            "description": f"Over {long} and over {short}: {factor:g} times what its policy allows "
            f"({budget:.2%}), or nearly all. penstock monitor status {shlex.quote(endpoint)}",
        },
        cases=(
            Case(
                name="most requests fail",
                series=requests(f"0+{1000 - bad}x30", f"0+{bad}x30"),
                at="30m",
                fires={},
            ),
            Case(
                name="half of what is allowed fails",
                series=requests(f"0+{1000 - held}x30", f"0+{held}x30"),
                at="30m",
            ),
            Case(name="few requests, all of them failed", series=requests("0x20", "0+1x5 5x15"), at="15m"),
            Case(name="no traffic", series=requests("7x20", "3x20"), at="15m"),
            Case(
                name="the process began anew and nothing fails",
                series=requests("0+60x10 0+60x20", "0x30"),
                at="25m",
            ),
            *(
                [Case(name="failures that are over", series=requests(*OVER), at="20m")]
                if short == "5m"
                else []
            ),
        ),
    )


OVER = ("0x10 0+1000x10", "0+1000x10 10000x10")
"""Ten minutes of failures, then ten without."""


def _slow(endpoint: str, limits: Sequence[LatencyLimit]) -> Rule:
    """Return the one alert on all limits: two of one name and the same labels would write over one another."""
    own = f"{{endpoint={quoted(endpoint)}}}"
    on = "endpoint_version_route:penstock"
    labels = f"endpoint={quoted(endpoint)},{VERSION}"
    over = [f"{on}_request_duration_seconds:{_rank(one)}_5m{own} > {number(one.limit_s)}" for one in limits]
    words = [
        f"{_rank(one)} of {{{{ $labels.route }}}} version {{{{ $labels.version }}}} is over {1000 * one.limit_s:g} ms"
        for one in limits
    ]

    def timed(bound_s: float, a_minute: int, minutes: int) -> tuple[tuple[str, str], ...]:
        """Return so many requests a minute that take as long as a bound says, nearly."""
        from_bound = [
            (one, f"0+{a_minute if one >= bound_s else 0}x{minutes}") for one in (*BOUNDS_S, math.inf)
        ]
        return (
            *(
                (f'penstock_request_duration_seconds_bucket{{{labels},le="{_bound(one)}"}}', values)
                for one, values in from_bound
            ),
            (f"penstock_predictions_total{{{labels}}}", f"0+{a_minute}x{minutes}"),
        )

    def beyond(limit_s: float) -> float:
        return next((one for one in BOUNDS_S if one > 2 * limit_s), math.inf)

    most = beyond(max(one.limit_s for one in limits))
    either = over[0] if len(over) == 1 else f"({' or '.join(over)})"
    return Rule(
        name="PenstockSlow",
        expr=f"{either} and on (endpoint, version, route) {on}_predictions:increase5m{own} >= {MIN_REQUESTS}",
        hold="5m",
        labels={"severity": "warning", "endpoint": endpoint},
        annotations={
            "summary": f"{endpoint}: {', or '.join(words)}",
            "description": f"penstock monitor status {shlex.quote(endpoint)}",
        },
        cases=(
            *(
                Case(
                    name=f"every request is slower than {_rank(one)} may be",
                    series=timed(beyond(one.limit_s), 60, 20),
                    at="15m",
                    fires={"version": "1", "route": "stable"},
                )
                for one in limits
            ),
            Case(name="every request is quick", series=timed(BOUNDS_S[0], 60, 20), at="15m"),
            Case(name="one slow request a minute", series=timed(most, 1, 20), at="15m"),
        ),
    )


def _rank(limit: LatencyLimit) -> str:
    return f"p{limit.rank * 100:g}"


BOUNDS_S = (0.0001, 0.001, 0.01, 0.1, 1.0, LONGEST_S)
"""Buckets that the cases use; the rules hold for whatever buckets there are."""


def _bound(bound_s: float) -> str:
    return "+Inf" if math.isinf(bound_s) else f"{bound_s:g}"


def _stale(endpoint: str, settings: EndpointSettings) -> Rule:
    own = f"{{endpoint={quoted(endpoint)}}}"
    most_s = 3 * settings.monitor.window_s + 60
    minutes = math.ceil(most_s / 60) + 10
    requests = (f'penstock_requests_total{{endpoint={quoted(endpoint)},outcome="ok"}}', f"0+60x{minutes}")
    window = f"penstock_window_end_timestamp_seconds{{endpoint={quoted(endpoint)},{VERSION}}}"
    return Rule(
        name="PenstockWindowsStale",
        expr=f"time() - max by (endpoint) (penstock_window_end_timestamp_seconds{own}) > {most_s} "
        f"and on (endpoint) endpoint:penstock_requests:rate5m{own} > 0",
        hold="2m",
        labels={"severity": "warning", "endpoint": endpoint},
        annotations={
            "summary": f"{endpoint} answers, and its traffic does not reach the store",
            "description": f"The newest window ended more than {most_s} s ago, so nothing is judged.",
        },
        cases=(
            Case(
                name="windows stand still",
                series=(requests, (window, f"0x{minutes}")),
                at=f"{minutes}m",
                fires={},
            ),
            Case(name="windows go on", series=(requests, (window, f"0+60x{minutes}")), at=f"{minutes}m"),
            Case(name="no traffic", series=((window, f"0x{minutes}"),), at=f"{minutes}m"),
        ),
    )


def _absent(endpoint: str) -> tuple[Rule, Rule]:
    own = f"endpoint={quoted(endpoint)}"
    found = []
    for name, metric, summary, more, mend in (
        (
            "PenstockEndpointNotServed",
            "penstock_traffic_share_ratio",
            f"no serve process answers for {endpoint}",
            f",{VERSION}",
            "penstock doctor",
        ),
        (
            "PenstockEndpointNotWatched",
            "penstock_endpoint_revision",
            f"nothing watches {endpoint}: it has no policy, or no controller runs",
            "",
            "penstock endpoint show tells its policy; without one, name it in penstock.yaml, then "
            "penstock endpoint apply",
        ),
    ):
        found.append(
            Rule(
                name=name,
                expr=f"absent({metric}{{{own}}})",
                hold="5m",
                labels={"severity": "page", "endpoint": endpoint},
                annotations={"summary": summary, "description": f"{metric} is not told. {mend}"},
                cases=(
                    Case(name="nothing is told", series=(("up", "1x15"),), at="10m", fires={}),
                    Case(name="it is told", series=((f"{metric}{{{own}{more}}}", "1x15"),), at="10m"),
                ),
                stills=((f"{metric}{{{own}{more}}}", "1x15"),),
            )
        )
    return found[0], found[1]
