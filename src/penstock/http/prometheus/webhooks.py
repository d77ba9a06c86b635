"""What became of what was posted to webhooks: alerts of the controller, and changes of the registry."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from penstock.base.clock import now_ms
from penstock.base.web.deliveries import OUTCOMES, Deliveries


class WebhookMetrics(Collector):
    """The outboxes of one server process, by what they post."""

    def __init__(self, outboxes: Mapping[str, Deliveries]) -> None:
        self._outboxes = outboxes

    def describe(self) -> list[Metric]:
        """Name nothing: no other collector of its registry has a name of these."""
        return []

    def collect(self) -> Iterator[Metric]:
        """Return the metrics."""
        posted = CounterMetricFamily(
            "penstock_webhook_deliveries",
            "Attempts of this process to tell a webhook of alerts or of changes of the registry: taken, failed (tried again), "
            "given_up, dropped (nobody is to be told any more).",
            labels=["of", "outcome"],
        )
        ages = GaugeMetricFamily(
            "penstock_webhook_undelivered_age_seconds",
            "How long the oldest has waited that no webhook took yet; 0 where nothing waits.",
            labels=["of"],
        )
        for name, one in self._outboxes.items():
            counts, oldest_ms = one.counts, one.oldest_ms
            for outcome in OUTCOMES:
                posted.add_metric([name, outcome], counts[outcome])
            ages.add_metric([name], 0.0 if oldest_ms is None else max(0.0, (now_ms() - oldest_ms) / 1000))
        yield from (posted, ages)
