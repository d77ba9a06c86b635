"""Payloads grown old: the segments of an hour become one, and days past their retention go."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta

from penstock.base.errors import Corrupt
from penstock.flows.production.payloads.sampling import MERGED, PREFIX, Hour
from penstock.monitoring.settings import KEPT_MAX_DAYS, MonitorSettings, PayloadSettings
from penstock.storage.backend import Backend

logger = logging.getLogger(__name__)
MERGED_BYTES = 256 * 1024 * 1024
"""Hours with more than that stay in their segments."""
SETTLED_S = 600
"""So long after an hour's end its segments are merged."""


def tidy(backend: Backend, monitors: Mapping[str, MonitorSettings], now_s: int) -> int:
    """Merge and delete what is due; return how many segments went. Killed at any step, it loses and doubles nothing.

    An endpoint without the setting, or that is gone, keeps its payloads as long as the default says.

    Raises:
        Unavailable: the place cannot be reached.
    """
    gone = 0
    for folder in list(backend.children(PREFIX)):
        if not folder.is_directory:
            continue
        monitor = monitors.get(folder.name)
        settings = (monitor.payloads if monitor else None) or PayloadSettings()
        first = f"{datetime.fromtimestamp(now_s, UTC) - timedelta(days=min(settings.keep_days, KEPT_MAX_DAYS)):%Y-%m-%d}"
        for day in sorted(
            one.name for one in backend.children(f"{PREFIX}/{folder.name}") if one.is_directory
        ):
            if day < first:
                gone += sum(1 for _ in backend.list(f"{PREFIX}/{folder.name}/{day}"))
                backend.delete_tree(f"{PREFIX}/{folder.name}/{day}")
            else:
                gone += _merge_day(backend, folder.name, day, now_s)
    return gone


def _merge_day(backend: Backend, endpoint: str, day: str, now_s: int) -> int:
    settled = datetime.fromtimestamp(now_s - 3600 - SETTLED_S, UTC)
    hours: dict[str, list[tuple[str, int]]] = {}
    for entry in backend.list(f"{PREFIX}/{endpoint}/{day}"):
        hour = entry.key.rpartition("/")[2][:2]
        if f"{day} {hour}" <= f"{settled:%Y-%m-%d %H}":
            hours.setdefault(hour, []).append((entry.key, entry.size_bytes))
    return sum(
        _merge_hour(backend, Hour(endpoint, day, hour), [key for key, _ in found])
        for hour, found in hours.items()
        if len(found) > 1 and sum(size for _, size in found) <= MERGED_BYTES
    )


def _merge_hour(backend: Backend, hour: Hour, keys: Sequence[str]) -> int:
    from penstock.flows.production.payloads.segments import concat, decode, encode, once

    frames = {}
    for key in sorted(keys):
        try:
            frames[key] = decode(backend.get(key))
        except Corrupt as error:
            logger.warning("%s stays as it is: %s", key, error.message)
    target = hour.key(MERGED)
    if len(frames) < 2 or (target in keys and target not in frames):
        return 0
    backend.put(target, encode(once(concat(frames.values()))))
    merged = [key for key in frames if key != target]
    for key in merged:
        backend.delete(key)
    return len(merged)
