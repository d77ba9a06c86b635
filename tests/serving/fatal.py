"""Models that misbehave: some end their process, or talk where nobody asked; one answers what no model should."""

from __future__ import annotations

import atexit
import ctypes
import errno
import os
import signal
import time
from pathlib import Path
from typing import Any

import numpy as np

LARGE = 1e6


class Fatal:
    """Sums rows. With the path of a file it ends its process, when it is loaded and the file is there, or for a large number.

    Of files of some names it raises instead, or ends its process with each prediction: `predict…`, or is killed: `kill…`.
    """

    def __init__(self, told_by: str = "") -> None:
        self.told_by = told_by

    def save(self, folder: Path) -> None:
        """Write it."""
        (folder / "told_by").write_text(self.told_by)

    def load(self, folder: Path) -> None:
        """Read it, or end."""
        self.told_by = (folder / "told_by").read_text()
        if self.told_by and Path(self.told_by).exists() and not self._ends_predicting:
            if Path(self.told_by).name == "asks":
                raise SystemExit(3)
            if Path(self.told_by).name == "files":
                raise OSError(errno.EMFILE, "Too many open files")
            if Path(self.told_by).name.startswith("wrong"):
                raise ValueError("what was learned cannot be read")
            os._exit(3)

    def predict(self, rows: Any) -> Any:
        """Return the sums, or end."""
        if self._ends_predicting and Path(self.told_by).exists():
            if Path(self.told_by).name.startswith("kill"):
                os.kill(os.getpid(), signal.SIGKILL)
            os._exit(3)
        if self.told_by and np.max(rows) > LARGE:
            os._exit(3)
        return np.asarray(rows).sum(axis=1)

    @property
    def _ends_predicting(self) -> bool:
        return Path(self.told_by).name.startswith(("predict", "kill"))


class Late(Fatal):
    """Sums rows. From when there is a file it ends its process when it is loaded, as soon as there is another, `NAME.go`."""

    def load(self, folder: Path) -> None:
        """Read it, or end, in the end."""
        self.told_by = (folder / "told_by").read_text()
        if self.told_by and Path(self.told_by).exists():
            while not Path(f"{self.told_by}.go").exists():
                time.sleep(0.01)
            os._exit(3)


class Slow(Fatal):
    """Sums rows. It is being loaded for as long as there is a file."""

    def load(self, folder: Path) -> None:
        """Read it, in the end."""
        self.told_by = (folder / "told_by").read_text()
        while self.told_by and Path(self.told_by).exists():
            time.sleep(0.01)


class Talking(Fatal):
    """Sums rows. From when there is a file it writes to the standard output when it is loaded, and by the name at the end too."""

    def load(self, folder: Path) -> None:
        """Read it, and talk."""
        self.told_by = (folder / "told_by").read_text()
        if not Path(self.told_by).exists():
            return
        os.write(1, b"loaded")
        how = Path(self.told_by).name
        if how == "prints":
            atexit.register(print, "bye")
        if how == "printf":
            ctypes.CDLL(None).printf(b"bye")
        if how == "last":
            atexit.register(os._exit, 3)
        if how == "ends":
            os.write(1, b"\ntried\n")
            os._exit(0)


class Odd:
    """Answers rows of its first number: a sum for 0, and otherwise something odd."""

    def predict(self, rows: Any) -> Any:
        """Return it."""
        values = np.asarray(rows)
        count, total = len(values), values.sum(axis=1)
        answers: dict[int, Any] = {
            1: [*total, 0.0],
            2: total * np.nan,
            3: [{"a": 1}] * count,
            4: None,
            5: ["text"] * count,
            6: total * 1j,
            7: total[:, None] @ total[None, :],
            8: total * np.inf,
            9: {"other": total},
            10: iter(total),
        }
        kind = int(values[0, 0])
        if kind == len(answers) + 1:
            raise MemoryError
        if kind == len(answers) + 2:
            raise SystemExit(3)
        return answers.get(kind, total)
