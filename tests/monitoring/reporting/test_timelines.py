"""What a report draws over time."""

from __future__ import annotations

import re

from penstock.monitoring.reporting.spans import Span
from penstock.monitoring.reporting.timelines import timelines


def span(start_s: int, length_s: int, requests: int) -> Span:
    return Span(
        start_s=start_s, end_s=start_s + length_s, route="stable", version=1, request_count=requests, error_ratio=0.0,
        p50_ms=1.0, p99_ms=2.0, label_count=0, quality={}, drift={},
    )  # fmt: skip


def test_no_time_is_named_twice_however_short_the_span() -> None:
    for length_s in (1, 2, 10, 60, 3600, 86_400):
        spans = [span(1_700_000_000 + place * length_s, length_s, 5) for place in range(2)]
        picture = timelines(spans)[0].picture
        times = re.findall(r">(\d{4}-\d\d-\d\d [\d:]+)<", picture)
        assert times
        assert len(set(times)) == len(times), times


def test_labels_of_great_numbers_fit_beside_the_picture() -> None:
    picture = timelines([span(1_700_000_000, 60, 1_000_000), span(1_700_000_060, 60, 2_500_000)])[0].picture
    labels = re.findall(r'text-anchor="end">([^<]+)<', picture)
    assert "1M" in labels
    assert max(map(len, labels)) <= 7
