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
from contextlib import suppress
from functools import cached_property
from types import MappingProxyType
from typing import Any, Protocol

import msgspec
import numpy as np

from penstock.base.errors import Invalid, NotFound, PenstockError, Unavailable, described
from penstock.records.flavours import IMPORTS
from penstock.records.signature import VECTOR, Column, Signature
from penstock.serving.cost import Cost
from penstock.serving.deployments import Revision
from penstock.serving.ending.underway import Underway
from penstock.serving.loaders import load_model, naming
from penstock.serving.loaders.fed import example_columns, row_count_of
from penstock.serving.loaders.model import Array, Columns, ModelFiles, Predictor
from penstock.serving.matching import check_inputs
from penstock.serving.predictions.ids import Route
from penstock.serving.traffic import Rule

PROVEN_ROWS = 8
"""Example rows that a model must predict alone as it does together."""


class LoadedModel:
    """A model in memory, and what its predictions were seen to cost.

    `is_bounded` says that it runs no code but a library's own, so that a prediction cannot hang; `is_batchable`
    that it was seen to give each row the same outputs alone and among others.
    """

    def __init__(self, files: ModelFiles, predictor: Predictor) -> None:
        self.name = files.name
        self.version = files.version
        self.digest = files.digest
        self.flavour = files.flavour
        self.signature: Signature = predictor.signature
        self.predictor = predictor
        self.classes: tuple[Any, ...] | None = getattr(predictor, "classes", None)
        self.parameters: Mapping[str, Callable[[Any], Any]] = getattr(predictor, "parameters", {})
        self.cost = Cost()
        self.example_rows = files.example
        self.load_s = 0.0
        """What loading and proving it took."""
        self.is_bounded = bool(getattr(predictor, "is_bounded", False))
        self.is_batchable = False
        self.lanes: dict[tuple[int, str, bool], Any] = {}
        """Where its predictions wait; the engine's alone."""

    def predict(self, columns: Columns, row_count: int) -> dict[str, Array]:
        """Predict as the predictor does, and measure what it costs."""
        started_s = time.perf_counter()
        outputs = self.predictor.predict(columns, row_count)
        self.cost.add(row_count, time.perf_counter() - started_s)
        return outputs


class ServedRevision(msgspec.Struct, frozen=True, dict=True):
    """A revision with its models loaded, by version number; those that rules name are among them.

    `left_out` are versions of it that are not loaded now, with their inputs: what they would get the stable one answers.
    `lacking` says why those of them are that only rules name, and that cannot be had, loaded or asked.
    """

    revision: Revision
    models: dict[int, LoadedModel]
    rules: tuple[Rule, ...] = ()
    left_out: Mapping[int, frozenset[str]] = MappingProxyType({})
    lacking: Mapping[int, PenstockError] = MappingProxyType({})

    def foreign_inputs(self, model: LoadedModel) -> frozenset[str]:
        """Return the inputs that only other models of the revision take."""
        return self._foreign_inputs[model.version]

    @cached_property
    def _foreign_inputs(self) -> dict[int, frozenset[str]]:
        own = {
            version: frozenset(column.name for column in model.signature.inputs)
            for version, model in self.models.items()
        }
        known = frozenset[str]().union(*own.values(), *self.left_out.values())
        return {version: known - names for version, names in own.items()}

    def foreign_parameters(self, model: LoadedModel) -> frozenset[str]:
        """Return the parameters that only other models of the revision take."""
        known = {name for one in self.models.values() for name in one.parameters}
        return frozenset(known - model.parameters.keys())

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


class Lifecycle(Protocol):
    """Who takes over an endpoint's current revision, and ends serving it, on demand."""

    def load(self, endpoint: str) -> None:
        """Load it now.

        Raises:
            NotFound: no such endpoint.
            PenstockError: its model cannot be had, does not load or fails its self-test.
        """
        ...

    def unload(self, endpoint: str) -> None:
        """Serve it no further until it is loaded again.

        Raises:
            NotFound: no such endpoint.
        """
        ...


class ModelRepository:
    """Every endpoint's served revision. Reading is lock-free; one thread at a time applies."""

    def __init__(self, fetch: Fetch, load: Callable[[ModelFiles], Predictor] = load_model) -> None:
        self.fetch = fetch
        self.underway = Underway(None)
        self._load = load
        self._loaded: weakref.WeakValueDictionary[str, LoadedModel] = weakref.WeakValueDictionary()
        self._served: Mapping[str, ServedRevision] = MappingProxyType({})
        self._before: dict[str, ServedRevision] = {}
        self._pending: frozenset[str] = frozenset()
        self.current: Mapping[str, Revision] = MappingProxyType({})
        """What is deployed at every endpoint, as far as that is known; a snapshot."""
        self.withheld: frozenset[str] = frozenset()
        """Endpoints that are not served, since somebody unloaded them."""
        self._lock = threading.Lock()
        self._loading: dict[str, threading.Lock] = {}

    @property
    def served(self) -> Mapping[str, ServedRevision]:
        """What every endpoint serves now; a snapshot."""
        return self._served

    @property
    def pending(self) -> frozenset[str]:
        """The endpoints that exist but have never had a revision that loads."""
        return self._pending - self._served.keys() - self.withheld

    def get(self, endpoint: str) -> ServedRevision:
        """Return what an endpoint serves.

        Raises:
            NotFound: no such endpoint.
            Unavailable: its model is not loaded yet.
        """
        found = self._served.get(endpoint)
        if found is not None:
            return found
        if endpoint in self.withheld:
            raise Unavailable(
                f"endpoint {endpoint} was unloaded",
                code="serving.unloaded",
                hint=f"POST /v2/repository/models/{endpoint}/load",
            )
        if endpoint in self._pending:
            raise Unavailable(
                f"endpoint {endpoint} is not ready: its model is not loaded", code="serving.not_ready"
            )
        raise _unknown(endpoint)

    def revision_of(self, endpoint: str) -> Revision:
        """Return the revision of an endpoint, also while its models are not loaded or were unloaded.

        Raises:
            NotFound: no such endpoint.
            Unavailable: what is deployed there is not known yet.
        """
        served = self._served.get(endpoint)
        current = self.current.get(endpoint)
        if served is None and current is not None:
            return current
        return self.get(endpoint).revision

    def withhold(self, endpoint: str) -> None:
        """Serve an endpoint no further until `allow`.

        Raises:
            NotFound: no such endpoint.
        """
        with self._lock:
            self._require(endpoint)
            self.withheld |= {endpoint}
            self._served = MappingProxyType(
                {name: one for name, one in self._served.items() if name != endpoint}
            )
            self._before.pop(endpoint, None)

    def allow(self, endpoint: str) -> None:
        """Let an endpoint be served again.

        Raises:
            NotFound: no such endpoint.
        """
        with self._lock:
            self._require(endpoint)
            self.withheld -= {endpoint}

    def _require(self, endpoint: str) -> None:
        if endpoint not in self._pending and endpoint not in self._served:
            raise _unknown(endpoint)

    def expect(self, endpoints: frozenset[str], current: Mapping[str, Revision] | None = None) -> None:
        """Say which endpoints exist, and what is deployed there; one that is served and not among them ends."""
        self.current = MappingProxyType(dict(current or {}))
        self._pending = endpoints
        with self._lock:
            self.withheld &= endpoints
            gone = self._served.keys() - endpoints
            if gone:
                kept = {name: one for name, one in self._served.items() if name not in gone}
                self._served = MappingProxyType(kept)
            for name in gone:
                self._before.pop(name, None)

    def apply(
        self, revision: Revision, rules: tuple[Rule, ...] = (), without: frozenset[int] = frozenset()
    ) -> ServedRevision:
        """Load what a revision needs, prove it and serve it from now on; all or nothing but `without` and what only rules name.

        Raises:
            PenstockError: a model of the revision cannot be had, does not load, fails its self-test or requires an input
                that the stable version does not have. What was served before is served further.
        """
        models: dict[int, LoadedModel] = {}
        left_out: dict[int, frozenset[str]] = {}
        lacking: dict[int, PenstockError] = {}
        for version in dict.fromkeys((*revision.versions, *(rule.version for rule in rules))):
            try:
                with naming(version):
                    if version in without:
                        left_out[version] = self._inputs_of(revision.model, version)
                        continue
                    with self.underway.loading(revision.endpoint, version):
                        model = self.load_version(revision.model, version)
                    stable = models.get(revision.stable, model).signature
                    check_inputs(f"{model.name} version {version}", model.signature, stable)
                    models[version] = model
            except PenstockError as error:
                if version in revision.versions:
                    raise
                # without its traceback, which would keep what was served before in memory
                lacking[version] = PenstockError(error.message, code=error.code, hint=error.hint)
                left_out[version] = frozenset()
                with suppress(Exception):  # what cannot be had has no inputs that anybody knows
                    left_out[version] = self._inputs_of(revision.model, version)
        new = ServedRevision(revision, models, rules, left_out, lacking)
        with self._lock:
            old = self._served.get(revision.endpoint)
            if revision.endpoint in self.withheld:
                return new
            if old is not None and _is_newer(old.revision, revision):
                return old  # its models took so long that another one was taken over meanwhile
            if old is not None and old.revision != revision:
                self._before[revision.endpoint] = old
            self._served = MappingProxyType({**self._served, revision.endpoint: new})
            return new

    def _inputs_of(self, model: str, version: int) -> frozenset[str]:
        return frozenset(column.name for column in self.fetch(model, version).signature.inputs)

    def load_version(self, name: str, version: int) -> LoadedModel:
        """Return a version in memory, loaded and proved where it is not; nothing serves it by that.

        Raises:
            PenstockError: it cannot be had, does not load or fails its self-test.
        """
        files = self.fetch(name, version)
        key = f"{name}/{version}@{files.digest}"
        with self._lock:
            alone = self._loading.setdefault(key, threading.Lock())
        with (
            alone
        ):  # endpoints share a model, and one that never ends to load holds up only those that want it
            found = self._loaded.get(key)
            if found is None:
                started_s = time.perf_counter()
                found = LoadedModel(files, self._load(files))
                prove(found, files)
                found.load_s = time.perf_counter() - started_s
                self._loaded[key] = found
            return found


def _is_newer(one: Revision, other: Revision) -> bool:
    """Whether one came after another; in a store that was put back, a lower number may be the later decision."""
    if one.endpoint_id != other.endpoint_id or one.number <= other.number:
        return False
    return one.created_ms >= other.created_ms


def _unknown(endpoint: str) -> NotFound:
    return NotFound(
        f"there is no endpoint {endpoint[:128]!r}",
        code="serving.endpoint_unknown",
        hint="a model's name on the wire is an endpoint's: penstock endpoint list",
    )


def prove(model: LoadedModel, files: ModelFiles) -> None:
    """Let a model predict its example rows, or one row of zeros.

    A model with text inputs and no example is not asked: an empty text may rightly be unknown to it.

    Raises:
        Invalid: it raises, or its outputs are not one value a row, which may be NaN (`serving.self_test_failed`).
    """
    columns = example_columns(model.signature, files.example)
    if columns is None:
        return
    row_count = row_count_of(model.signature, columns)
    try:
        with IMPORTS.held():
            model.predictor.predict(columns, row_count)  # the first call also pays for lazy imports
        outputs = model.predict(columns, row_count)
    except (Exception, SystemExit) as error:  # a model's own code may raise anything
        raise _failed(files, described(error)) from error
    for column in model.signature.outputs:
        values = outputs.get(column.name)
        if values is None or not _has_shape(values, column, row_count):
            what = "one value a row" if column.shape == VECTOR else f"of the shape {list(column.shape)}"
            raise _failed(files, f"output {column.name!r} is not {what}")
    model.is_batchable = _gives_rows_alone(model, columns, row_count, outputs)


def _gives_rows_alone(model: LoadedModel, columns: Columns, row_count: int, outputs: Columns) -> bool:
    """Whether rows predicted together get what each gets alone: only then may requests be merged."""
    try:
        if row_count < 2:
            columns = {name: np.concatenate([values, values]) for name, values in columns.items()}
            row_count = 2
            outputs = model.predict(columns, row_count)
        for row in range(min(row_count, PROVEN_ROWS)):
            alone = model.predict({name: values[row : row + 1] for name, values in columns.items()}, 1)
            if not all(_are_equal(outputs[name][row : row + 1], alone[name]) for name in alone):
                return False
    except (Exception, SystemExit):  # noqa: BLE001 - what a model's own code raises here only says that it is not to be merged
        return False
    return True


def _are_equal(one: Array, other: Array) -> bool:
    if one.dtype.kind == "f":
        return one.shape == other.shape and bool(
            np.allclose(one, other, rtol=1e-5, atol=1e-8, equal_nan=True)
        )
    return bool(np.array_equal(one, other))


def _failed(files: ModelFiles, reason: str) -> Invalid:
    return Invalid(
        f"{files.name} version {files.version} failed its self-test: {reason}",
        code="serving.self_test_failed",
        hint="predict the same rows where the model was trained",
        model=files.name,
        version=files.version,
    )


def _has_shape(values: Array, column: Column, row_count: int) -> bool:
    if values.ndim != len(column.shape):
        return False
    wanted = (row_count if column.shape[0] == -1 else column.shape[0], *column.shape[1:])
    return all(expected in (-1, size) for size, expected in zip(values.shape, wanted, strict=True))
