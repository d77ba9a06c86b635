"""Models of one's own classes. This file goes along with them, so it imports nothing of the tests."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np


class Custom:
    """A model of one's own that learned a number."""

    def __init__(self, factor: float = 1.0) -> None:
        self.factor = factor

    def save(self, folder: Path) -> None:
        """Write it."""
        (folder / "factor").write_text(str(self.factor))

    def load(self, folder: Path) -> None:
        """Read it."""
        self.factor = float((folder / "factor").read_text())

    def predict(self, rows: Any) -> Any:
        """Return the sums of rows."""
        return np.asarray(rows).sum(axis=1) * self.factor


class Doubling:
    """A model that learned nothing and gives two outputs."""

    def predict(self, rows: Any) -> Any:
        """Return them."""
        return {"twice": rows * 2, "first": rows[:, 0]}


class Ages:
    """A model of a picture and a number that may be missing."""

    def predict(self, rows: Any) -> Any:
        """Return the numbers, 0 where there is none."""
        return np.nan_to_num(rows["age"])


class Hours:
    """A model of the hour on the clock, in whatever zone its column of times is."""

    def predict(self, rows: Any) -> Any:
        """Return the hours, and the zone."""
        times = rows["at"]
        if hasattr(times, "to_physical"):
            return {"hour": times.dt.hour().to_numpy(), "zone": [str(times.dtype.time_zone)] * len(times)}
        return {"hour": times.dt.hour.to_numpy(dtype=float), "zone": [str(times.dt.tz)] * len(times)}


class Turning:
    """A model that answers rows with what its first number says: None, complex numbers, or else sums."""

    def predict(self, rows: Any) -> Any:
        """Return it."""
        kind = float(np.asarray(rows)[0, 0])
        total = np.asarray(rows).sum(axis=1)
        answers = {1.0: None, 2.0: {"prediction": None}, 3.0: total * 1j}
        return answers.get(kind, total)


class Steps:
    """A model whose answers are of one type for its example, rows of 2, and of others for other rows."""

    def predict(self, rows: Any) -> Any:
        """Return whole numbers, or what the first number says."""
        kind, count = float(np.asarray(rows)[0, 0]), len(rows)
        usual: dict[str, Any] = {"whole": [3] * count, "flag": [True] * count, "text": ["t"] * count}
        changed: dict[float, dict[str, Any]] = {
            3.0: {"whole": [3.0] * count, "flag": [1] * count, "text": [None] * count},
            4.0: {"whole": [1.5] * count},
            5.0: {"flag": [2.5] * count},
            6.0: {"whole": [None] * (count - 1) + [8]},
            7.0: {"whole": [float("nan")] * count},
            8.0: {"text": [5] * count},
            9.0: {"text": ["t"] * (count - 1) + [5]},
            10.0: {"whole": [2.0**63] * count},
            11.0: {"whole": ["3"] * count},
            12.0: {"whole": np.array([2**63] * count, dtype=np.uint64)},
        }
        return {**usual, **changed.get(kind, {})}


class Telling:
    """A model that fails for negative rows as libraries in C++ do, with a stack and paths of the server."""

    def predict(self, rows: Any) -> Any:
        """Return sums, or fail."""
        if np.min(rows) < 0:
            raise RuntimeError(
                "[12:00:00] /workspace/src/data/tree.h:29: Check failed: it is negative\n"
                "Stack trace:\n  [bt] (0) /srv/venv/lib/python3.11/site-packages/lib.so(+0x11) [0x7f]\n"
            )
        return np.asarray(rows).sum(axis=1)


class Silent:
    """A model of which nothing is known for some rows: NaN, or no text."""

    def predict(self, rows: Any) -> Any:
        """Return what is known of rows."""
        values = np.asarray(rows)
        known = values[:, 0] > 0
        days = np.where(known, values.sum(axis=1), np.nan)
        return {
            "day": days,
            "word": [f"{day:g}" if one else None for day, one in zip(days, known, strict=True)],
        }


class InPlace:
    """A model that works on the very rows that it is given, as code for arrays often does."""

    def predict(self, rows: Any) -> Any:
        """Return the sums of what is above 100."""
        if isinstance(rows, dict):
            for values in rows.values():
                np.subtract(values, 100.0, out=values)
            return sum(values.reshape(len(values), -1).sum(axis=1) for values in rows.values())
        if hasattr(rows, "loc"):
            for name in rows.columns:
                rows.loc[:, name] -= 100.0
            return rows.to_numpy().sum(axis=1)
        rows -= 100.0
        return rows.sum(axis=1)
