from __future__ import annotations

from collections.abc import Iterator

import pytest

from penstock.processes.serve import ServeProcess
from serving.fixtures import database, server, source
from serving.fronts import serve_both

__all__ = ["database", "server", "source"]


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServeProcess]:
    """One process with both HTTP and gRPC for all tests of a module."""
    yield from serve_both(tmp_path_factory.mktemp("plain"))
