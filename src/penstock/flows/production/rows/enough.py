"""Which of the newest windows hold as much as guardrails need. Reads nothing."""

from __future__ import annotations

from penstock.monitoring.guardrails.measured import MIN_REQUESTS
from penstock.monitoring.windows import Window


def newest_holding(windows: list[Window], rows: int) -> list[Window]:
    """Return the newest windows that hold so many rows with features together; all where they do not."""
    held = 0
    for at in range(len(windows) - 1, -1, -1):
        held += windows[at].features.row_count
        if held >= rows:
            return windows[at:]
    return windows


def holds_enough(chosen: list[Window], rows: int) -> bool:
    """Say whether windows hold as many requests as any guardrail needs, and so many rows with features."""
    requests = sum(one.request_count for one in chosen)
    return requests >= MIN_REQUESTS and sum(one.features.row_count for one in chosen) >= rows
