"""What is recorded: rates, ratios and quantiles that alerts and dashboards share. The same for every policy."""

from __future__ import annotations

from penstock.monitoring.prometheus.rules import Group, Rule

SPANS = ("5m", "30m", "1h", "2h", "6h", "1d")
"""Of the ratios of failed requests."""
RANKS = (0.5, 0.95, 0.99)
LONGEST_S = 10.0
"""The last bucket of the histogram of durations: a quantile is never told to be longer."""
BY_VERSION = "endpoint, version, route"


def recorded() -> tuple[Group, ...]:
    """Return the groups of recording rules."""
    return (
        Group(name="penstock.requests", rules=(_rate(), *(rule for span in SPANS for rule in _ratios(span)))),
        Group(name="penstock.versions", rules=(*map(_quantile, RANKS), *_by_version())),
    )


def _rate() -> Rule:
    return Rule(
        name="endpoint:penstock_requests:rate5m",
        expr="sum by (endpoint) (rate(penstock_requests_total[5m]))",
    )


def _ratios(span: str) -> tuple[Rule, Rule]:
    """Return requests whose outcome is ours to answer for, and the share of them that failed."""
    answered = f'sum by (endpoint) (increase(penstock_requests_total{{outcome=~"ok|error"}}[{span}]))'
    failed = f'sum by (endpoint) (increase(penstock_requests_total{{outcome="error"}}[{span}]))'
    return (
        Rule(name=f"endpoint:penstock_requests:increase{span}", expr=answered),
        Rule(name=f"endpoint:penstock_request_errors:ratio{span}", expr=f"{failed} / ({answered} > 0)"),
    )


def _quantile(rank: float) -> Rule:
    buckets = f"sum by ({BY_VERSION}, le) (rate(penstock_request_duration_seconds_bucket[5m]))"
    return Rule(
        name=f"endpoint_version_route:penstock_request_duration_seconds:p{rank * 100:g}_5m",
        expr=f"histogram_quantile({rank:g}, {buckets})",
    )


def _by_version() -> tuple[Rule, Rule]:
    answered = f"sum by ({BY_VERSION}) (increase(penstock_predictions_total[5m]))"
    failed = f"sum by ({BY_VERSION}) (increase(penstock_prediction_errors_total[5m]))"
    return (
        Rule(name="endpoint_version_route:penstock_predictions:increase5m", expr=answered),
        Rule(
            name="endpoint_version_route:penstock_prediction_errors:ratio5m",
            expr=f"{failed} / ({answered} + {failed} > 0)",
        ),
    )
