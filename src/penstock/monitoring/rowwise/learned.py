"""What is learned of a reference beside its profile: a sample of its rows, how well it is told from itself, and what tells
outliers.

It lies in the profile (`Profile.learned`), so it goes where that goes and is as old as that. Redacted columns are in
none of it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec
import numpy.typing as npt

from penstock.monitoring.profile import Profile
from penstock.monitoring.rowwise import multivariate, rows
from penstock.monitoring.rowwise.multivariate import OwnSeparation, own_separation
from penstock.monitoring.rowwise.outliers import NAME as NAME_OF_OUTLIERS
from penstock.monitoring.rowwise.outliers import learn_outliers
from penstock.monitoring.rowwise.rows import Rows, sampled_rows
from penstock.monitoring.settings import ROWS_MAX

Array = npt.NDArray[Any]


def learn(columns: Mapping[str, Array], most: int = ROWS_MAX) -> dict[str, bytes]:
    """Return what is learned of a reference, given as one `(n,)` array a column in the order of its rows.

    Args:
        most: so many of its rows are kept; 0 keeps none, and learns nothing that needs rows.
    """
    if not most or not any(len(values) for values in columns.values()):
        return {}
    found = {rows.NAME: sampled_rows(columns, most).to_bytes()}
    outliers = learn_outliers(columns)
    if outliers is not None:
        found[NAME_OF_OUTLIERS] = outliers.to_bytes()
    own = own_separation(columns)
    if own is not None:
        found[multivariate.NAME] = msgspec.msgpack.encode(own)
    return found


def rows_of(profile: Profile | None) -> Rows | None:
    """Return the rows of a reference that were kept.

    Raises:
        Corrupt: they cannot be read (`monitoring.rows_corrupt`).
    """
    data = None if profile is None else profile.learned.get(rows.NAME)
    return None if data is None else Rows.from_bytes(data)


def separation_of(profile: Profile | None) -> OwnSeparation | None:
    """Return how well a reference is told from itself.

    Raises:
        Corrupt: it cannot be read (`monitoring.rows_corrupt`).
    """
    return None if profile is None else multivariate.read_own(profile.learned.get(multivariate.NAME))
