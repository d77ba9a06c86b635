"""`penstock.payloads`: what an endpoint was asked and answered, as a frame, with the labels that are known."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

import polars as pl

from penstock.base.errors import Corrupt, NotFound
from penstock.flows.production.payloads.sampling import MERGED, PREFIX, Hour
from penstock.flows.production.payloads.segments import concat, decode, once
from penstock.project.project import Project
from penstock.serving.deployments import get_revision
from penstock.serving.predictions.stored import current_label, list_labels
from penstock.storage.backend import Backend
from penstock.storage.resolve import open_backend

logger = logging.getLogger(__name__)
LABEL = "label"


def read_payloads(
    project: Project, endpoint: str, since: datetime | None = None, until: datetime | None = None
) -> pl.DataFrame:
    """Return the sampled rows of an endpoint by time; see `segments` for the columns, and `label` beside them.

    A segment that cannot be read is left out, and a warning names it.

    Raises:
        NotFound: there is no such endpoint.
        Unavailable: the store or the place of the segments cannot be reached.
    """
    with project.database.read() as connection:
        get_revision(connection, endpoint)
    begin, end = _utc(since), _utc(until)
    backend = open_backend(project.places.artifacts_url)
    try:
        frame = once(concat(_segments(backend, endpoint, begin, end)))
    finally:
        backend.close()
    if not frame.height:
        return frame
    if begin is not None:
        frame = frame.filter(pl.col("time") >= begin)
    if end is not None:
        frame = frame.filter(pl.col("time") < end)
    return frame.with_columns(pl.Series(LABEL, _labels(project, frame), strict=False))


def read_newest(project: Project, endpoint: str, count: int) -> pl.DataFrame:
    """Return the rows of about `count` sampled calls that a version answered, the newest first; shadows answer nobody.

    Segments are read from the newest back, and no more of them than are needed. One that cannot be read is left out.

    Raises:
        NotFound: there is no such endpoint.
        Unavailable: the store or the place of the segments cannot be reached.
    """
    with project.database.read() as connection:
        get_revision(connection, endpoint)
    backend = open_backend(project.places.artifacts_url)
    frames: list[pl.DataFrame] = []
    found: set[str] = set()
    try:
        for frame in _segments(backend, endpoint, None, None, newest_first=True):
            answered = frame.filter(pl.col("error").is_null() & (pl.col("route") != "shadow"))
            frames.append(answered)
            found.update(answered["prediction_id"])
            if len(found) >= count:
                break
    finally:
        backend.close()
    rows = once(concat(frames))
    return rows.sort("time", descending=True, maintain_order=True) if rows.height else rows


def _utc(moment: datetime | None) -> datetime | None:
    return moment if moment is None or moment.tzinfo else moment.replace(tzinfo=UTC)


def _segments(
    backend: Backend,
    endpoint: str,
    begin: datetime | None,
    end: datetime | None,
    *,
    newest_first: bool = False,
) -> Iterator[pl.DataFrame]:
    first = f"{begin.astimezone(UTC):%Y-%m-%d/%H}" if begin else ""
    last = f"{end.astimezone(UTC):%Y-%m-%d/%H}" if end else "9"
    folder = f"{PREFIX}/{endpoint}"
    looked: set[str] = set()
    for entry in sorted(backend.list(folder), reverse=newest_first):
        day, _, hour = entry.key[len(folder) + 1 :][:13].partition("/")
        if not first <= f"{day}/{hour}" <= last:
            continue
        frame = None
        try:
            frame = _segment(backend, entry.key)
        except NotFound:
            # merged with those of its hour since they were listed, or past its retention
            target = Hour(endpoint, day, hour).key(MERGED)
            if target not in looked:
                looked.add(target)
                with suppress(NotFound):
                    frame = _segment(backend, target)
        if frame is not None:
            yield frame


def _segment(backend: Backend, key: str) -> pl.DataFrame | None:
    """Return what a segment holds; None where it cannot be read, which a warning tells.

    Raises:
        NotFound: it is not there.
    """
    try:
        return decode(backend.get(key))
    except Corrupt as error:
        logger.warning("%s in %s is left out: %s", key, backend.url, error.message)
        return None


def _labels(project: Project, frame: pl.DataFrame) -> list[Any]:
    known: dict[str, list[Any]] = {}
    with project.database.read() as connection:
        for stored in list_labels(connection, frame["prediction_id"].unique().to_list()):
            before = known.get(stored.prediction_id)
            known[stored.prediction_id] = current_label(before, stored.values)
    return [
        values[row] if (values := known.get(text)) is not None and row < len(values) else None
        for text, row in frame.select("prediction_id", "row").iter_rows()
    ]
