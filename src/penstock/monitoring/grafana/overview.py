"""The dashboard of all endpoints at a glance."""

from __future__ import annotations

from penstock.monitoring.grafana.boards import (
    ENDPOINT,
    GOOD_IS_ZERO,
    OWN,
    STATES,
    Board,
    Panel,
    Query,
    Row,
    guardrail_states,
)

OF_ENDPOINT = "sum by (endpoint)"
FAILED = f'{OF_ENDPOINT} (rate(penstock_requests_total{{{OWN},outcome="error"}}[$__rate_interval]))'
ANSWERED = f'{OF_ENDPOINT} (rate(penstock_requests_total{{{OWN},outcome=~"ok|error"}}[$__rate_interval]))'
BUCKETS = f"sum by (endpoint, le) (rate(penstock_request_duration_seconds_bucket{{{OWN}}}[$__rate_interval]))"


def _stat(
    title: str, description: str, expr: str, limits: tuple[tuple[float | None, str], ...], unit: str = "short"
) -> Panel:
    return Panel(
        title=title,
        description=description,
        kind="stat",
        unit=unit,
        queries=(Query(expr),),
        width=4,
        height=4,
        limits=limits,
    )


OVERVIEW = Board(
    uid="penstock-overview",
    title="Penstock / Overview",
    description="Every endpoint: what it serves, how it answers, what was found.",
    variables=(ENDPOINT,),
    rows=(
        Row(
            "Now",
            (
                _stat(
                    "Breached guardrails",
                    "Guardrails over their limit.",
                    f'sum(max by (endpoint, version, route, kind, name) (penstock_guardrail_state{{{OWN},state="breached"}}))',
                    limits=GOOD_IS_ZERO,
                ),
                _stat(
                    "Not judged",
                    "Guardrails that nobody could judge yet.",
                    f'sum(max by (endpoint, version, route, kind, name) (penstock_guardrail_state{{{OWN},state="unjudged"}}))',
                    limits=((None, "green"), (1.0, "yellow")),
                ),
                _stat(
                    "Open alerts",
                    "Alerts of the controller that are not over.",
                    f"sum(max by (endpoint) (penstock_endpoint_alerts{{{OWN}}}))",
                    limits=GOOD_IS_ZERO,
                ),
                _stat(
                    "Rollbacks in a day",
                    "By the controller and by people.",
                    f"sum(max by (endpoint, by) (increase(penstock_rollbacks_total{{{OWN}}}[1d])))",
                    limits=((None, "green"), (0.5, "yellow")),
                ),
                _stat(
                    "Last look",
                    "How long ago the controller finished a round of looks.",
                    "time() - max(penstock_controller_last_tick_timestamp_seconds)",
                    unit="s",
                    limits=((None, "green"), (30.0, "red")),
                ),
                _stat(
                    "Controllers that act",
                    "One acts; others wait to take over.",
                    "sum(penstock_controller_leading)",
                    limits=((None, "red"), (1.0, "green")),
                ),
            ),
        ),
        Row(
            "Endpoints",
            (
                Panel(
                    title="Endpoints",
                    description="One line an endpoint; a click opens it.",
                    kind="table",
                    width=24,
                    queries=(
                        Query(f"max by (endpoint, model, stable, canary) (penstock_revision_info{{{OWN}}})"),
                        Query(f"max by (endpoint) (penstock_endpoint_revision{{{OWN}}})"),
                        Query(f"max by (endpoint) (penstock_canary_share_ratio{{{OWN}}})"),
                        Query(f"endpoint:penstock_requests:rate5m{{{OWN}}}"),
                        Query(f"endpoint:penstock_request_errors:ratio5m{{{OWN}}}"),
                        Query(
                            f"sum by (endpoint) (max by (endpoint, version, route, kind, name) (penstock_open_breaches{{{OWN}}})) "
                            f"or max by (endpoint) (0 * penstock_endpoint_alerts{{{OWN}}})"
                        ),
                    ),
                    columns=(
                        ("", ""),
                        ("revision", "short"),
                        ("canary's share", "percentunit"),
                        ("requests/s", "reqps"),
                        ("failed", "percentunit"),
                        ("open breaches", "short"),
                    ),
                ),
            ),
        ),
        Row(
            "Traffic",
            (
                Panel(
                    title="Requests",
                    description="Requests a second, whatever came of them.",
                    unit="reqps",
                    queries=(
                        Query(
                            f"{OF_ENDPOINT} (rate(penstock_requests_total{{{OWN}}}[$__rate_interval]))",
                            "{{endpoint}}",
                        ),
                    ),
                    least=0,
                ),
                Panel(
                    title="Failed requests",
                    description="Share of the requests that failed for reasons other than the client.",
                    unit="percentunit",
                    queries=(Query(f"{FAILED} / ({ANSWERED} > 0)", "{{endpoint}}"),),
                    least=0,
                ),
                Panel(
                    title="Latency, p99",
                    description="From the arrival of a request to its answer.",
                    unit="s",
                    queries=(Query(f"histogram_quantile(0.99, {BUCKETS})", "{{endpoint}}"),),
                    least=0,
                ),
            ),
        ),
        Row(
            "Judgement",
            (
                Panel(
                    title="Guardrails",
                    description="The worst of each endpoint's guardrails of a kind, over time.",
                    kind="states",
                    width=24,
                    queries=(
                        Query(
                            guardrail_states("endpoint, route, kind, name"),
                            "{{endpoint}} {{route}} {{kind}} {{name}}",
                        ),
                    ),
                    names=STATES,
                ),
            ),
        ),
    ),
)
