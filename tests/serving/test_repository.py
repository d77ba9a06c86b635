"""`ModelRepository`: what an endpoint serves, how it is replaced, and what stays in memory."""

from __future__ import annotations

import gc
import threading

import pytest
from msgspec.structs import replace

from patience import PATIENCE_S
from penstock.base.errors import Invalid, NotFound, PenstockError, Unavailable
from penstock.base.store.database import Database
from penstock.records.signature import Column
from penstock.serving.loaders import ModelFiles, load_model
from penstock.serving.loaders.model import Predictor
from penstock.serving.repository import ModelRepository
from serving.models import SIGNATURE, FolderSource, deploy


def test_an_endpoint_is_unknown_then_not_ready_then_served(database: Database, source: FolderSource) -> None:
    repository = ModelRepository(source.fetch)
    with pytest.raises(NotFound) as unknown:
        repository.get("delay")
    assert unknown.value.code == "serving.endpoint_unknown"
    repository.expect(frozenset({"delay"}))
    with pytest.raises(Unavailable) as waiting:
        repository.get("delay")
    assert waiting.value.code == "serving.not_ready"
    assert repository.pending == {"delay"}
    served = repository.apply(deploy(database, "delay", 1))
    assert repository.get("delay") is served
    assert repository.pending == set()
    repository.expect(frozenset())
    with pytest.raises(NotFound):
        repository.get("delay")


def test_a_version_is_loaded_once_and_stays_as_long_as_anything_serves_it_or_did_before(
    database: Database, source: FolderSource
) -> None:
    loads: list[int] = []

    def load(files: ModelFiles) -> Predictor:
        loads.append(files.version)
        return load_model(files)

    repository = ModelRepository(source.fetch, load)
    repository.apply(deploy(database, "delay", 1))
    repository.apply(deploy(database, "other", 1))
    repository.apply(deploy(database, "delay", 1, canary=(2, 10.0)))
    assert loads == [1, 2]
    repository.apply(deploy(database, "delay", 1))
    repository.apply(deploy(database, "delay", 1, canary=(2, 10.0)))
    assert loads == [1, 2], "what was served just before is still there"
    for _ in range(2):
        repository.apply(deploy(database, "delay", 1))
    gc.collect()
    repository.load_version("flight-delay", 2)
    assert loads == [1, 2, 2]


def test_what_cannot_be_taken_over_leaves_what_was_served(database: Database, source: FolderSource) -> None:
    good = source.files["flight-delay", 2]
    narrow = replace(SIGNATURE, inputs=SIGNATURE.inputs[:1])
    more = replace(SIGNATURE, inputs=(*SIGNATURE.inputs, Column("snow", "FP64")))
    repository = ModelRepository(source.fetch)
    served = repository.apply(deploy(database, "delay", 1))
    cases: list[tuple[int, ModelFiles | None, type[PenstockError], str]] = [
        (3, None, NotFound, "registry.version_unknown"),
        (4, replace(good, version=4, digest="4", path=good.path / "nothing"), PenstockError, ""),
        (5, replace(good, version=5, digest="5", signature=narrow), Invalid, "serving.self_test_failed"),
        (6, replace(good, version=6, digest="6", signature=more), Invalid, "serving.signature_mismatch"),
    ]  # fmt: skip
    for number, files, error, code in cases:
        if files is not None:
            source.add(files)
        with pytest.raises(error) as caught:
            repository.apply(deploy(database, "delay", 1, canary=(number, 10.0)))
        assert code in caught.value.code, number
        assert repository.get("delay") is served, number


def test_a_revision_that_took_too_long_does_not_replace_a_newer_one(
    database: Database, source: FolderSource
) -> None:
    has_begun, may_end = threading.Event(), threading.Event()

    def load(files: ModelFiles) -> Predictor:
        if files.version == 1:
            has_begun.set()
            assert may_end.wait(PATIENCE_S)
        return load_model(files)

    repository = ModelRepository(source.fetch, load)
    old, new = deploy(database, "delay", 1), deploy(database, "delay", 2)
    late = threading.Thread(target=repository.apply, args=(old,))
    late.start()
    assert has_begun.wait(PATIENCE_S)
    served = repository.apply(new)
    may_end.set()
    late.join()
    assert repository.get("delay") is served
    assert served.stable.version == 2


def test_an_unloaded_endpoint_is_served_again_only_when_it_was_allowed(
    database: Database, source: FolderSource
) -> None:
    repository = ModelRepository(source.fetch)
    revision = deploy(database, "delay", 1)
    repository.apply(revision)
    repository.withhold("delay")
    repository.apply(revision)
    with pytest.raises(Unavailable) as caught:
        repository.get("delay")
    assert caught.value.code == "serving.unloaded"
    repository.expect(frozenset({"delay"}))
    assert repository.pending == set()
    repository.allow("delay")
    assert repository.apply(revision) is repository.get("delay")
    for change in (repository.withhold, repository.allow):
        with pytest.raises(NotFound):
            change("nothing")
