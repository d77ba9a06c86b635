"""A user's own function, watched: what is recorded of each kind, and that it does the same as before."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest

import penstock
from flows.production.endpoints import World
from patience import PATIENCE_S
from penstock.base.errors import Invalid, NotFound
from penstock.flows.chain.lineage import explain
from penstock.flows.production.live.ingesting import Ingest
from penstock.serving.predictions.ids import parse_prediction_id
from penstock.serving.recorder import Label
from penstock.watching.engine import Engine
from watching.seen import count, kept, wait_until, whole, windows_of

ROW = {"hour": 7, "wind": 10.5, "carrier": "AA"}
AS_ROW = {"hour": [7], "wind": [10.5], "carrier": ["AA"]}


def known(engine: Engine) -> None:
    """Wait until it is known which version is wanted."""
    wait_until(lambda: all(one.standing.endpoint_id for one in engine.watched.values()))


def test_each_kind_of_function_does_what_it_did_and_is_recorded(world: World, engine: Engine) -> None:
    watch = penstock.watch(endpoint="delay", model="m/1")
    known(engine)

    @watch
    def plain(features: dict[str, Any], *, shift: int = 0) -> float:
        """Say how late."""
        return features["wind"] + shift

    @watch
    async def later(features: dict[str, Any]) -> float:
        await asyncio.sleep(0)
        return float(features["wind"])

    @watch
    def stream(features: dict[str, Any]) -> Iterator[float]:
        got = yield 1.0
        yield float(got or 2.0)

    @watch
    async def stream_later(features: dict[str, Any]) -> AsyncIterator[str]:
        for word in ("late", "r"):
            yield word

    class Model:
        @watch
        def predict(self, features: dict[str, Any]) -> float:
            return 3.0

    async def read() -> list[str]:
        return [word async for word in stream_later(ROW)]

    async def ask() -> tuple[float, str | None]:
        return await later(ROW), penstock.last_prediction_id()

    found: dict[str, tuple[Any, str | None]] = {}
    found["plain"] = (plain(ROW, shift=1), penstock.last_prediction_id())
    found["async"] = asyncio.run(ask())
    flow = stream(ROW)
    found["stream"] = ([next(flow), flow.send(5.0)], penstock.last_prediction_id())
    with pytest.raises(StopIteration):
        next(flow)
    asyncio.run(read())
    found["method"] = (Model().predict(ROW), penstock.last_prediction_id())
    with watch as call:
        call.inputs, call.outputs = ROW, {"probability": 0.25}
    found["with"] = (0.25, call.prediction_id)
    assert plain.__doc__ == "Say how late."
    assert engine.drain(PATIENCE_S)
    assert count(world) == 6
    assert {name: value for name, (value, _) in found.items()} == {
        "plain": 11.5, "async": 10.5, "stream": [1.0, 5.0], "method": 3.0, "with": 0.25,
    }  # fmt: skip
    answers = {name: kept(world, identity) for name, (_, identity) in found.items()}
    assert all(features == AS_ROW for features, _ in answers.values())
    assert answers["plain"][1] == {"prediction": [11.5]}
    assert answers["stream"][1] == {"prediction": [[1.0, 5.0]]}
    assert answers["with"][1] == {"probability": [0.25]}
    assert {one.key.route for one in windows_of(world)} == {"stable"}


def test_async_with_records_a_call_as_with_does(world: World, engine: Engine) -> None:
    known(engine)

    async def serve() -> str:
        async with penstock.watch(endpoint="delay", model="m/1") as call:
            call.inputs = {"wind": 3.0}
            await asyncio.sleep(0)
            call.outputs = 0.5
        with pytest.raises(ZeroDivisionError):
            async with penstock.watch(endpoint="delay", model="m/1"):
                raise ZeroDivisionError
        return call.prediction_id

    identity = asyncio.run(serve())
    assert len(identity) == 31
    assert engine.drain(PATIENCE_S)
    found = whole(world)
    assert (found.request_count, found.error_count, found.features.row_count) == (2, 1, 2)


def test_a_stream_that_is_cancelled_has_answered_what_it_gave(world: World, engine: Engine) -> None:
    """As a server does whose client leaves: the task is cancelled while it waits for the next item."""

    @penstock.watch(endpoint="delay", model="m/1")
    async def stream(hour: int, given: int) -> AsyncIterator[str]:
        for _ in range(given):
            yield "word "
        await asyncio.sleep(3600)
        yield "never"

    @penstock.watch(endpoint="delay", model="m/1")
    def stubborn() -> Iterator[int]:
        try:
            yield 1
        finally:
            raise RuntimeError("it does not close")

    async def read(given: int) -> None:
        async for _ in stream(7, given):
            pass

    async def leave() -> None:
        for given in (2, 0):
            task = asyncio.create_task(read(given))
            for _ in range(20):
                await asyncio.sleep(0)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task

    known(engine)
    asyncio.run(leave())
    reading = stubborn()
    assert next(reading) == 1
    with pytest.raises(RuntimeError, match="does not close"):
        reading.close()
    assert engine.drain(PATIENCE_S)
    assert engine.counts.requests == {("delay", "ok"): 2, ("delay", "error"): 1}
    found = whole(world)
    assert (found.request_count, found.error_count, found.outputs.row_count) == (3, 1, 2)


def test_calls_that_are_cancelled_or_ended_by_the_process_have_failed(world: World, engine: Engine) -> None:
    @penstock.watch(endpoint="delay", model="m/1")
    async def later(features: dict[str, Any]) -> float:
        await asyncio.sleep(features["wind"])
        return 1.0

    @penstock.watch(endpoint="delay", model="m/1")
    def plain(error: type[BaseException]) -> float:
        raise error

    @penstock.watch(endpoint="delay", model="m/1")
    def stream() -> Iterator[int]:
        yield 1

    async def ask() -> None:
        for wind in (0.0, 3600.0, 3600.0):
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(later({"wind": wind}), 0.05 if wind else None)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(0.05), penstock.watch(endpoint="delay", model="m/1") as call:
                call.inputs = {"wind": 1.0}
                await asyncio.sleep(3600)

    known(engine)
    asyncio.run(ask())
    for error in (KeyboardInterrupt, SystemExit):
        with pytest.raises(error):
            plain(error)
    stream().close()
    unread = stream()
    next(unread)
    unread.close()
    assert engine.drain(PATIENCE_S)
    assert engine.counts.requests == {("delay", "ok"): 2, ("delay", "error"): 5}
    found = whole(world)
    assert (found.request_count, found.error_count) == (7, 5)
    assert found.latency.count == 7


def test_what_a_function_raises_is_raised_and_counted_as_what_it_is(world: World, engine: Engine) -> None:
    @penstock.watch(endpoint="delay", model="m/1", invalid=KeyError)
    def infer(features: dict[str, Any]) -> float:
        if features["wind"] > 1:
            raise ValueError("the model fails")
        raise KeyboardInterrupt if features["wind"] < 0 else KeyError("asked wrongly")

    @penstock.watch(endpoint="delay", model="m/1")
    def stream() -> Iterator[int]:
        yield 1
        raise RuntimeError("half-way")

    known(engine)
    for wind, error in ((2, ValueError), (1, KeyError), (-1, KeyboardInterrupt)):
        with pytest.raises(error):
            infer({"wind": wind})
    with pytest.raises(RuntimeError, match="half-way"):
        list(stream())
    assert engine.drain(PATIENCE_S)
    found = whole(world)
    assert (found.request_count, found.error_count) == (3, 3)
    assert engine.counts.requests == {("delay", "error"): 3, ("delay", "invalid"): 1}


def test_arguments_and_results_of_every_form_become_the_same_columns(world: World, engine: Engine) -> None:
    @dataclasses.dataclass
    class Flight:
        hour: int
        wind: float
        carrier: str

    forms: list[Any] = [
        ROW, [ROW], pl.DataFrame([ROW]), pd.DataFrame([ROW]), Flight(**ROW),
        {name: np.array([value])[0] for name, value in ROW.items()}, {name: [one] for name, one in ROW.items()},
    ]  # fmt: skip
    results: list[Any] = [0.5, [0.5], np.array([0.5]), np.float32(0.5), pl.Series([0.5]), pd.Series([0.5])]
    results += [{"prediction": 0.5}]
    answer: Any = None
    infer: Callable[..., Any] = penstock.watch(endpoint="delay", model="m/1")(lambda features: answer)
    named: Callable[..., Any] = penstock.watch(endpoint="delay", model="m/1")(lambda hour, wind, carrier: 0.5)
    picked: Callable[..., Any] = penstock.watch(
        endpoint="delay", model="m/1", inputs=lambda request, _: request["body"], outputs=lambda one: one[0]
    )(lambda request, other: ({"prediction": 0.5}, "unused"))
    known(engine)
    ids: list[str | None] = []
    for form, result in zip(forms, results, strict=True):
        answer = result
        infer(form)
        ids.append(penstock.last_prediction_id())
    named(7, 10.5, carrier="AA")
    ids.append(penstock.last_prediction_id())
    picked({"body": ROW}, ROW)
    ids.append(penstock.last_prediction_id())
    table = np.arange(6.0).reshape(3, 2)
    answer = np.array([1, 0, 1])
    infer(table)
    many = penstock.last_prediction_id()
    assert engine.drain(PATIENCE_S)
    for identity in ids:
        assert kept(world, identity) == (AS_ROW, {"prediction": [0.5]})
    assert kept(world, many) == ({"input": table.tolist()}, {"prediction": [1, 0, 1]})


def test_what_is_changed_after_the_call_is_not_what_is_recorded(world: World, engine: Engine) -> None:
    row, array, nested = dict(ROW), np.ones((1, 2)), {"a": [1.0, 2.0], "b": "x"}

    @penstock.watch(endpoint="delay", model="m/1")
    def infer(features: Any) -> dict[str, Any]:
        return answer

    known(engine)
    ids = []
    for one in (row, array, nested):
        answer = {"prediction": 1}
        infer(one)
        ids.append(penstock.last_prediction_id())
        answer["prediction"] = 9
    row["hour"], array[0, 0], nested["a"][0] = 99, 99, 99  # type: ignore[index]
    assert engine.drain(PATIENCE_S)
    found = [kept(world, identity) for identity in ids]
    assert [outputs for _, outputs in found] == [{"prediction": [1]}] * 3
    assert found[0][0] == AS_ROW
    assert found[1][0] == {"input": [[1.0, 1.0]]}
    assert found[2][0] == {"a": [[1.0, 2.0]], "b": ["x"]}


def test_nothing_of_ours_reaches_the_service(
    world: World, engine: Engine, caplog: pytest.LogCaptureFixture
) -> None:
    class Odd:
        def __str__(self) -> str:
            raise RuntimeError("not even a text")

        __repr__ = __str__

    def fail(*_: Any) -> Any:
        raise RuntimeError("the hook is wrong")

    infer: Callable[..., Any] = penstock.watch(endpoint="delay", model="m/1")(lambda value: value)
    hooked = penstock.watch(endpoint="delay", model="m/1", inputs=fail, outputs=fail)(lambda value: value)
    known(engine)
    odd: list[Any] = [
        Odd(),
        {"a": Odd()},
        {1: 2, "x": 1 << 80},
        object,
        b"\xff",
        {"t": float("nan")},
        set(),
        None,
    ]
    for value in odd:
        assert infer(value) is value
    assert hooked(3) == 3
    assert engine.drain(PATIENCE_S)
    assert count(world) == len(odd) + 1
    assert "the hook is wrong" in caplog.text
    wrongs: list[dict[str, Any]] = [{"endpoint": "a/b"}, {"endpoint": "delay", "on_revision": 3}]
    wrongs += [{"endpoint": "delay", "model": model} for model in ("m", "m/", "m/one", "@champion", "")]
    for wrong in wrongs:
        with pytest.raises(Invalid):
            penstock.watch(**wrong)


def test_prediction_ids_are_the_threads_own_and_labels_find_them(world: World, engine: Engine) -> None:
    infer: Callable[..., Any] = penstock.watch(endpoint="delay", model="m/1")(
        lambda hour: {"prediction": int(hour > 5)}
    )
    known(engine)
    ids: dict[int, str | None] = {}

    def ask(hour: int) -> None:
        infer(hour)
        ids[hour] = penstock.last_prediction_id()

    threads = [threading.Thread(target=ask, args=(hour,)) for hour in range(8)]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    assert engine.drain(PATIENCE_S)
    assert len(set(ids.values())) == 8
    labels = [Label(parse_prediction_id(str(one)), str(one), [1]) for one in ids.values()]
    assert Ingest(world.project).add_labels("delay", labels).accepted == 8
    assert whole(world).quality.label_count == 8
    assert explain(world.project, str(ids[3])).version == "m/1"


def test_a_call_before_the_store_was_reached_is_found_by_its_id_all_the_same(
    world: World, engine: Engine, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    follow = Engine.follow
    monkeypatch.setattr(Engine, "follow", lambda _self: None)
    infer: Callable[..., Any] = penstock.watch(endpoint="delay", model="m@champion")(lambda hour: 1)
    world.alias(1)
    infer(3)
    identity = str(penstock.last_prediction_id())
    assert engine.drain(PATIENCE_S)
    assert explain(world.project, identity).version == "m/1"
    assert (
        Ingest(world.project)
        .add_labels("delay", [Label(parse_prediction_id(identity), identity, [1])])
        .accepted
        == 1
    )
    follow(engine)
    assert "calls of delay count for m/1, which m@champion means now" in caplog.text


def test_it_is_told_which_version_is_wanted(world: World, engine: Engine) -> None:
    assert penstock.current("delay").ref == "m/1"
    with pytest.raises(NotFound):
        penstock.current("elsewhere")
    penstock.watch(endpoint="delay")
    known(engine)
    world.deploy(2)
    wait_until(lambda: penstock.current("delay").version == 2)
    assert penstock.current("delay").uri == "models:/m/2"
