"""The dashboard of one endpoint: traffic by version and route, quality, judgement, what was deployed."""

from __future__ import annotations

from penstock.monitoring.grafana.boards import (
    ENDPOINT,
    OWN,
    STATES,
    Board,
    Panel,
    Query,
    Row,
    Variable,
    guardrail_states,
)

BY = "endpoint, version, route"
NAMED = "{{endpoint}} {{route}} {{version}}"
RECORDED = "endpoint_version_route:penstock_request_duration_seconds"
ROUTE = Variable(name="route", label="Route", query="label_values(penstock_traffic_share_ratio, route)")
ON = f'{OWN},route=~"$route"'


def _rate(metric: str, by: str, selector: str = OWN) -> str:
    return f"sum by ({by}) (rate({metric}{{{selector}}}[$__rate_interval]))"


def _ratios() -> tuple[Query, ...]:
    spans = ("5m", "30m", "1h", "2h", "6h", "1d")
    return tuple(
        Query(f"endpoint:penstock_request_errors:ratio{span}{{{OWN}}}", f"{{{{endpoint}}}} {span}")
        for span in spans
    )


TRAFFIC = (
    Panel(
        title="Requests by outcome",
        description="ok, invalid (the client's mistake), error (ours), abandoned by its client.",
        unit="reqps",
        queries=(Query(_rate("penstock_requests_total", "endpoint, outcome"), "{{endpoint}} {{outcome}}"),),
        least=0,
    ),
    Panel(
        title="Answers by version",
        description="Requests a second that each version answered.",
        unit="reqps",
        queries=(Query(_rate("penstock_predictions_total", BY, ON), NAMED),),
        least=0,
    ),
    Panel(
        title="Rows by version",
        description="Rows a second that each version predicted.",
        unit="rowsps",
        queries=(Query(_rate("penstock_prediction_rows_total", BY, ON), NAMED),),
        least=0,
    ),
    Panel(
        title="Share of failed requests",
        description="Over several spans: what the burn-rate alerts look at.",
        unit="percentunit",
        queries=_ratios(),
        least=0,
    ),
    Panel(
        title="Failures by version and kind",
        description="model_failed, deadline, overloaded.",
        unit="reqps",
        queries=(
            Query(_rate("penstock_prediction_errors_total", f"{BY}, kind", ON), f"{NAMED} {{{{kind}}}}"),
        ),
        least=0,
    ),
    Panel(
        title="Share of failures by version",
        description="Of the requests that a version was asked, over 5 minutes.",
        unit="percentunit",
        queries=(Query(f"endpoint_version_route:penstock_prediction_errors:ratio5m{{{ON}}}", NAMED),),
        least=0,
    ),
    Panel(
        title="Latency",
        description="p50, p95 and p99 over 5 minutes; the histogram ends at 10 s.",
        unit="s",
        queries=tuple(
            Query(f"{RECORDED}:{rank}_5m{{{ON}}}", f"{NAMED} {rank}") for rank in ("p50", "p95", "p99")
        ),
        least=0,
        width=16,
    ),
    Panel(
        title="Requests in five minutes",
        description="What ratios and quantiles are of: below 20 no alert goes by them.",
        queries=(
            Query(f"endpoint_version_route:penstock_predictions:increase5m{{{ON}}}", NAMED),
            Query(f"endpoint:penstock_requests:increase5m{{{OWN}}}", "{{endpoint}} all"),
        ),
        least=0,
    ),
)
QUALITY = (
    Panel(
        title="Live quality",
        description="From labels, with two standard errors to each side.",
        queries=(
            Query(f"max by ({BY}, metric) (penstock_quality{{{ON}}})", f"{NAMED} {{{{metric}}}}"),
            Query(
                f"max by ({BY}, metric) (penstock_quality{{{ON}}} - 2 * penstock_quality_error)",
                f"{NAMED} {{{{metric}}}} low",
            ),
            Query(
                f"max by ({BY}, metric) (penstock_quality{{{ON}}} + 2 * penstock_quality_error)",
                f"{NAMED} {{{{metric}}}} high",
            ),
        ),
        width=12,
    ),
    Panel(
        title="Quality by slice",
        description="Of the rows that have one value of a feature that monitor.slices names.",
        queries=(
            Query(
                f"max by ({BY}, metric, feature, slice) (penstock_slice_quality{{{ON}}})",
                f"{NAMED} {{{{metric}}}} {{{{feature}}}}={{{{slice}}}}",
            ),
        ),
        width=12,
    ),
    Panel(
        title="Labels by slice",
        description="How many labels they are of.",
        queries=(
            Query(
                f"max by ({BY}, feature, slice) (penstock_slice_labels{{{ON}}})",
                f"{NAMED} {{{{feature}}}}={{{{slice}}}}",
            ),
        ),
        least=0,
        width=12,
    ),
    Panel(
        title="Estimated quality",
        description="From probabilities, without labels, and by how much that was off where labels came.",
        queries=(
            Query(f"max by ({BY}, metric) (penstock_quality_estimated{{{ON}}})", f"{NAMED} {{{{metric}}}}"),
            Query(
                f"max by ({BY}, metric) (penstock_quality_estimated_gap{{{ON}}})",
                f"{NAMED} {{{{metric}}}} off by",
            ),
        ),
        width=12,
    ),
    Panel(
        title="Probabilities behind estimates",
        description="1 for what labels say of them: good, off or unchecked.",
        queries=(
            Query(
                f"max by ({BY}, state) (penstock_quality_estimated_calibration{{{ON}}})",
                f"{NAMED} {{{{state}}}}",
            ),
        ),
        least=0,
        width=6,
    ),
    Panel(
        title="Labels behind it",
        description="How many labels the metrics are of.",
        queries=(Query(f"max by ({BY}) (penstock_quality_labels{{{ON}}})", NAMED),),
        least=0,
        width=6,
    ),
    Panel(
        title="Labels that arrive",
        description="By what became of them.",
        unit="cps",
        queries=(Query(_rate("penstock_labels_total", "endpoint, outcome"), "{{endpoint}} {{outcome}}"),),
        least=0,
        width=6,
    ),
    Panel(
        title="Labels before their predictions",
        description="How many wait for predictions that are not stored yet, and how many were given up in an hour.",
        queries=(
            Query(f"max by (endpoint) (penstock_labels_waiting{{{OWN}}})", "{{endpoint}} waiting"),
            Query(
                f"max by (endpoint, reason) (increase(penstock_labels_lost_total{{{OWN}}}[1h]))",
                "{{endpoint}} given up: {{reason}}",
            ),
        ),
        least=0,
        width=6,
    ),
)
OF_ROWS = "multivariate|outliers|values|freshness"
"""Kinds of guardrails that no other panel shows the numbers of."""
JUDGED = (
    Panel(
        title="Guardrails",
        description="Held, not judged or breached, as the controller found them.",
        kind="states",
        queries=(
            Query(
                guardrail_states("endpoint, version, route, kind, name"),
                "{{route}} {{version}} {{kind}} {{name}}",
            ),
        ),
        names=STATES,
        width=12,
    ),
    Panel(
        title="Why guardrails are not judged",
        description="Guardrails by reason.",
        queries=(
            Query(
                f"count by (endpoint, route, reason) (penstock_guardrail_unjudged{{{OWN}}})",
                "{{route}} {{reason}}",
            ),
        ),
        least=0,
        width=6,
    ),
    Panel(
        title="What guardrails see",
        description="At the last look, each in its own unit; of several features the worst.",
        queries=(
            Query(
                f'max by (endpoint, version, route, kind, name) (penstock_guardrail_observed{{{OWN},kind=~"{OF_ROWS}"}})',
                "{{route}} {{version}} {{kind}} {{name}}",
            ),
            Query(
                f'max by (endpoint, kind, name) (penstock_guardrail_limit{{{OWN},kind=~"{OF_ROWS}"}})',
                "limit of {{kind}} {{name}}",
            ),
        ),
        least=0,
        width=12,
    ),
    Panel(
        title="Age of the newest window",
        description="Since the end of the newest window with traffic.",
        unit="s",
        queries=(Query(f"time() - max by ({BY}) (penstock_window_end_timestamp_seconds{{{ON}}})", NAMED),),
        width=6,
    ),
)
DEPLOYED = (
    Panel(
        title="Share of traffic",
        description="Of an endpoint's requests for each version.",
        unit="percentunit",
        queries=(
            Query(f"max by ({BY}) (penstock_traffic_share_ratio{{{ON}}})", NAMED),
            Query(f"max by (endpoint) (penstock_canary_share_ratio{{{OWN}}})", "{{endpoint}} canary wanted"),
        ),
        least=0,
        most=1,
        width=6,
    ),
    Panel(
        title="Revision",
        description="The one to be served, and the lowest that a serve process serves.",
        queries=(
            Query(f"max by (endpoint) (penstock_endpoint_revision{{{OWN}}})", "{{endpoint}} wanted"),
            Query(f"min by (endpoint) (penstock_revision{{{OWN}}})", "{{endpoint}} served"),
        ),
        width=6,
    ),
    Panel(
        title="Serve processes",
        description="By what they say of the revision.",
        queries=(
            Query(f"max by (endpoint, state) (penstock_serve_processes{{{OWN}}})", "{{endpoint}} {{state}}"),
        ),
        least=0,
        width=6,
    ),
    Panel(
        title="Rollbacks",
        description="Since the endpoint was made, by who made them.",
        queries=(Query(f"max by (endpoint, by) (penstock_rollbacks_total{{{OWN}}})", "{{endpoint}} {{by}}"),),
        least=0,
        width=6,
    ),
)
BOARD = Board(
    uid="penstock-endpoint",
    title="Penstock / Endpoint",
    description="One endpoint: traffic by version and route, quality, judgement, deployments.",
    variables=(ENDPOINT, ROUTE),
    rows=(
        Row("Traffic", TRAFFIC),
        Row("Quality", QUALITY),
        Row("Judgement", JUDGED),
        Row("Deployed", DEPLOYED),
    ),
    page="/endpoints/${endpoint}",
)
