"""Which executors there are: the entry points of the group that `GROUP` names.

Each names a function that takes an address (or None) and returns an `Executor`.
"""

from __future__ import annotations

from importlib.metadata import entry_points

from penstock.base.errors import NotFound, Unavailable
from penstock.pipeline.executors.role import Executor

GROUP = "penstock.executors"


def list_executors() -> list[str]:
    """Return the names, in order."""
    return sorted({one.name for one in entry_points(group=GROUP)})


def open_executor(name: str, address: str | None = None) -> Executor:
    """Return an executor by name, ready to run tasks; `address` says which cluster, where it is one.

    Raises:
        NotFound: nobody provides it.
        Unavailable: its library is missing, or the cluster does not answer.
    """
    found = next(iter(entry_points(group=GROUP, name=name)), None)
    if found is None:
        raise NotFound(
            f"there is no executor called {name!r}",
            code="pipeline.no_executor",
            hint=f"executors: {', '.join(list_executors()) or 'none'}",
        )
    try:
        opener = found.load()
        executor: Executor = opener(address)
    except ImportError as error:
        raise Unavailable(
            f"the executor {name} needs {error.name}, which is not installed",
            code="pipeline.executor_missing",
            hint=f"pip install 'penstock[{name}]'",
        ) from None
    return executor
