"""Alerts on the processes that judge, answer and post, and on their certificates: the same for every policy."""

from __future__ import annotations

from collections.abc import Mapping

from penstock.monitoring.prometheus.rules import Case, Rule

SOON_S = 14 * 86_400
WAITS_S = 600
"""So long nothing waits that a webhook takes at the fourth or fifth attempt."""


def controller_alerts() -> tuple[Rule, ...]:
    """Return the alerts on the processes that judge and answer."""
    return (
        _absent("PenstockServeAbsent", "penstock_recorder_max_bytes", "nothing that answers is scraped"),
        _absent("PenstockServerAbsent", "penstock_controller_leading", "no penstock server is scraped"),
        _plain(
            "PenstockNoController",
            "max(penstock_controller_leading) == 0",
            "no controller acts: every server waits for another",
            "page",
            ("penstock_controller_leading", "0x15", "1x15"),
        ),
        _plain(
            "PenstockControllerStalled",
            "time() - max(penstock_controller_last_tick_timestamp_seconds) > 60",
            "the controller has not looked for a minute",
            "page",
            ("penstock_controller_last_tick_timestamp_seconds", "0x15", "0+60x15"),
        ),
        _plain(
            "PenstockControllerFailing",
            "max(penstock_controller_failing) == 1",
            "the controller's looks fail; /health, or with --auth the server's log, says of what",
            "page",
            ("penstock_controller_failing", "1x15", "0x15"),
        ),
        _plain(
            "PenstockControllerSlow",
            "max(penstock_controller_last_tick_seconds) > 10",
            "a round of the controller's looks takes longer than 10 s, and so does a rollback",
            "warning",
            ("penstock_controller_last_tick_seconds", "12x15", "2x15"),
        ),
        _plain(
            "PenstockDecisionLost",
            "sum(increase(penstock_controller_decisions_lost_total[10m])) > 0",
            "a controller was so slow that another one took over from it; what it had decided was not done",
            "warning",
            ("penstock_controller_decisions_lost_total", "0+1x15", "3x15"),
        ),
        _plain(
            "PenstockSettingsWrong",
            "max(penstock_settings_wrong) == 1",
            "penstock.yaml cannot be used; the policies before it hold",
            "info",
            ("penstock_settings_wrong", "1x15", "0x15"),
        ),
        _certificate(),
        _undelivered(),
        _given_up(),
    )


def _certificate() -> Rule:
    series = 'penstock_certificate_end_timestamp_seconds{file="tls-cert"}'
    return Rule(
        name="PenstockCertificateEnds",
        expr=f"min by (file) (penstock_certificate_end_timestamp_seconds) - time() < {SOON_S}",
        hold="2m",
        labels={"severity": "warning"},
        annotations={
            "summary": "a certificate of --{{ $labels.file }} ends within 14 days, or has ended",
            "description": "From then on clients refuse it. Put the renewed one in its place and start the server again: "
            "it reads its files at the start. penstock doctor",
        },
        cases=(
            Case(
                name="it ends in 13 days",
                series=((series, f"{13 * 86_400}x15"),),
                at="10m",
                fires={"file": "tls-cert"},
            ),
            Case(name="it ended", series=((series, "60x15"),), at="10m", fires={"file": "tls-cert"}),
            Case(name="it ends in 15 days", series=((series, f"{15 * 86_400}x15"),), at="10m"),
        ),
    )


def _undelivered() -> Rule:
    series = 'penstock_webhook_undelivered_age_seconds{of="alerts"}'
    return Rule(
        name="PenstockWebhookWaits",
        expr=f"max by (of) (penstock_webhook_undelivered_age_seconds) > {WAITS_S}",
        hold="2m",
        labels={"severity": "warning"},
        annotations={
            "summary": "a webhook does not take what it is posted: {{ $labels.of }} wait for it",
            "description": "penstock doctor, and penstock monitor status, name the webhook and say why.",
        },
        cases=(
            Case(
                name="one waits longer and longer",
                series=((series, "0+60x30"),),
                at="20m",
                fires={"of": "alerts"},
            ),
            Case(name="each waits a while", series=((series, "0+60x5 0+60x5 0+60x5"),), at="16m"),
        ),
    )


def _given_up() -> Rule:
    series = 'penstock_webhook_deliveries_total{of="registry",outcome="given_up"}'
    return Rule(
        name="PenstockWebhookGivenUp",
        expr='sum by (of) (increase(penstock_webhook_deliveries_total{outcome="given_up"}[1h])) > 0',
        labels={"severity": "warning"},
        annotations={
            "summary": "of {{ $labels.of }} some were never taken by a webhook, and are not tried again",
            "description": "penstock log has an event of each; penstock doctor says why the last was not taken.",
        },
        cases=(
            Case(name="one is given up", series=((series, "0x5 1x20"),), at="10m", fires={"of": "registry"}),
            Case(name="one was long ago", series=((series, "0x5 1x90"),), at="90m"),
            Case(
                name="one is tried again",
                series=((series.replace("given_up", "failed"), "0x5 1x20"),),
                at="10m",
            ),
        ),
    )


def _absent(name: str, metric: str, words: str) -> Rule:
    return _plain(name, f"absent({metric})", words, "page", (metric, "_x15", "0x15"))


def _plain(name: str, expr: str, words: str, severity: str, told: tuple[str, str, str]) -> Rule:
    """Return an alert without labels; `told` is a metric, values that fire and values that do not."""
    metric, bad, good = told
    fires: Mapping[str, str] = {}
    return Rule(
        name=name,
        expr=expr,
        hold="2m",
        labels={"severity": severity},
        annotations={"summary": words, "description": "penstock doctor"},
        cases=(
            Case(name="as it must not be", series=((metric, bad),), at="10m", fires=fires),
            Case(name="as it must be", series=((metric, good),), at="10m"),
        ),
    )
