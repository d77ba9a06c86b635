"""Alerts on what the controller found: the same for every policy. Those on processes are in `processes`.

Guardrails are judged by the controller, so an alert says what it says: one truth about a breach.
"""

from __future__ import annotations

from penstock.monitoring.prometheus.rules import Case, Rule, quoted

ROUTE = {"endpoint": "delay", "version": "2", "route": "canary"}
BY = "endpoint, version, route, kind, name"
UNTOLD = "10m"
"""So long an open breach is believed that no server tells of."""
WAITING = "no_traffic|too_few|undecided"
STATUS = "penstock monitor status {{ $labels.endpoint }}"


def judgement_alerts() -> tuple[Rule, ...]:
    """Return the alerts on guardrails, rollbacks and what keeps them from being judged."""
    return (
        _breached("PenstockDrift", "drift", "warning", "has drifted from training", "features"),
        _breached(
            "PenstockValuesOdd", "values", "warning", "is asked about values that should not come", "features"
        ),
        _breached("PenstockStale", "freshness", "warning", "is silent, or asked about old data", "silence_s"),
        _breached(
            "PenstockRowsDrifted",
            "multivariate|outliers",
            "warning",
            "is asked about other rows than those of its training",
            "outlier_ratio",
        ),
        _breached("PenstockQualityDropped", "slices|quality", "page", "answers worse than it may", "roc_auc"),
        _breached("PenstockNotFinite", "outputs", "page", "answers NaN or infinity", "nonfinite"),
        _breached("PenstockNotLoaded", "load", "page", "cannot be loaded", "model"),
        _breached(
            "PenstockGuardrailBreached", "errors|latency", "warning", "breaches {{ $labels.kind }}", "p99"
        ),
        _unjudged(),
        _waiting(),
        _rolled_back(),
        _gauge(
            "PenstockEndpointNotJudged",
            "penstock_endpoint_problems",
            "a part of {{ $labels.endpoint }} cannot be judged",
        ),
        _gauge(
            "PenstockServeFailed",
            "penstock_serve_processes",
            "a serve process cannot load the revision of {{ $labels.endpoint }}",
            selector='state=~"failed|fatal|hindered"',
            told='state="hindered"',
        ),
        _behind(),
        _dropped(),
        _labels_lost(),
        _hook(),
    )


def _labels(**more: str) -> str:
    return ",".join(f'{name}="{value}"' for name, value in {**ROUTE, **more}.items())


def open_breaches(selector: str) -> str:
    """Return the expression of the breaches that are not over, by `BY`.

    The controller's gauge is there while they are open. An endpoint that no server tells of, since one restarts or another
    takes over, has those that were told last, for `UNTOLD`.
    """
    one = f"penstock_open_breaches{{{selector}}}"
    return (
        f"max by ({BY}) ({one}) or max by ({BY}) (last_over_time({one}[{UNTOLD}])) "
        "unless on (endpoint) max by (endpoint) (penstock_endpoint_alerts)"
    )


def _breached(name: str, kind: str, severity: str, words: str, guarded: str) -> Rule:
    one = kind.rpartition("|")[2]
    labels = {**ROUTE, "kind": one, "name": guarded}
    series = f"penstock_open_breaches{{{_labels(kind=one, name=guarded)}}}"
    other = f"penstock_open_breaches{{{_labels(kind='load' if one != 'load' else 'errors', name=guarded)}}}"
    looked = 'penstock_endpoint_alerts{endpoint="delay"}'
    state = f"penstock_guardrail_state{{{_labels(kind=one, name=guarded, state='breached')}}}"
    return Rule(
        name=name,
        expr=f"({open_breaches(f'kind=~{quoted(kind)}')}) > 0",
        hold="1m",
        labels={"severity": severity},
        annotations={
            "summary": f"{{{{ $labels.endpoint }}}}: {{{{ $labels.route }}}} version {{{{ $labels.version }}}} {words}",
            "description": f"Guardrail {{{{ $labels.name }}}}. {STATUS}",
        },
        cases=(
            Case(
                name="open for some minutes",
                series=((series, "1x10"), (looked, "1x10")),
                at="5m",
                fires=labels,
            ),
            Case(
                name="not judged any more, and open",
                series=((series, "1x20"), (looked, "1x20"), (state, "1x3 0x17")),
                at="15m",
                fires=labels,
            ),
            Case(
                name="open, then over",
                series=((series, "1x5 stale"), (looked, "1x5 0x15")),
                at="7m",
            ),
            Case(
                name="the server restarts",
                series=((series, "1x5 stale _x2 1x9"), (looked, "1x5 stale _x2 1x9")),
                at="7m",
                fires=labels,
            ),
            Case(
                name="the server is back, and it is over",
                series=((series, "1x5 stale"), (looked, "1x5 stale _x2 0x9")),
                at="10m",
            ),
            Case(
                name="the server is gone for long",
                series=((series, "1x5 stale"), (looked, "1x5 stale")),
                at="20m",
            ),
            Case(name="another kind", series=((other, "1x10"), (looked, "1x10")), at="5m"),
        ),
    )


def _unjudged() -> Rule:
    def told(reason: str) -> tuple[tuple[str, str], ...]:
        labels = _labels(kind="quality", name="roc_auc", reason=reason)
        return ((f"penstock_guardrail_unjudged{{{labels}}}", "1x30"),)

    return Rule(
        name="PenstockGuardrailUnjudged",
        expr=f'max by ({BY}, reason) (penstock_guardrail_unjudged{{reason!~"{WAITING}"}}) == 1',
        hold="10m",
        labels={"severity": "warning"},
        annotations={
            "summary": "{{ $labels.endpoint }}: {{ $labels.name }} of {{ $labels.route }} version "
            "{{ $labels.version }} is not judged: {{ $labels.reason }}",
            "description": f"It stays so until somebody changes something. {STATUS}",
        },
        cases=(
            Case(
                name="a metric that is not known offline",
                series=told("metric_absent"),
                at="20m",
                fires={**ROUTE, "kind": "quality", "name": "roc_auc", "reason": "metric_absent"},
            ),
            Case(name="too few labels yet", series=told("too_few"), at="20m"),
        ),
    )


def _waiting() -> Rule:
    labels = _labels(kind="quality", name="roc_auc", reason="too_few")
    unjudged = (f"penstock_guardrail_unjudged{{{labels}}}", "1x80")
    requests = 'penstock_requests_total{endpoint="delay",outcome="ok"}'
    return Rule(
        name="PenstockGuardrailWaits",
        expr=f'max by ({BY}, reason) (penstock_guardrail_unjudged{{reason=~"too_few|undecided"}}) == 1 '
        "and on (endpoint) endpoint:penstock_requests:rate5m > 0",
        hold="1h",
        labels={"severity": "info"},
        annotations={
            "summary": "{{ $labels.endpoint }}: {{ $labels.name }} of {{ $labels.route }} waits for more traffic or labels "
            "for an hour",
            "description": STATUS,
        },
        cases=(
            Case(
                name="no labels come for an hour",
                series=(unjudged, (requests, "0+60x80")),
                at="70m",
                fires={**ROUTE, "kind": "quality", "name": "roc_auc", "reason": "too_few"},
            ),
            Case(name="no traffic", series=(unjudged, (requests, "9x80")), at="70m"),
        ),
    )


def _rolled_back() -> Rule:
    def counted(values: str, by: str = "controller") -> tuple[tuple[str, str], ...]:
        return ((f'penstock_rollbacks_total{{endpoint="delay",by="{by}"}}', values),)

    return Rule(
        name="PenstockRolledBack",
        expr='max by (endpoint) (increase(penstock_rollbacks_total{by="controller"}[15m])) > 0',
        labels={"severity": "warning"},
        annotations={
            "summary": "{{ $labels.endpoint }} was rolled back by the controller",
            "description": "penstock why {{ $labels.endpoint }} has the evidence.",
        },
        cases=(
            Case(name="one rollback", series=counted("0x10 1x10"), at="15m", fires={"endpoint": "delay"}),
            Case(name="one long ago", series=counted("0x10 1x40"), at="45m"),
            Case(name="a person rolled back", series=counted("0x10 1x10", "person"), at="15m"),
            Case(name="another server took over", series=counted("_x10 3x10"), at="15m"),
        ),
    )


def _gauge(name: str, metric: str, words: str, selector: str = "", told: str = "") -> Rule:
    labels = ",".join(part for part in ('endpoint="delay"', told or selector) if part)
    inner = f"{{{selector}}}" if selector else ""
    return Rule(
        name=name,
        expr=f"max by (endpoint) ({metric}{inner}) > 0",
        hold="5m",
        labels={"severity": "warning"},
        annotations={"summary": words, "description": STATUS},
        cases=(
            Case(
                name="there is one",
                series=((f"{metric}{{{labels}}}", "1x15"),),
                at="10m",
                fires={"endpoint": "delay"},
            ),
            Case(name="there is none", series=((f"{metric}{{{labels}}}", "0x15"),), at="10m"),
        ),
    )


def _behind() -> Rule:
    def told(served: str) -> tuple[tuple[str, str], ...]:
        return (
            ('penstock_revision{endpoint="delay",instance="a"}', served),
            ('penstock_endpoint_revision{endpoint="delay",instance="b"}', "4x20"),
        )

    return Rule(
        name="PenstockServeBehind",
        expr="count by (endpoint) (max by (endpoint, instance) (penstock_revision) != on (endpoint) group_left () "
        "max by (endpoint) (penstock_endpoint_revision)) > 0",
        hold="5m",
        labels={"severity": "warning"},
        annotations={
            "summary": "a serve process does not serve the current revision of {{ $labels.endpoint }}",
            "description": STATUS,
        },
        cases=(
            Case(name="it stays behind", series=told("3x20"), at="15m", fires={"endpoint": "delay"}),
            Case(name="it follows", series=told("3x3 4x17"), at="15m"),
        ),
    )


def _dropped() -> Rule:
    series = 'penstock_recorder_dropped_total{endpoint="delay"}'
    return Rule(
        name="PenstockRecorderDrops",
        expr="sum by (endpoint) (increase(penstock_recorder_dropped_total[5m])) > 0",
        labels={"severity": "warning"},
        annotations={
            "summary": "of some requests to {{ $labels.endpoint }} only the counts are known",
            "description": "The store was slow or away (recording.max_bytes is what may wait), or what they held "
            "could not be summarised: penstock monitor status says which.",
        },
        cases=(
            Case(
                name="some are dropped", series=((series, "0x5 9x5"),), at="7m", fires={"endpoint": "delay"}
            ),
            Case(name="none is", series=((series, "9x10"),), at="7m"),
        ),
    )


def _labels_lost() -> Rule:
    series = 'penstock_labels_lost_total{endpoint="delay",reason="expired"}'
    return Rule(
        name="PenstockLabelsLost",
        expr="max by (endpoint, reason) (increase(penstock_labels_lost_total[1h])) > 0",
        labels={"severity": "warning"},
        annotations={
            "summary": "labels of {{ $labels.endpoint }} were given up: {{ $labels.reason }}",
            "description": f"expired: their predictions never came; misfit: they did not fit; full: too many waited. {STATUS}",
        },
        cases=(
            Case(
                name="predictions never came",
                series=((series, "0x10 7x20"),),
                at="15m",
                fires={"endpoint": "delay", "reason": "expired"},
            ),
            Case(name="long ago", series=((series, "0x5 7x90"),), at="90m"),
            Case(name="another server took over", series=((series, "_x10 7x10"),), at="15m"),
        ),
    )


def _hook() -> Rule:
    series = 'penstock_watch_hook_failures_total{endpoint="delay"}'
    return Rule(
        name="PenstockHookFails",
        expr="sum by (endpoint) (increase(penstock_watch_hook_failures_total[10m])) > 0",
        labels={"severity": "page"},
        annotations={
            "summary": "a watched service of {{ $labels.endpoint }} did not take over the version it was told",
            "description": "Its on_revision failed: a rollback did not reach it.",
        },
        cases=(
            Case(name="it fails", series=((series, "0x5 1x5"),), at="8m", fires={"endpoint": "delay"}),
            Case(name="it failed long ago", series=((series, "0x5 1x25"),), at="25m"),
        ),
    )
