"""Filters of hundreds of comparisons are answered by both engines, and mean what short ones mean."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from penstock.base.errors import Invalid
from penstock.base.store.database import Database, connect
from penstock.base.store.migrate import upgrade
from penstock.registry.search import RegistrySearch, search_versions
from penstock.registry.search import search_models as search_registered
from penstock.tracking.entities import LoggedModel, MetricPoint, Run
from penstock.tracking.experiments import set_experiment_tag
from penstock.tracking.logged_models import create_model, log_model_params
from penstock.tracking.metrics import RunReference, log_points
from penstock.tracking.model_search import ModelSearch
from penstock.tracking.model_search import search_models as search_logged
from penstock.tracking.runs import start_run
from penstock.tracking.search import ExperimentSearch, RunSearch, search_experiments, search_runs
from penstock.tracking.values import log_params
from servers.postgres import PostgresServer

MOST = 500
LIMIT = "?options=-c%20statement_timeout%3D15000"
"""Planned as joins, half of these filters takes minutes."""


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.slow)])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Database]:
    """A store that ends a statement after 15 s, with 30 runs that have the same 10 parameters."""
    if request.param == "sqlite":
        opened = connect(f"sqlite:///{tmp_path}/store.db")
    else:
        server: PostgresServer = request.getfixturevalue("postgres")
        opened = connect(server.new_database() + LIMIT)
    upgrade(opened)
    with opened.write() as connection:
        for number in range(30):
            run = Run(id=f"{number:032x}", experiment="Default", name="r", status="FINISHED", start_ms=number)
            start_run(connection, run, 0)
            log_params(connection, run.id, {f"p{key}": "x" for key in range(10)} | {"number": str(number)})
            log_points(connection, RunReference(run.id, 0), [MetricPoint("m", float(number), 1)])
        for number in range(3):
            model = LoggedModel(
                id=f"m-{number}",
                experiment_id=0,
                name="m",
                status="LOGGED_MODEL_READY",
                created_ms=number,
                updated_ms=number,
                model_type="",
                source_run_id="",
            )
            create_model(connection, model)
            log_model_params(connection, model.id, {f"p{key}": "x" for key in range(10)} | {"n": str(number)})
        for key in range(10):
            set_experiment_tag(connection, 0, f"t{key}", "x")
    yield opened
    opened.close()


def joined(*parts: str) -> str:
    return " AND ".join(parts)


@pytest.mark.parametrize("order", [[], ["metrics.m DESC"], ["params.number"]])
def test_runs_pass_as_many_comparisons_as_a_filter_may_have(store: Database, order: list[str]) -> None:
    many = [f"params.p{number % 10} = 'x'" for number in range(MOST - 2)]
    with store.read() as connection:
        found = search_runs(
            connection, RunSearch([0], joined("metrics.m > 27", *many, "start_time < 29"), order)
        )
        assert found == [f"{28:032x}"]
        gone = [f"params.q{number} IS NULL" for number in range(MOST)]
        assert len(search_runs(connection, RunSearch([0], joined(*gone), order))) == 30
        assert search_runs(connection, RunSearch([0], joined(*gone[1:], "params.q0 = 'x'"), order)) == []


def test_every_other_search_answers_them_too(store: Database) -> None:
    tags = joined(*(f"tags.t{number % 10} = 'x'" for number in range(MOST)))
    params = joined("params.n = '2'", *(f"params.p{number % 10} = 'x'" for number in range(MOST - 1)))
    with store.read() as connection:
        assert [one.id for one in search_experiments(connection, ExperimentSearch(tags))] == [0]
        assert [one.id for one in search_logged(connection, ModelSearch([0], params))] == ["m-2"]
        assert search_registered(connection, RegistrySearch(tags)) == []
        assert search_versions(connection, RegistrySearch(tags)) == []


@pytest.mark.slow
def test_postgresql_ends_a_question_that_takes_too_long_but_no_writing(postgres: PostgresServer) -> None:
    store = connect(f"{postgres.new_database()}?options=-c%20statement_timeout%3D100")
    with pytest.raises(Invalid, match="asked for more than it finds") as told, store.read() as connection:
        connection.exec_driver_sql("SELECT pg_sleep(60)")
    assert told.value.code == "store.too_slow"
    with store.write() as connection:
        connection.exec_driver_sql("SELECT pg_sleep(0.3)")
    store.close()
    plain = connect(postgres.new_database())
    with plain.read() as connection:
        assert connection.exec_driver_sql("SHOW statement_timeout").scalar() == "30s"
    plain.close()
