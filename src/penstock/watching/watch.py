"""`penstock.watch`, `current` and `last_prediction_id`: a user's own inference function, watched by an endpoint's policy.

At the call: a copy of arguments and result, the time between, and one append. Everything else happens in the
background (`watching/engine.py`), where failures are told in the log.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextvars import ContextVar
from pathlib import Path
from types import TracebackType
from typing import Any, TypeVar, cast

from penstock.base.errors import Invalid
from penstock.flows.production.deploying import check_endpoint_name
from penstock.registry.references import names_version
from penstock.serving.told.current import Current
from penstock.watching.asking import ask_current
from penstock.watching.calls import Mark, last
from penstock.watching.engine import find_engine, the_engine
from penstock.watching.exposing import expose
from penstock.watching.recording import NOTHING, Pick, Recording
from penstock.watching.watched import Hook
from penstock.watching.wrapping import wrap

F = TypeVar("F", bound=Callable[..., Any])


def watch(
    *,
    endpoint: str,
    model: str | None = None,
    on_revision: Hook | None = None,
    inputs: Pick | None = None,
    outputs: Pick | None = None,
    invalid: type[BaseException] | tuple[type[BaseException], ...] = (),
) -> Watch:
    """Watch an inference function of one's own, as decorator or context manager.

    Its calls become windows and predictions of the endpoint and are judged by the endpoint's policy, in the project
    of the working directory or on the server that `PENSTOCK_URI` names. A call never waits for either and never
    fails for it: what cannot be delivered waits on disk.

    Args:
        model: the version that the service has loaded, `NAME/3` or `NAME@alias`; without it, what the endpoint wants.
        on_revision: called with a `Current` in a background thread whenever the endpoint wants another version
            than the one that the service runs; when it returns, calls count for the new one.
        inputs: picks what was asked from the arguments; by default the first argument where it is a table
            (mapping, list, array, frame, object with fields), else all arguments by name.
        outputs: picks what was answered from the result; by default the result.
        invalid: exceptions by which the function says that it was asked wrongly; they are no failures of the model.

    Raises:
        Invalid: the endpoint cannot be called so, or an argument is of the wrong kind.

    Example:
        @penstock.watch(endpoint="delay", model="flight-delay/3", on_revision=load)
        def infer(features: dict[str, float]) -> dict[str, float]: ...
    """
    for name, text in (("endpoint", endpoint), ("model", model or "")):
        if not isinstance(text, str):
            raise Invalid(f"{name} is not a name: {text!r}", code="watch.bad_argument")
    check_endpoint_name(endpoint)
    if model is not None and not names_version(model):
        raise Invalid(
            f"model={model!r} names no version",
            code="watch.bad_argument",
            hint="write the version that is loaded, as NAME/3 or NAME@alias",
        )
    for name, given in (("on_revision", on_revision), ("inputs", inputs), ("outputs", outputs)):
        if given is not None and not callable(given):
            raise Invalid(f"{name} is not a function: {given!r}", code="watch.bad_argument")
    expose()
    engine = the_engine()
    watched = engine.add(endpoint, model, on_revision)
    refused = invalid if isinstance(invalid, tuple) else (invalid,)
    return Watch(Recording(watched, engine, inputs=inputs, outputs=outputs, invalid=refused))


class Watch:
    """What `watch` returns: decorates a function, or surrounds the lines that make a prediction."""

    def __init__(self, recording: Recording) -> None:
        self._recording = recording

    def __call__(self, function: F) -> F:
        """Return the function, watched; also an async one, a generator and an async generator."""
        return cast("F", wrap(self._recording, function))

    def __enter__(self) -> WatchedCall:
        """Begin a call; give what it returns its `inputs` and `outputs`."""
        call = WatchedCall(self._recording)
        _under_way.set((*_under_way.get(), call))
        return call

    def __exit__(
        self, _kind: type[BaseException] | None, error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        """Record it; what was raised goes on."""
        *before, call = _under_way.get()
        _under_way.set(tuple(before))
        call.end(error)

    async def __aenter__(self) -> WatchedCall:
        """Begin a call under `async with`, which waits for nothing here either."""
        return self.__enter__()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Record it; what was raised goes on."""
        self.__exit__(kind, error, trace)


class WatchedCall:
    """One call under `with penstock.watch(…) as call`.

    Give it `inputs` and `outputs`, and `version` where not every call is answered by the same.
    """

    def __init__(self, recording: Recording) -> None:
        self._recording, self._mark = recording, recording.begin()
        self._asked = NOTHING
        self.outputs: Any = None
        self._began = time.perf_counter()

    @property
    def inputs(self) -> Any:
        """What was asked, as it was when it was set."""
        return self._asked[0]

    @inputs.setter
    def inputs(self, value: Any) -> None:
        self._asked = self._recording.keep("its inputs", value)

    @property
    def version(self) -> int | None:
        """The version that answers this call; set it before `prediction_id` is asked for."""
        return self._mark.standing.version

    @version.setter
    def version(self, number: int) -> None:
        self._mark = Mark(self._recording.standing_of(number), self._mark.time_ms, self._mark.counter)
        last.set(self._mark)

    @property
    def prediction_id(self) -> str:
        """Its prediction id."""
        return self._mark.id

    def end(self, error: BaseException | None) -> None:
        """Record it."""
        latency_s = time.perf_counter() - self._began
        if error is None:
            self._recording.answer(self._mark, latency_s, self._asked, self.outputs)
        else:
            self._recording.fail(self._mark, latency_s, self._asked, error)


_under_way: ContextVar[tuple[WatchedCall, ...]] = ContextVar("penstock_calls_under_way", default=())


def last_prediction_id() -> str | None:
    """Return the prediction id of the newest watched call of this thread or task, or None; labels name it."""
    mark = last.get()
    return None if mark is None else mark.id


def current(endpoint: str) -> Current:
    """Return which version an endpoint wants now; of one that is watched here, as it was known half a second ago.

    Of another the store or server is asked, which is waited for three seconds at most. While it does not answer, what
    was told last in this process holds.

    Raises:
        NotFound: there is no such endpoint.
        NotARepository: there is neither a project here nor a server's address.
        Unavailable: the store or server does not answer, and has not told it yet.
    """
    check_endpoint_name(endpoint)
    engine = find_engine()
    known = None if engine is None else engine.find_current(endpoint)
    if known is not None:
        return known
    return ask_current(endpoint, Path.cwd())
