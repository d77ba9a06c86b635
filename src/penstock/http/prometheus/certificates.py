"""When the certificates end that a server speaks TLS with: it goes on with one that has ended, and clients refuse it."""

from __future__ import annotations

from collections.abc import Mapping

from prometheus_client import CollectorRegistry, Gauge


class CertificateMetrics:
    """The ends of certificates, as they were read at the start. Where several processes add up, the first end counts."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._ends = Gauge(
            "penstock_certificate_end_timestamp_seconds",
            "When the first certificate ends that was read from a file, by the option that names the file.",
            ("file",),
            registry=registry,
            multiprocess_mode="livemin",
        )

    def tell(self, ends: Mapping[str, float]) -> None:
        """Tell them, by option."""
        for name, end_s in ends.items():
            self._ends.labels(name).set(end_s)
