"""A batch of observations as an Arrow IPC stream: a row for each call, what was asked and answered as columns.

Columns `time_ms` and `latency_s`, and where they are known `id`, `version`, `revision`, `error`, `rows`. What was asked
is a struct column `inputs`, or columns whose names begin with `inputs.`; what was answered `outputs` in the same way.
The batch's id, its endpoint and its model do not stand in a table: they come beside it.

Source:
    Apache Arrow, "Arrow Columnar Format", IPC streaming format.
"""

from __future__ import annotations

import io
from typing import Any

import msgspec
import polars as pl

from penstock.serving.told.observations import COUNT_MAX, ObservationBatch, bad_batch

OWN = ("time_ms", "latency_s", "id", "version", "revision", "error", "rows")
SIDES = ("inputs", "outputs")


def parse_arrow(
    data: bytes, *, batch: str | None, endpoint: str | None, model: str | None
) -> ObservationBatch:
    """Read a batch from an Arrow stream.

    Raises:
        Invalid: it is none, or it is not said which batch of which endpoint it is (`observations.bad_batch`).
    """
    if not batch or not endpoint:
        raise bad_batch("an Arrow stream needs ?endpoint=NAME&batch=ID in the URL")
    try:
        frame = pl.read_ipc_stream(io.BytesIO(data))
    except (Exception, pl.exceptions.PanicException) as error:  # noqa: BLE001 - the reader's own kinds
        raise bad_batch(f"not an Arrow IPC stream: {str(error).partition(chr(10))[0][:200]}") from None
    if frame.height > COUNT_MAX:
        raise bad_batch(f"a batch has at most {COUNT_MAX} observations")
    observations = [_plain(row) for row in _by_side(frame).iter_rows(named=True)]
    document = {"batch": batch, "endpoint": endpoint, "observations": observations, "model": model}
    try:
        return msgspec.convert(document, ObservationBatch)
    except msgspec.ValidationError as error:
        raise bad_batch(f"not a batch of observations: {str(error).replace('`', '')}") from None


def _by_side(frame: pl.DataFrame) -> pl.DataFrame:
    """Return the columns of a call, those of `inputs` and `outputs` put together.

    Raises:
        Invalid: there is another column.
    """
    chosen: list[pl.Expr] = []
    known = {*OWN, *SIDES}
    for side in SIDES:
        flat = [name for name in frame.columns if name.startswith(f"{side}.")]
        if flat and side in frame.columns:
            raise bad_batch(f"{side} stands both as a struct and as columns {flat[0]}, …")
        known.update(flat)
        if flat:
            chosen.append(pl.struct(pl.col(name).alias(name[len(side) + 1 :]) for name in flat).alias(side))
    strange = [name for name in frame.columns if name not in known]
    if strange:
        raise bad_batch(
            f"a column of observations is called {', '.join(OWN)}, inputs.… or outputs.…, not {strange[0]!r}"
        )
    plain = [pl.col(name) for name in (*OWN, *SIDES) if name in frame.columns]
    return frame.select(*plain, *chosen)


def _plain(row: dict[str, Any]) -> dict[str, Any]:
    """Return a row without what is not known of it."""
    return {name: value for name, value in row.items() if value is not None}
