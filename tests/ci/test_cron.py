"""Schedules: what is due when, and what is none."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from penstock.ci.cron import numeric_cron, parse_cron


def test_the_last_due_time_is_found() -> None:
    now = datetime(2026, 11, 28, 17, 21, 41, tzinfo=UTC)  # a Saturday
    for text, expected in (
        ("* * * * *", "2026-11-28T17:21"),
        ("21 17 * * *", "2026-11-28T17:21"),
        ("22 17 * * *", "2026-11-27T17:22"),
        ("*/15 * * * *", "2026-11-28T17:15"),
        ("0 3 1 * *", "2026-11-01T03:00"),
        ("0 0 * * 0", "2026-11-22T00:00"),
        ("0 0 * * 7", "2026-11-22T00:00"),
        ("0 0 * * sat", "2026-11-28T00:00"),
        ("5,10 18-20/2 * * *", "2026-11-27T20:10"),
        ("0 0 29 2 *", "2024-02-29T00:00"),
        ("10/20 1 * dec *", "2025-12-31T01:50"),
    ):
        found = parse_cron(text).last_due(now)
        assert found is not None, text
        assert found.isoformat() == f"{expected}:00+00:00", text
        assert parse_cron(numeric_cron(text)) == parse_cron(text)


def test_what_is_no_schedule_is_refused_with_its_reason() -> None:
    for text, why in (
        ("", "five fields"),
        ("@daily", "five fields"),
        ("60 * * * *", "0 to 59"),
        ("* 24 * * *", "hour"),
        ("* * 0 * *", "day of the month"),
        ("* * * foo *", "month"),
        ("5-1 * * * *", "minute"),
        ("*/0 * * * *", "minute"),
        ("* * 1 * 1", "differently"),
        ("0 0 31 2 *", "never"),
    ):
        with pytest.raises(ValueError, match=why):
            parse_cron(text)
