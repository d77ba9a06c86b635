"""Pages of searches: put together they are the whole answer, in every order, whatever comes in between."""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import pytest
import sqlalchemy as sa

from penstock.base.errors import Invalid
from penstock.base.store.database import Database
from penstock.http.mlflow.paging import after_of, encode_token, page_behind
from penstock.records.search.grammar import parse_order_field
from penstock.records.search.keyset import Cursor
from penstock.registry import search as registry
from penstock.registry.entities import Manifest, ModelVersion, Provenance
from penstock.registry.versions import add_version
from penstock.tracking import logged_models, runs
from penstock.tracking import search as search_module
from penstock.tracking.entities import LoggedModel, MetricPoint, Run
from penstock.tracking.experiments import create_experiment, ensure_experiment
from penstock.tracking.metrics import RunReference, log_points
from penstock.tracking.model_search import DatasetName, ModelOrder, ModelSearch, model_cursor, search_models
from penstock.tracking.search import (
    ExperimentSearch,
    RunSearch,
    View,
    experiment_cursor,
    run_cursor,
    search_experiments,
    search_runs,
)
from tables import table

RUN_ORDERS: list[list[str]] = [
    [],
    *(
        [f"{key} {direction}"]
        for key, direction in itertools.product(
            (
                "metrics.m",
                "params.p",
                "tags.t",
                "start_time",
                "end_time",
                "status",
                "user_id",
                "artifact_uri",
            ),
            ("ASC", "DESC"),
        )
    ),
    ["params.p", "metrics.m DESC"],
    ["metrics.m DESC", "metrics.n", "end_time"],
    ["metrics.m", "start_time ASC", "run_name DESC"],
    ["tags.t DESC", "run_id DESC"],
]
VALUES = (0.1, 1.0, -3.5, 1e300, float("inf"), float("-inf"), float("nan"))


def add_run(connection: sa.Connection, dice: random.Random, experiment: int) -> str:
    def some(choices: Sequence[Any]) -> dict[str, Any]:
        return {"x": dice.choice(choices)} if dice.random() < 0.7 else {}

    run = Run(
        id=f"{dice.getrandbits(128):032x}",
        experiment="",
        name=dice.choice("ab"),
        status=dice.choice(["RUNNING", "FINISHED"]),
        start_ms=dice.randrange(3),
        end_ms=dice.choice([None, 1, 2]),
        user=dice.choice(["ada", ""]),
        tags=dict(zip("t", some("xyÜ").values(), strict=False)),
    )
    runs.start_run(connection, run, experiment)
    reference = RunReference(run.id, experiment)
    metrics = {"m": some(VALUES), "n": some(VALUES)}
    log_points(connection, reference, [MetricPoint(k, v["x"], 1) for k, v in metrics.items() if v])
    for value in some("123").values():
        runs.log_params(connection, run.id, {"p": value})
    return run.id


def walk(
    read: Callable[[Cursor | None], list[Any]],
    place_of: Callable[[Any], Cursor],
    size: int,
    between: Callable[[], None] = lambda: None,
) -> list[Any]:
    """Read page by page, as a client does that hands tokens back."""
    found: list[Any] = []
    token = ""
    while True:
        page = page_behind("found", read(after_of(token, ["o"])), size, ["o"], place_of)
        found += page.get("found", [])
        token = page.get("next_page_token", "")
        if not token:
            return found
        between()


@pytest.mark.parametrize(("count", "few"), [(1, 24), (2, 24), (2, 1)])
def test_pages_of_runs_are_the_whole_answer(
    either_store: Database, count: int, few: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(search_module, "FEW", few)  # whether experiments are asked one by one or as one
    dice = random.Random(7)
    with either_store.write() as connection:
        numbers = [ensure_experiment(connection, f"e{number}") for number in range(count)]
        for _ in range(60):
            add_run(connection, dice, dice.choice(numbers))
        runs.delete_run(connection, add_run(connection, dice, numbers[0]))
    with either_store.read() as connection:
        for order, view in itertools.product(RUN_ORDERS, (View.ACTIVE_ONLY, View.ALL)):
            wanted = RunSearch(numbers, order_by=order, view=view)
            whole = search_runs(connection, wanted)
            assert len(whole) == 60 + (view is View.ALL)
            pages = walk(
                lambda after, wanted=wanted: search_runs(connection, replace(wanted, after=after, limit=8)),
                lambda run_id, wanted=wanted: run_cursor(connection, wanted, run_id),
                7,
            )
            assert pages == whole, order


@pytest.mark.parametrize("order", [[], ["metrics.m DESC"], ["params.p ASC"]])
def test_what_comes_in_between_shifts_no_page(either_store: Database, order: list[str]) -> None:
    dice = random.Random(11)
    with either_store.write() as connection:
        number = ensure_experiment(connection, "e")
        for _ in range(30):
            add_run(connection, dice, number)
        wanted = RunSearch([number], order_by=order)
        before = search_runs(connection, wanted)
        pages = walk(
            lambda after: search_runs(connection, replace(wanted, after=after, limit=5)),
            lambda run_id: run_cursor(connection, wanted, run_id),
            4,
            lambda: [add_run(connection, dice, number) for _ in range(3)] and None,
        )
        assert [run_id for run_id in pages if run_id in set(before)] == before
        assert len(pages) == len(set(pages))


def test_pages_of_experiments_are_the_whole_answer(either_store: Database) -> None:
    with either_store.write() as connection:
        for number in range(20):
            create_experiment(connection, f"e{number % 7}-{number}")
        for order in (
            [],
            ["name"],
            ["name DESC"],
            ["creation_time"],
            ["last_update_time DESC"],
            ["experiment_id"],
        ):
            wanted = ExperimentSearch(order_by=order)
            whole = search_experiments(connection, wanted)
            pages = walk(
                lambda after, wanted=wanted: search_experiments(
                    connection, replace(wanted, after=after, limit=4)
                ),
                lambda one, wanted=wanted: experiment_cursor(connection, wanted, one.id),
                3,
            )
            assert pages == whole


def test_pages_of_logged_models_are_the_whole_answer(either_store: Database) -> None:
    dice = random.Random(3)
    with either_store.write() as connection:
        number = ensure_experiment(connection, "e")
        run_id = add_run(connection, dice, number)
        for _ in range(30):
            model = LoggedModel(
                id=logged_models.new_model_id(),
                experiment_id=number,
                name=dice.choice("ab"),
                status=logged_models.READY,
                created_ms=dice.randrange(3),
                updated_ms=5,
                model_type=dice.choice([None, "tree"]),
            )
            logged_models.create_model(connection, model)
            if dice.random() < 0.7:
                point = MetricPoint("m", dice.choice(VALUES), 1, 1, model.id, "d", "1")
                log_points(connection, RunReference(run_id, number), [point])
        orders = [
            (),
            *(
                (ModelOrder(parse_order_field(name, ascending), dataset),)
                for name in ("name", "model_type", "metrics.m", "creation_timestamp")
                for ascending in (True, False)
                for dataset in ([None, DatasetName("d")] if name == "metrics.m" else [None])
            ),
        ]
        for order in orders:
            wanted = ModelSearch([number], order=order, limit=1000)
            whole = search_models(connection, wanted)
            pages = walk(
                lambda after, wanted=wanted: search_models(connection, replace(wanted, after=after, limit=5)),
                lambda model, wanted=wanted: model_cursor(connection, wanted, model.id),
                4,
            )
            assert [model.id for model in pages] == [model.id for model in whole]
            assert len(pages) == 30


def test_pages_of_the_registry_are_the_whole_answer(either_store: Database) -> None:
    with either_store.write() as connection:
        for number in range(24):
            draft = ModelVersion(
                model=f"m{number % 5}ü",
                number=0,
                digest=f"{number:064x}",
                created_ms=0,
                actor="me",
                path="p",
                manifest=Manifest(()),
                provenance=Provenance(),
            )
            add_version(connection, draft)
        for order in ([], ["name DESC"], ["last_updated_timestamp DESC"]):
            wanted = registry.RegistrySearch("", order, 1000)
            pages = walk(
                lambda after, wanted=wanted: registry.search_models(
                    connection, replace(wanted, after=after, limit=3)
                ),
                lambda name, wanted=wanted: registry.model_cursor(connection, wanted, name),
                2,
            )
            assert pages == registry.search_models(connection, wanted)
            assert len(pages) == 5
        for order in ([], ["name DESC"], ["version_number"], ["creation_timestamp DESC", "name"]):
            wanted = registry.RegistrySearch("", order, 1000)
            cards = walk(
                lambda after, wanted=wanted: registry.search_versions(
                    connection, replace(wanted, after=after, limit=6)
                ),
                lambda card, wanted=wanted: registry.version_cursor(connection, wanted, card),
                5,
            )
            assert cards == registry.search_versions(connection, wanted)
            assert len(cards) == 24


FORGED: list[Any] = [
    [],
    [1],
    ["x", "y"],
    [1, 2],
    [None, None],
    [True, "y"],
    [2**70, "y"],
    [1, "a\\u0000b"],
    [1, "y", 3],
    [1.5, "y"],
]


@table("place", FORGED, ids=str)
def test_a_forged_place_is_refused(either_store: Database, place: Cursor) -> None:
    with either_store.write() as connection:
        number = ensure_experiment(connection, "e")
        refused = 0
        for order in ([], ["metrics.m"]):
            try:
                search_runs(connection, RunSearch([number], order_by=order, after=place))
            except Invalid as error:
                refused += error.code == "request.bad_page_token"
        assert refused >= 1


def test_a_token_belongs_to_its_order() -> None:
    page = page_behind("found", ["a", "b"], 1, ["name"], lambda _item: ["a"])
    assert after_of(page["next_page_token"], ["name"]) == ["a"]
    for token in ("!!", "AAAA", encode_token({"offset": 5}), encode_token({"place": {}, "order": ""})):
        with pytest.raises(Invalid):
            after_of(token, ["name"])
    with pytest.raises(Invalid, match="another order_by"):
        after_of(page["next_page_token"], ["name DESC"])
