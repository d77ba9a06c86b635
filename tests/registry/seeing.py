"""A model that answers with the types of the columns that it is given."""

from __future__ import annotations

from typing import Any

import numpy as np


class See:
    """Its source goes into the folder, as any class of a user's."""

    def predict(self, rows: Any) -> Any:
        """Return, for every row, the types of the frame."""
        kinds = rows.dtypes if isinstance(rows.dtypes, list) else rows.dtypes.tolist()
        return np.array([",".join(map(str, kinds))] * len(rows))
