"""Loaded models and what each endpoint serves with them.

A model is in memory once however many revisions use it, as long as anything refers to it: a served
revision, the one before it (so that a rollback is immediate) or a request in flight. A swap replaces one
reference; requests that took the old one finish on it.
"""

from __future__ import annotations

import threading
import time
import weakref
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, Protocol

import msgspec
import numpy as np

from penstock.base.errors import Invalid, NotFound, Unavailable
from penstock.records.signature import Signature
from penstock.serving.deployments import Revision
from penstock.serving.loaders import load_model
from penstock.serving.loaders.model import Array, Columns, ModelFiles, Predictor, numpy_dtype
from penstock.serving.prediction_id import Route

SMALL_ROWS = 64


class LoadedModel:
    """A model in memory. `cost_s` is what a small request costs it, a moving mean of processor seconds."""

    def __init__(self, files: ModelFiles, predictor: Predictor) -> None:
        self.name = files.name
        self.version = files.version
        self.digest = files.digest
        self.flavour = files.flavour
        self.signature: Signature = files.signature
        self.predictor = predictor
        self.classes: tuple[Any, ...] | None = getattr(predictor, "classes", None)
        self.cost_s = 0.0

    def predict(self, columns: Columns, row_count: int) -> dict[str, Array]:
        """Predict as the predictor does, and measure what a small request costs."""
        started_s = time.thread_time()
        outputs = self.predictor.predict(columns, row_count)
        if row_count <= SMALL_ROWS:
            cost_s = time.thread_time() - started_s
            self.cost_s = 0.9 * self.cost_s + 0.1 * cost_s if self.cost_s else cost_s
        return outputs


class ServedRevision(msgspec.Struct, frozen=True):
    """A revision with its models loaded, by version number."""

    revision: Revision
    models: dict[int, LoadedModel]

    @property
    def input_names(self) -> frozenset[str]:
        """Every input that some model of the revision takes."""
        return frozenset(column.name for model in self.models.values() for column in model.signature.inputs)

    @property
    def stable(self) -> LoadedModel:
        """The model of the stable route."""
        return self.models[self.revision.stable]

    def model_for(self, route: Route) -> LoadedModel:
        """Return the model of a client's route."""
        if route == "canary" and self.revision.canary is not None:
            return self.models[self.revision.canary.version]
        return self.stable


class Fetch(Protocol):
    """Where model files come from."""

    def __call__(self, model: str, version: int) -> ModelFiles:
        """Return a version's files on the local disk.

        Raises:
            PenstockError: there is no such version, or it cannot be had now.
        """
        ...


class ModelRepository:
    """Every endpoint's served revision. Reading is lock-free; one thread at a time applies."""

    def __init__(self, fetch: Fetch, load: Callable[[ModelFiles], Predictor] = load_model) -> None:
        self._fetch = fetch
        self._load = load
        self._loaded: weakref.WeakValueDictionary[str, LoadedModel] = weakref.WeakValueDictionary()
        self._served: Mapping[str, ServedRevision] = MappingProxyType({})
        self._before: dict[str, ServedRevision] = {}
        self._pending: frozenset[str] = frozenset()
        self._lock = threading.Lock()

    @property
    def served(self) -> Mapping[str, ServedRevision]:
        """What every endpoint serves now; a snapshot."""
        return self._served

    @property
    def pending(self) -> frozenset[str]:
        """The endpoints that exist but have never had a revision that loads."""
        return self._pending - self._served.keys()

    def get(self, endpoint: str) -> ServedRevision:
        """Return what an endpoint serves.

        Raises:
            NotFound: no such endpoint.
            Unavailable: its model is not loaded yet.
        """
        found = self._served.get(endpoint)
        if found is not None:
            return found
        if endpoint in self._pending:
            raise Unavailable(
                f"endpoint {endpoint} is not ready: its model is not loaded", code="serving.not_ready"
            )
        raise NotFound(
            f"there is no endpoint {endpoint[:128]!r}",
            code="serving.endpoint_unknown",
            hint="a model's name on the wire is an endpoint's: penstock endpoint list",
        )

    def expect(self, endpoints: frozenset[str]) -> None:
        """Say which endpoints exist; one that is served and not among them ends."""
        self._pending = endpoints
        with self._lock:
            gone = self._served.keys() - endpoints
            if gone:
                kept = {name: one for name, one in self._served.items() if name not in gone}
                self._served = MappingProxyType(kept)
            for name in gone:
                self._before.pop(name, None)

    def apply(self, revision: Revision) -> ServedRevision:
        """Load what a revision needs, prove it and serve it from now on; all or nothing.

        Raises:
            PenstockError: a model cannot be had, does not load or fails its self-test. What was served
                before is served further.
        """
        with self._lock:
            models = {version: self._model(revision.model, version) for version in revision.versions}
            new = ServedRevision(revision, models)
            old = self._served.get(revision.endpoint)
            check_compatible(new)
            if old is not None:
                self._before[revision.endpoint] = old
            self._served = MappingProxyType({**self._served, revision.endpoint: new})
            return new

    def _model(self, name: str, version: int) -> LoadedModel:
        files = self._fetch(name, version)
        key = f"{name}/{version}@{files.digest}"
        found = self._loaded.get(key)
        if found is None:
            found = LoadedModel(files, self._load(files))
            prove(found, files)
            self._loaded[key] = found
        return found


def check_compatible(new: ServedRevision) -> None:
    """Check that every model of a revision can answer what clients send to its stable one.

    Raises:
        Invalid: a canary or shadow requires an input that the stable version does not have.
    """
    for model in new.models.values():
        check_inputs(f"{model.name} version {model.version}", model.signature, new.stable.signature)


def check_inputs(name: str, candidate: Signature, stable: Signature) -> None:
    """Check that requests made for one model carry what another requires.

    Raises:
        Invalid: `candidate` requires a column that `stable` does not have.
    """
    known = {column.name for column in stable.inputs}
    lacking = [column.name for column in candidate.inputs if column.required and column.name not in known]
    if lacking:
        raise Invalid(
            f"{name} requires {', '.join(lacking)}, which requests for the stable version do not carry",
            code="serving.signature_mismatch",
            hint="make the column optional, or deploy the version to its own endpoint",
        )


def prove(model: LoadedModel, files: ModelFiles) -> None:
    """Let a model predict its example rows, or one row of zeros.

    A model with text inputs and no example is not asked: an empty text may rightly be unknown to it.

    Raises:
        Invalid: it raises, or its outputs are not one finite value a row (`serving.self_test_failed`).
    """
    columns = _example(files)
    if columns is None:
        return
    row_count = len(next(iter(columns.values())))
    try:
        model.predictor.predict(columns, row_count)  # the first call also pays for lazy imports
        outputs = model.predict(columns, row_count)
    except Exception as error:  # a model's own code may raise anything
        raise _failed(files, f"{type(error).__name__}: {error}") from error
    for column in files.signature.outputs:
        values = outputs.get(column.name)
        if values is None or values.shape != (row_count,):
            raise _failed(files, f"output {column.name!r} is not one value a row")
        if values.dtype.kind == "f" and not np.isfinite(values).all():
            raise _failed(files, f"output {column.name!r} is not finite")


def _failed(files: ModelFiles, reason: str) -> Invalid:
    return Invalid(
        f"{files.name} version {files.version} failed its self-test: {reason}",
        code="serving.self_test_failed",
        hint="predict the same rows where the model was trained",
        model=files.name,
        version=files.version,
    )


def _example(files: ModelFiles) -> Columns | None:
    if files.example:
        known = {column.name: column.datatype for column in files.signature.inputs}
        return {
            name: _column(values, known[name]) for name, values in files.example.items() if name in known
        } or None
    if any(column.datatype == "BYTES" for column in files.signature.inputs):
        return None
    return {column.name: np.zeros(1, numpy_dtype(column.datatype)) for column in files.signature.inputs}


def _column(values: list[object], datatype: str) -> Array:
    if datatype == "BYTES":
        texts = np.empty(len(values), dtype=object)
        texts[:] = values
        return texts
    return np.array([np.nan if value is None else value for value in values]).astype(numpy_dtype(datatype))
