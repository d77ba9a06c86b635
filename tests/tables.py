"""A test over a table of cases: one item for pytest, and a failure that names every case that does not hold.

For cases of a few milliseconds: as items of their own each would cost more around the test than in it. All cases see
the same fixtures, so none may change what another one looks at.
"""

from __future__ import annotations

import inspect
import traceback
from collections.abc import Callable, Iterable
from typing import Any


def table(
    names: str | tuple[str, ...], cases: Iterable[Any], ids: Callable[[Any], object] | list[str] | None = None
) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Run a test for every case in turn, as `pytest.mark.parametrize` does with an item for each.

    Args:
        ids: what a case is called when it does not hold; by default it is shown.
    """
    words = (names,) if isinstance(names, str) else names
    rows = list(cases)
    called = ids if isinstance(ids, list) else [str(ids(row)) if ids else repr(row) for row in rows]

    def decorate(test: Callable[..., None]) -> Callable[..., None]:
        def run(**fixtures: Any) -> None:
            wrong = []
            for row, name in zip(rows, called, strict=True):
                values = (row,) if isinstance(names, str) else row
                try:
                    test(**fixtures, **dict(zip(words, values, strict=True)))
                except Exception:
                    wrong.append(f"{name[:300]}:\n{traceback.format_exc(limit=-2)}")
            assert rows, "a table without cases shows nothing"
            assert not wrong, f"{len(wrong)} of {len(rows)} cases do not hold\n" + "\n".join(wrong)

        signature = inspect.signature(test)
        run.__dict__.update(test.__dict__)  # its marks
        kept = [one for name, one in signature.parameters.items() if name not in words]
        run.__signature__ = signature.replace(parameters=kept)  # type: ignore[attr-defined]
        for attribute in ("__name__", "__qualname__", "__module__", "__doc__"):
            setattr(run, attribute, getattr(test, attribute))
        return run

    return decorate
