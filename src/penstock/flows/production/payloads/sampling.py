"""Which calls are in the sample, and in which hour's segments they lie. What a segment holds is `segments`."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import NamedTuple

from penstock.monitoring.settings import PayloadSettings
from penstock.serving.recorder import Exchange
from penstock.serving.traffic import position

PREFIX = "payloads"
MERGED = "merged"
"""The name of the segment that those of an hour become."""
SHIFT = 0x2C1B3C6D
"""Moves this sample away from the traffic split and from that of features."""


class Hour(NamedTuple):
    """An endpoint's hour, as a segment's key begins."""

    endpoint: str
    day: str
    hour: str

    @property
    def folder(self) -> str:
        """The directory of the day."""
        return f"{PREFIX}/{self.endpoint}/{self.day}"

    def key(self, name: str) -> str:
        """Return where a segment lies."""
        return f"{self.folder}/{self.hour}-{name}.parquet"

    @staticmethod
    def of(endpoint: str, time_ms: int) -> Hour:
        """Return the hour of a moment."""
        moment = datetime.fromtimestamp(time_ms / 1000, UTC)
        return Hour(endpoint, f"{moment:%Y-%m-%d}", f"{moment:%H}")


def is_chosen(one: Exchange, settings: PayloadSettings) -> bool:
    """Return whether a call is in the sample: the same for every version that saw it."""
    return position(one.counter + SHIFT) < settings.sample
