"""When something is to end, as an option takes it."""

from __future__ import annotations

import re
from datetime import UTC, datetime

import click

from penstock.base.clock import UNITS_MS

LONGEST_MS = 100 * 365 * UNITS_MS["d"]


class End(click.ParamType[int]):
    """A moment to come, in milliseconds since the epoch: in how long, as in 12h or 90d, or a date or time of ISO 8601."""

    name = "time"

    def convert(self, value: object, parameter: click.Parameter | None, context: click.Context | None) -> int:
        """Read what was given."""
        from penstock.base.clock import now_ms

        if isinstance(value, int):
            return value
        text, present_ms = str(value).strip(), now_ms()
        if (span := re.fullmatch(r"(\d{1,6})(s|m|min|h|d|w)", text)) is not None:
            time_ms = present_ms + int(span[1]) * UNITS_MS[span[2]]
        else:
            try:
                moment = datetime.fromisoformat(text)
            except ValueError:
                self.fail(
                    f"{text!r} is neither in how long, such as 12h or 90d, nor a date such as 2027-01-31"
                )
            time_ms = int(1000 * (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp())
        if time_ms <= present_ms:
            self.fail(f"{text!r} is over already (UTC where no zone is named)")
        if time_ms > present_ms + LONGEST_MS:
            self.fail(f"{text!r} is more than a hundred years away")
        return time_ms
