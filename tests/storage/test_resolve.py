"""From URLs to backends."""

from __future__ import annotations

from pathlib import Path

import pytest

from penstock.base.errors import Invalid
from penstock.storage.local import LocalBackend
from penstock.storage.memory import MemoryBackend
from penstock.storage.resolve import open_backend


def test_paths_and_file_urls_are_local(tmp_path: Path) -> None:
    for url in (str(tmp_path), f"file://{tmp_path}"):
        backend = open_backend(url)
        assert isinstance(backend, LocalBackend)
        assert backend.root == tmp_path


def test_memory_has_its_own_url() -> None:
    assert isinstance(open_backend("memory://"), MemoryBackend)


def test_an_unknown_scheme_is_named() -> None:
    with pytest.raises(Invalid, match="nfs://"):
        open_backend("nfs://server/x")


@pytest.mark.parametrize("url", ["s3://bucket/prefix", "gs://bucket", "https://example.org/data"])
def test_object_stores_are_opened_without_contact(url: str) -> None:
    options = {"endpointurl": "http://127.0.0.1:1", "access_key_id": "a", "secret_access_key": "b"}
    backend = open_backend(url, {**options, "jobs": "7"} if url.startswith("s3") else {})
    assert backend.url == url
    backend.close()


def test_a_wrong_number_is_refused() -> None:
    with pytest.raises(Invalid, match="jobs"):
        open_backend("s3://bucket", {"jobs": "many"})
