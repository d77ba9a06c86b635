"""What is read of a table, and a part of it that was read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import polars as pl

from penstock.data.formats.columns import no_column
from penstock.flows.production.scoring.holding import require_held

EXACT_MAX = 2.0**53
"""From here on a floating-point number may stand for several whole ones."""


@dataclass(frozen=True)
class Part:
    """Rows one after the other; `broken` says of rows that cannot be read as a row why, by their place in it.

    `numbers` are the rows' numbers in their table where these are not their places: lines of JSON among empty ones.
    `there` are all columns of the table, where only some of them were read.
    """

    frame: pl.DataFrame
    broken: dict[int, str] = field(default_factory=dict)
    numbers: Sequence[int] | None = None
    there: Sequence[str] = ()


@dataclass(frozen=True)
class Wanted:
    """Columns that a part needs; those of `carried` must be there, of the `inputs` it is asked later.

    `texts` are the inputs that hold text and nothing else, `whole` those that hold whole numbers; `suffix` is how OUT ends,
    which must hold what is carried.
    """

    inputs: Sequence[str]
    carried: Sequence[str] = ()
    texts: Sequence[str] = ()
    whole: Sequence[str] = ()
    everything: bool = False
    suffix: str = ".parquet"

    def of(self, there: Sequence[str], path: Path) -> list[str]:
        """Return those of the columns that are there which are needed.

        Raises:
            Invalid: a column that is to be carried is not there.
        """
        for name in self.carried:
            if name not in there:
                raise no_column(f"{path.name} has no column {name!r} to carry", name, there)
        return [name for name in there if self.everything or name in self.inputs or name in self.carried]

    def of_kinds(self, schema: Mapping[str, pl.DataType], path: Path) -> list[str]:
        """Return the same where the columns' kinds are known too.

        Raises:
            Invalid: a column that is to be carried is not there, or of a kind that OUT cannot hold.
        """
        names = self.of(list(schema), path)
        require_held({name: schema[name] for name in self.carried}, self.suffix, path)
        return names
