"""What a batch job writes: parts of OUT, and OUT itself, which appears whole."""

from __future__ import annotations

import io
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import polars as pl

from penstock.base.errors import Conflict, Invalid
from penstock.base.replacing import appearing
from penstock.data.formats.footers import Joined
from penstock.flows.production.scoring.holding import as_texts
from penstock.flows.production.scoring.job import Parts
from penstock.flows.production.scoring.places import Place, Scratch
from penstock.records.signature import Column
from penstock.serving.loaders.model import Array, numpy_dtype
from penstock.serving.predictions.ids import LENGTH, PredictionId
from penstock.serving.predictions.runs import encode_run

ID, ERROR = "prediction_id", "error"
DONE = "_SUCCESS"
"""What lies in a directory of parts once it is whole, as Hadoop and Spark have it."""
BLOCK_BYTES = 1 << 20
ROW_GROUP = 50_000


def frame_of(
    carried: pl.DataFrame,
    height: int,
    outputs: dict[str, Array],
    answered: npt.NDArray[np.int64],
    ids: pl.Series | None,
    reasons: dict[int, str],
    kinds: Mapping[str, pl.DataType],
) -> pl.DataFrame:
    """Return a part as it is written: a row for each that was read, without an answer where there is none.

    Args:
        kinds: the outputs' columns where no row of the part has an answer, so that all parts have the same.

    Raises:
        Invalid: two columns have one name.
    """
    is_whole = len(answered) == height
    columns: list[pl.Series] = []
    if ids is not None:
        columns.append(_spread(ids, answered, height, is_whole=is_whole))
    columns += carried.get_columns()
    for name, values in outputs.items():
        columns.append(_spread(_series(name, values), answered, height, is_whole=is_whole))
    if not outputs:
        columns += [pl.Series(name, [None] * height, dtype=kind) for name, kind in kinds.items()]
    errors = pl.Series(ERROR, [None] * height, dtype=pl.String) if not reasons else pl.Series(
        ERROR, [reasons.get(row) for row in range(height)], dtype=pl.String
    )  # fmt: skip
    columns.append(errors)
    names = [one.name for one in columns]
    twice = sorted({one for one in names if names.count(one) > 1})
    if twice:
        raise Invalid(
            f"OUT would have the column {twice[0]!r} twice: once carried, once the model's",
            code="batch.same_name",
            hint="leave it out of --columns, or give it another name in the table",
        )
    return pl.DataFrame(columns)


def ids_of(first: PredictionId, count: int) -> pl.Series:
    """Return the ids of `count` rows, the first of them `first`; no row becomes an object of Python's."""
    ids = pl.Series(ID, encode_run(first, count), dtype=pl.Array(pl.UInt8, LENGTH))
    return ids.arr.to_list().cast(pl.Binary).cast(pl.String)


def kinds_of(outputs: Sequence[Column]) -> dict[str, pl.DataType]:
    """Return the columns that a model's outputs become, as its signature tells them."""
    found: dict[str, pl.DataType] = {}
    for column in outputs:
        text = column.datatype == "BYTES"
        kind = pl.String() if text else pl.Series(np.empty(0, numpy_dtype(column.datatype))).dtype
        found[column.name] = pl.List(kind) if column.is_tensor and len(column.shape) > 1 else kind
    return found


def _series(name: str, values: Array) -> pl.Series:
    if values.ndim > 1:
        return pl.Series(name, values.tolist())
    if values.dtype.kind == "O":
        return pl.Series(name, values.tolist(), strict=False)
    return pl.Series(name, values.astype(str) if values.dtype.kind in "SU" else values)


def _spread(values: pl.Series, rows: npt.NDArray[np.int64], height: int, *, is_whole: bool) -> pl.Series:
    if is_whole:
        return values
    places = np.full(height, -1, dtype=np.int64)
    places[rows] = np.arange(len(rows))
    index = pl.Series(places).cast(pl.Int64)
    return values.gather(index.set(index < 0, None).cast(pl.UInt32))


def join_frames(frames: Sequence[pl.DataFrame]) -> pl.DataFrame:
    """Return frames one below the other, as one that agrees in the kinds of its columns."""
    if all(one.schema == frames[0].schema for one in frames):
        return pl.concat(frames)
    return pl.concat(_agreeing([one.lazy() for one in frames]), how="vertical_relaxed").collect()


def render_part(frame: pl.DataFrame, suffix: str) -> bytes:
    """Return a part's bytes; those of a Parquet part are what they are in OUT."""
    buffer = io.BytesIO()
    if suffix == ".parquet":
        frame.write_parquet(buffer, compression="zstd", compression_level=1, row_group_size=ROW_GROUP)
    elif suffix == ".csv":
        _flat(frame).write_csv(buffer)
    else:
        frame.write_ndjson(buffer)
    return buffer.getvalue()


def _flat(frame: pl.DataFrame) -> pl.DataFrame:
    """Return a frame that CSV can hold: lists and structs as JSON."""
    return frame.with_columns(as_texts(one) for one in frame.iter_columns() if one.dtype.is_nested())


def require_free(place: Place, *, overwrite: bool) -> None:
    """Check that OUT may be written.

    Raises:
        Conflict: something is there.
    """
    taken = place.backend.exists(place.key) or next(place.backend.list(place.key), None) is not None
    if taken and not overwrite:
        raise Conflict(f"{place.url} exists already", code="batch.out_exists", hint="--overwrite replaces it")


def assemble(place: Place, parts: Parts, count: int, scratch: Scratch) -> None:
    """Make OUT of its parts; it appears in one step, or, as a directory behind a URL, with `_SUCCESS` at last."""
    suffix = place.suffix
    if not suffix:
        _directory(place, parts, count)
    elif count == 1:
        _clear(place)
        place.backend.copy(parts.key(0, suffix), place.key)
    elif suffix == ".parquet":
        _parquet(place, parts, count, scratch)
    else:
        _clear(place)
        writer = place.backend.writer(place.key)
        try:
            for chunk in _text(place, [parts.key(number, suffix) for number in range(count)], suffix):
                writer.write([chunk])
            writer.commit()
        finally:
            writer.abort()


def _clear(place: Place) -> None:
    """Take away a directory that is to be replaced by a file."""
    if not place.backend.exists(place.key):
        place.backend.delete_tree(place.key)


def _text(place: Place, keys: Sequence[str], suffix: str) -> Iterator[bytes]:
    """Yield lines of all parts, with the heading of the first alone."""
    heading = b""
    for index, key in enumerate(keys):
        start = 0
        if suffix == ".csv":
            if not index:
                first = pl.read_csv(io.BytesIO(place.backend.get(key)), infer_schema=False, n_rows=0)
                heading = first.write_csv().encode()
            start = len(heading) if index else 0
        yield from place.backend.stream(key, start)


def _parquet(place: Place, parts: Parts, count: int, scratch: Scratch) -> None:
    paths: list[Path] = []
    for number in range(count):
        key = parts.key(number, ".parquet")
        path = place.path_of(key)
        if path is None:
            path = scratch.folder / f"part-{number:06}.parquet"
            place.backend.download(key, path)
        paths.append(path)
    whole = Joined.of(paths)
    if whole is not None:
        _clear(place)
        place.backend.upload(place.key, whole, whole.size_bytes)
        return
    joined = scratch.folder / "joined.parquet"
    lazy = pl.concat(_agreeing([pl.scan_parquet(path) for path in paths]), how="vertical_relaxed")
    lazy.sink_parquet(
        joined, compression="zstd", compression_level=1, maintain_order=True, row_group_size=ROW_GROUP
    )
    _clear(place)
    place.backend.upload(place.key, _Blocks(joined), joined.stat().st_size)
    joined.unlink()


def _agreeing(parts: list[pl.LazyFrame]) -> list[pl.LazyFrame]:
    """Return parts whose columns agree: what is of kinds that do not, as JSON lines may have it, is text, nested values as JSON."""
    kinds: dict[str, set[pl.DataType]] = {}
    for part in parts:
        for name, kind in part.collect_schema().items():
            kinds.setdefault(name, set()).add(kind)
    mixed = [name for name, found in kinds.items() if not _agree(found)]
    texts = [
        pl.col(name).map_batches(as_texts, return_dtype=pl.String, is_elementwise=True) for name in mixed
    ]
    return [part.with_columns(texts) for part in parts] if mixed else parts


def _agree(kinds: set[pl.DataType]) -> bool:
    """Say whether polars has one kind for all of them that changes none into text."""
    if len(kinds) == 1:
        return True
    if pl.String() in kinds:
        return False
    try:
        pl.concat([pl.LazyFrame(schema={"one": kind}) for kind in kinds], how="vertical_relaxed").collect()
    except pl.exceptions.PolarsError:
        return False
    return True


class _Blocks:
    """A file's bytes, which may be gone through more than once."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __iter__(self) -> Iterator[bytes]:
        with self._path.open("rb") as file:
            while block := file.read(BLOCK_BYTES):
                yield block


def _directory(place: Place, parts: Parts, count: int) -> None:
    keys = [parts.key(number, ".parquet") for number in range(count)]
    target = place.local
    if target is not None:
        with appearing(target, force=True) as made:
            made.mkdir()
            for key in keys:
                source = place.path_of(key)
                if source is not None:
                    _link(source, made / source.name)
            (made / DONE).touch()
        return
    place.backend.delete(f"{place.key}/{DONE}")
    place.backend.delete(place.key)
    place.backend.delete_tree(place.key)
    for key in keys:
        place.backend.copy(key, f"{place.key}/{key.rpartition('/')[2]}")
    place.backend.put(f"{place.key}/{DONE}", b"")


def _link(source: Path, target: Path) -> None:
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)
