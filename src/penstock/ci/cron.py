"""Times of day and week as cron writes them, in UTC: five fields, of which the last due time is found.

Only what GitHub, GitLab and Jenkins read alike is taken: numbers, names, lists, ranges and steps. Days of the month
and days of the week exclude each other, since systems differ in whether both must hold.
Source: POSIX `crontab`; GitHub's `on.schedule`; Jenkins' `triggers { cron }`.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_DAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
_FIELDS = (
    ("minute", 0, 59, ()),
    ("hour", 0, 23, ()),
    ("day of the month", 1, 31, ()),
    ("month", 1, 12, _MONTHS),
    ("day of the week", 0, 7, _DAYS),
)
_LONGEST_DAYS = 8 * 366
"""29 February is at most eight years away."""


@dataclass(frozen=True)
class Cron:
    """A schedule: the minutes, hours, days and months it is due at. Sunday is 0."""

    minutes: frozenset[int]
    hours: frozenset[int]
    days: frozenset[int]
    months: frozenset[int]
    weekdays: frozenset[int]

    def last_due(self, before: datetime) -> datetime | None:
        """Return the latest time at or before `before` that it is due at, or None when there is none in eight years.

        Example:
            >>> parse_cron("30 6 * * mon-fri").last_due(datetime(2026, 11, 28, 12, tzinfo=UTC)).isoformat()
            '2026-11-27T06:30:00+00:00'
        """
        moment = before.astimezone(UTC).replace(second=0, microsecond=0)
        for back in range(_LONGEST_DAYS):
            day = (moment - timedelta(days=back)).replace(hour=0, minute=0)
            if not self._is_day(day):
                continue
            latest = moment if back == 0 else day.replace(hour=23, minute=59)
            for hour in sorted(self.hours, reverse=True):
                for minute in sorted(self.minutes, reverse=True):
                    if (found := day.replace(hour=hour, minute=minute)) <= latest:
                        return found
        return None

    def _is_day(self, day: datetime) -> bool:
        return day.month in self.months and day.day in self.days and day.isoweekday() % 7 in self.weekdays


def parse_cron(text: str) -> Cron:
    """Read five fields.

    Raises:
        ValueError: they are none, name a time that never is, or both kinds of days.
    """
    parts = text.lower().split()
    if len(parts) != len(_FIELDS):
        raise ValueError(f"{text!r} is no schedule: it has five fields, as in '0 3 * * *'")
    read = [_field(part, *field) for part, field in zip(parts, _FIELDS, strict=True)]
    if parts[2] != "*" and parts[4] != "*":
        raise ValueError(
            f"{text!r} names days of the month and of the week: CI systems read that differently"
        )
    weekdays = frozenset(day % 7 for day in read[4])
    cron = Cron(read[0], read[1], read[2], read[3], weekdays)
    if cron.last_due(datetime(2032, 1, 1, tzinfo=UTC)) is None:
        raise ValueError(f"{text!r} names a day that never is")
    return cron


def numeric_cron(text: str) -> str:
    """Return a schedule with numbers for names, which every system reads.

    Example:
        >>> numeric_cron("0  3 * jan-MAR sun")
        '0 3 * 1-3 0'
    """
    parts = text.lower().split()
    for at, (_, low, _, names) in enumerate(_FIELDS):
        for number, name in enumerate(names, low):
            parts[at] = parts[at].replace(name, str(number))
    return " ".join(parts)


def _field(text: str, name: str, low: int, high: int, names: tuple[str, ...]) -> frozenset[int]:
    found: set[int] = set()
    for part in text.split(","):
        span, has_step, step = part.partition("/")
        first, is_range, last = span.partition("-")
        try:
            begin = low if span == "*" else _number(first, low, names)
            end = high if span == "*" or (has_step and not is_range) else begin
            end = _number(last, low, names) if is_range else end
            every = int(step) if has_step else 1
        except ValueError:
            raise ValueError(f"{part!r} is no {name} of a schedule") from None
        if not low <= begin <= end <= high or every < 1:
            raise ValueError(f"{part!r} is no {name} of a schedule: {low} to {high}")
        found.update(range(begin, end + 1, every))
    return frozenset(found)


def _number(text: str, low: int, names: tuple[str, ...]) -> int:
    return names.index(text) + low if text in names else int(text)
