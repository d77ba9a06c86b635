"""Prometheus metrics of the controller: what its last look at each endpoint found. Those of traffic are in `traffic`.

A scrape reads what the controller remembers and asks the store nothing. Labels are bounded: endpoints,
versions that are served now, guardrails of the policy, and at most `FEATURES_MAX` features a route.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from types import MappingProxyType

from prometheus_client import CollectorRegistry, Gauge, ProcessCollector, generate_latest
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from penstock.base.store.build import BUILD_LABELS, describe_build
from penstock.base.web.deliveries import Deliveries
from penstock.flows.production.controlling.health import ControllerHealth, Watched
from penstock.flows.production.looks import BEYOND, EndpointLook, RouteLook
from penstock.http.prometheus.certificates import CertificateMetrics
from penstock.http.prometheus.webhooks import WebhookMetrics
from penstock.serving.predictions.waiting import REASONS

FEATURES_MAX = 200
DISTANCES = ("wasserstein", "jensen_shannon", "chi_square")
STATES = ("held", BEYOND, "breached", "unjudged")
SERVER_STATES = ("ready", "failed", "fatal", "hindered", "waiting", "pending")
NONE_END: Mapping[str, float] = MappingProxyType({})
NO_OUTBOX: Mapping[str, Deliveries] = MappingProxyType({})
BY_ROUTE = ("endpoint", "version", "route")


class JudgementMetrics:
    """The metrics of one controller, whether it acts or waits to take over. Thread-safe.

    Args:
        ends: when certificates of the server end, by the option that names their file.
        outboxes: what becomes of what the server posts to webhooks, by what that is.
    """

    def __init__(
        self,
        controller: Watched,
        version: str,
        ends: Mapping[str, float] = NONE_END,
        outboxes: Mapping[str, Deliveries] = NO_OUTBOX,
    ) -> None:
        self._registry = CollectorRegistry()
        CertificateMetrics(self._registry).tell(ends)
        self._registry.register(WebhookMetrics(outboxes))
        ProcessCollector(registry=self._registry)
        info = Gauge("penstock_build_info", "The running version.", BUILD_LABELS, registry=self._registry)
        info.labels(*describe_build(version)).set(1)
        self._registry.register(_Judgement(controller))

    def render(self) -> bytes:
        """Return all metrics in the text format."""
        return generate_latest(self._registry)


class _Judgement(Collector):
    """What the controller knows at the time of the scrape."""

    def __init__(self, controller: Watched) -> None:
        self._controller = controller

    def describe(self) -> list[Metric]:
        """Name nothing: no other collector of this registry has a name of these."""
        return []

    def collect(self) -> Iterator[Metric]:
        """Return the metrics."""
        health = self._controller.health
        looks = [health.looks[name] for name in sorted(health.looks)]
        yield from _of_controller(health)
        yield from _of_endpoints(looks)
        yield from _of_guardrails(looks)
        yield from _of_drift(looks)
        yield from _of_quality(looks)


def _of_controller(health: ControllerHealth) -> Iterator[Metric]:
    leading = GaugeMetricFamily(
        "penstock_controller_leading", "1 where this process is the controller that acts."
    )
    leading.add_metric([], float(health.is_leading))
    yield leading
    tick = GaugeMetricFamily(
        "penstock_controller_last_tick_timestamp_seconds",
        "When the controller last finished a round of looks, in seconds since the epoch; 0 before the first.",
    )
    tick.add_metric([], (health.ticked_ms or 0) / 1000)
    yield tick
    failing = GaugeMetricFamily(
        "penstock_controller_failing",
        "1 where the controller's last round failed: /health says so, with --auth the server's log of what.",
    )
    failing.add_metric([], float(health.problem is not None))
    yield failing
    took = GaugeMetricFamily(
        "penstock_controller_last_tick_seconds", "How long the controller's last round of looks took."
    )
    took.add_metric([], health.took_s)
    yield took
    lost = CounterMetricFamily(
        "penstock_controller_decisions_lost",
        "Decisions that were not carried out since another controller had taken the lease meanwhile.",
    )
    lost.add_metric([], health.lost_count)
    yield lost
    settings = GaugeMetricFamily(
        "penstock_settings_wrong", "1 where penstock.yaml cannot be used and the policies before it hold."
    )
    settings.add_metric([], float("penstock.yaml" in health.problems))
    yield settings


def _of_endpoints(looks: Iterable[EndpointLook]) -> Iterator[Metric]:
    of = ["endpoint"]
    looked = GaugeMetricFamily(
        "penstock_endpoint_last_look_timestamp_seconds", "When an endpoint was last looked at.", labels=of
    )
    problems = GaugeMetricFamily(
        "penstock_endpoint_problems", "What keeps parts of an endpoint from being judged, a count.", labels=of
    )
    alerts = GaugeMetricFamily(
        "penstock_endpoint_alerts", "Alerts about an endpoint that are open.", labels=of
    )
    revisions = GaugeMetricFamily(
        "penstock_endpoint_revision", "The revision an endpoint is to serve.", labels=of
    )
    policies = GaugeMetricFamily(
        "penstock_endpoint_policy", "The policy that watches an endpoint; 0 for none.", labels=of
    )
    info = GaugeMetricFamily(
        "penstock_revision_info",
        "What an endpoint is to serve: its revision, model, and versions; canary is empty without one.",
        labels=["endpoint", "revision", "model", "stable", "canary"],
    )
    shares = GaugeMetricFamily(
        "penstock_canary_share_ratio",
        "Share of an endpoint's requests for its canary; 0 without one.",
        labels=of,
    )
    rollbacks = CounterMetricFamily(
        "penstock_rollbacks",
        "Rollbacks of an endpoint by who made them: controller or person.",
        labels=[*of, "by"],
    )
    servers = GaugeMetricFamily(
        "penstock_serve_processes",
        "Serve processes by what they say of an endpoint's revision: ready, failed, fatal, hindered, waiting, pending.",
        labels=[*of, "state"],
    )
    waiting = GaugeMetricFamily(
        "penstock_labels_waiting", "Labels whose predictions are not stored yet.", labels=of
    )
    lost = CounterMetricFamily(
        "penstock_labels_lost",
        "Labels that were given up: expired (the prediction never came), misfit (it came, and they did not fit), full "
        "(too many waited).",
        labels=[*of, "reason"],
    )
    for look in looks:
        name = look.endpoint
        waiting.add_metric([name], look.labels.count)
        for reason in REASONS:
            lost.add_metric([name, reason], look.labels.lost_ever.get(reason, 0))
        by_route = {one.route: one for one in look.routes}
        canary = by_route.get("canary")
        looked.add_metric([name], look.time_ms / 1000)
        problems.add_metric([name], look.problem_count)
        alerts.add_metric([name], look.alert_count)
        revisions.add_metric([name], look.revision)
        policies.add_metric([name], look.policy)
        stable = str(by_route["stable"].version)
        info.add_metric(
            [name, str(look.revision), look.model, stable, str(canary.version) if canary else ""], 1
        )
        shares.add_metric([name], canary.share if canary else 0.0)
        for who, count in look.rollbacks.items():
            rollbacks.add_metric([name, who], count)
        for state in SERVER_STATES:
            servers.add_metric([name, state], look.servers.get(state, 0))
    yield from (looked, problems, alerts, revisions, policies, info, shares, rollbacks, servers)
    yield from (waiting, lost)


def _of_guardrails(looks: Iterable[EndpointLook]) -> Iterator[Metric]:
    names = [*BY_ROUTE, "kind", "name"]
    states = GaugeMetricFamily(
        "penstock_guardrail_state",
        "1 for the state a guardrail is in: held, beyond (its limit, not surely so yet), breached or unjudged.",
        labels=[*names, "state"],
    )
    unjudged = GaugeMetricFamily(
        "penstock_guardrail_unjudged",
        "1 for the reason why a guardrail is not judged.",
        labels=[*names, "reason"],
    )
    observed = GaugeMetricFamily(
        "penstock_guardrail_observed",
        "What a guardrail saw at the last look, in its own unit; of several features the worst.",
        labels=names,
    )
    limits = GaugeMetricFamily("penstock_guardrail_limit", "What that may be.", labels=names)
    opened = GaugeMetricFamily(
        "penstock_open_breaches",
        "Breaches of a guardrail that were told and are not over, whether it is judged now or not; of features how many.",
        labels=names,
    )
    for look in looks:
        for one in look.guardrails:
            labels = [look.endpoint, str(one.version), one.route, one.kind, one.name]
            for state in STATES:
                states.add_metric([*labels, state], float(one.state == state))
            if math.isfinite(one.observed) and math.isfinite(one.limit):
                observed.add_metric(labels, one.observed)
                limits.add_metric(labels, one.limit)
            if one.reason is not None:
                unjudged.add_metric([*labels, one.reason], 1)
        for told in look.open_breaches:
            opened.add_metric([look.endpoint, told.version, told.route, told.kind, told.name], told.count)
    yield from (states, unjudged, observed, limits, opened)


def _of_drift(looks: Iterable[EndpointLook]) -> Iterator[Metric]:
    of_feature = [*BY_ROUTE, "feature"]
    psi = GaugeMetricFamily(
        "penstock_feature_drift_psi",
        "Population stability index of a feature against training.",
        labels=of_feature,
    )
    ks = GaugeMetricFamily(
        "penstock_feature_drift_ks",
        "Kolmogorov-Smirnov distance of a number against training.",
        labels=of_feature,
    )
    distances = GaugeMetricFamily(
        "penstock_feature_drift_distance",
        "Distance of a feature from training: wasserstein in standard deviations of training, jensen_shannon in "
        "[0, 1], chi_square as Cohen's w.",
        labels=[*of_feature, "distance"],
    )
    unseen = GaugeMetricFamily(
        "penstock_feature_unseen_ratio",
        "Share of a feature's texts that training never had.",
        labels=of_feature,
    )
    missing = GaugeMetricFamily(
        "penstock_feature_missing_ratio", "Share of rows where a feature is missing.", labels=of_feature
    )
    rows = GaugeMetricFamily(
        "penstock_drift_rows", "Rows whose features were compared with training.", labels=BY_ROUTE
    )
    untold = GaugeMetricFamily(
        "penstock_features_untold", f"Features beyond the {FEATURES_MAX} that drifted most.", labels=BY_ROUTE
    )
    for labels, route in _routes(looks):
        drifts = route.measures.drifts
        rows.add_metric(labels, route.measures.row_count)
        untold.add_metric(labels, max(0, len(drifts) - FEATURES_MAX))
        for one in drifts[:FEATURES_MAX]:
            named = [*labels, one.feature]
            psi.add_metric(named, one.psi)
            missing.add_metric(named, one.missing_ratio_current)
            if one.ks is not None:
                ks.add_metric(named, one.ks)
            for name in DISTANCES:
                distance: float | None = getattr(one, name)
                if distance is not None:
                    distances.add_metric([*named, name], distance)
            if one.unseen_ratio is not None:
                unseen.add_metric(named, one.unseen_ratio)
    yield from (psi, ks, distances, unseen, missing, rows, untold)


def _of_quality(looks: Iterable[EndpointLook]) -> Iterator[Metric]:
    of_metric = [*BY_ROUTE, "metric"]
    value = GaugeMetricFamily("penstock_quality", "A metric of live quality, from labels.", labels=of_metric)
    error = GaugeMetricFamily(
        "penstock_quality_error", "Standard error of a metric of live quality.", labels=of_metric
    )
    labels_seen = GaugeMetricFamily(
        "penstock_quality_labels", "Labels that the metrics of live quality are of.", labels=BY_ROUTE
    )
    ended = GaugeMetricFamily(
        "penstock_window_end_timestamp_seconds", "When the newest window with traffic ended.", labels=BY_ROUTE
    )
    estimated = GaugeMetricFamily(
        "penstock_quality_estimated",
        "A metric of quality that is estimated without labels: from probabilities, or from a model of the loss.",
        labels=of_metric,
    )
    gaps = GaugeMetricFamily(
        "penstock_quality_estimated_gap",
        "By how much such an estimate was above the truth for rows whose labels came.",
        labels=of_metric,
    )
    trusted = GaugeMetricFamily(
        "penstock_quality_estimated_calibration",
        "1 for what labels say of what estimates stand on: good, off or unchecked.",
        labels=[*BY_ROUTE, "state"],
    )
    slices = GaugeMetricFamily(
        "penstock_slice_quality",
        "A metric of live quality of the rows that have one value of a feature.",
        labels=[*of_metric, "feature", "slice"],
    )
    slice_labels = GaugeMetricFamily(
        "penstock_slice_labels", "Labels that such a metric is of.", labels=[*BY_ROUTE, "feature", "slice"]
    )
    for labels, route in _routes(looks):
        for one in route.measures.slices:
            slice_labels.add_metric([*labels, one.feature, one.value], one.label_count)
            for name, (number, _) in one.quality.items():
                slices.add_metric([*labels, name, one.feature, one.value], number)
        guess = route.measures.estimated
        if guess is not None:
            trusted.add_metric([*labels, guess.calibration], 1)
            for name, (number, _) in guess.metrics.items():
                estimated.add_metric([*labels, name], number)
            for name, number in guess.gaps.items():
                gaps.add_metric([*labels, name], number)
        labels_seen.add_metric(labels, route.measures.label_count)
        if route.last_s is not None:
            ended.add_metric(labels, route.last_s)
        for name, (number, deviation) in route.measures.quality.items():
            value.add_metric([*labels, name], number)
            if math.isfinite(deviation):
                error.add_metric([*labels, name], deviation)
    yield from (value, error, labels_seen, ended, estimated, gaps, trusted, slices, slice_labels)


def _routes(looks: Iterable[EndpointLook]) -> Iterator[tuple[list[str], RouteLook]]:
    for look in looks:
        for route in look.routes:
            yield [look.endpoint, str(route.version), route.route], route
