"""One watched function's calls: what is kept at the moment of a call. Nothing in here raises into the service."""

from __future__ import annotations

import inspect
import time
from collections.abc import Callable
from typing import Any

from penstock.watching.calls import Call, Mark, Standing, last, numbers
from penstock.watching.engine import Engine
from penstock.watching.keeping import SIMPLE, Kept, keep
from penstock.watching.watched import Watched

Pick = Callable[..., Any]
Ask = Callable[[tuple[Any, ...], dict[str, Any]], Kept]
OF_A_CALL = 500
"""What Python takes for a call beside its values, about, in bytes."""
NOTHING: Kept = (None, 0)


class Recording:
    """Takes calls for a watched endpoint.

    Args:
        inputs: picks what was asked from a call's arguments.
        outputs: picks what was answered from a call's result.
        invalid: exceptions that say that the caller asked for something wrong.
    """

    def __init__(
        self,
        watched: Watched,
        engine: Engine,
        *,
        inputs: Pick | None = None,
        outputs: Pick | None = None,
        invalid: tuple[type[BaseException], ...] = (),
    ) -> None:
        self.watched, self._engine = watched, engine
        self._inputs, self._outputs, self._invalid = inputs, outputs, invalid

    def begin(self) -> Mark:
        """Begin a call: from now on it is the last one of this thread or task."""
        if not self._engine.has_begun:
            self._engine.begin()
        mark = Mark(self.watched.standing, time.time_ns() // 1_000_000, next(numbers.counter))
        last.set(mark)
        return mark

    def answer(self, mark: Mark, latency_s: float, asked: Kept, result: Any) -> None:
        """Record a call that answered."""
        try:
            answered = keep(result if self._outputs is None else self._outputs(result))
        except Exception as error:  # noqa: BLE001 - the service goes on; it is told in the log
            self.watched.fault("its outputs", error)
            answered = NOTHING
        if last.get() is not mark:  # another one was watched within
            last.set(mark)
        call = Call(mark, latency_s, asked[0], answered[0], None, "ok")
        self.watched.calls.add(call, asked[1] + answered[1] + OF_A_CALL)

    def fail(self, mark: Mark, latency_s: float, asked: Kept, error: BaseException) -> None:
        """Record a call that did not answer: a failure, cancelled or not, the caller's mistake, or a stream that was closed."""
        outcome = "abandoned" if isinstance(error, GeneratorExit) else "error"
        if isinstance(error, self._invalid):
            outcome = "invalid"
        if last.get() is not mark:
            last.set(mark)
        kind = type(error).__name__ if outcome == "error" else None
        call = Call(mark, latency_s, asked[0], None, kind, outcome)
        self.watched.calls.add(call, asked[1] + OF_A_CALL)

    def keep(self, what: str, value: Any) -> Kept:
        """Return a copy of a value; of one that cannot be copied, nothing."""
        try:
            return keep(value)
        except Exception as error:  # noqa: BLE001 - the service goes on; it is told in the log
            self.watched.fault(what, error)
            return NOTHING

    def standing_of(self, version: int) -> Standing:
        """Return where a version stands that answered a single call."""
        return Standing.of(self.watched.current, version)

    def asks(self, function: Callable[..., Any]) -> Ask:
        """Return what takes from a call's arguments what it was asked.

        That is the first argument where it is a table or an object; else all arguments by their names.
        """
        names = _names_of(function)
        skipped = 1 if names[:1] in (["self"], ["cls"]) else 0
        pick, watched, named = self._inputs, self.watched, names[skipped:]

        def by_name(args: tuple[Any, ...], kwargs: dict[str, Any]) -> Kept:
            given = dict(zip(named, args[skipped:], strict=False)) | kwargs
            first = next(iter(given.values()), None)
            if type(first) in SIMPLE or isinstance(first, str):
                return keep(given)
            return keep(first)

        def ask(args: tuple[Any, ...], kwargs: dict[str, Any]) -> Kept:
            try:
                if pick is not None:
                    return keep(pick(*args, **kwargs))
                if len(args) > skipped and type(args[skipped]) is dict:
                    return keep(args[skipped])
                return by_name(args, kwargs)
            except Exception as error:  # noqa: BLE001 - the service goes on; it is told in the log
                watched.fault("its inputs", error)
                return NOTHING

        return ask


def _names_of(function: Callable[..., Any]) -> list[str]:
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):
        return []
    return [one.name for one in parameters if one.kind in (one.POSITIONAL_ONLY, one.POSITIONAL_OR_KEYWORD)]
