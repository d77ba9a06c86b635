"""A program: the first rows of the Parquet file on its standard input, as JSON. It bounds its own memory and time."""

from __future__ import annotations

import io
import json
import os
import resource
import sys

MEMORY_BYTES = 3 << 30
CPU_S = 10
ROWS, COLUMNS, CELL = 200, 60, 200


def main() -> None:
    """Read, and print what can be shown; ends with a failure where that is nothing."""
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    resource.setrlimit(resource.RLIMIT_CPU, (CPU_S, CPU_S))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    os.environ["POLARS_MAX_THREADS"] = "1"
    import polars as pl  # after its number of threads is set

    data = sys.stdin.buffer.read()
    schema = pl.read_parquet_schema(io.BytesIO(data))
    names = list(schema)[:COLUMNS]
    count = pl.scan_parquet(io.BytesIO(data)).select(pl.len()).collect().item()
    frame = pl.read_parquet(io.BytesIO(data), columns=names, n_rows=ROWS)
    document = {
        "columns": names,
        "types": [str(schema[name]) for name in names],
        "rows": [
            ["" if cell is None else str(cell)[: CELL + 1] for cell in row] for row in frame.iter_rows()
        ],
        "row_count": count,
        "column_count": len(schema),
    }
    sys.stdout.write(json.dumps(document))


if __name__ == "__main__":
    main()
