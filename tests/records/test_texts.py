"""What neither engine may be given: a zero character, and more values than a statement has places for."""

from __future__ import annotations

import pytest

from penstock.base.errors import Invalid
from penstock.base.store.database import Database
from penstock.base.store.writer import GroupWriter
from penstock.records.limits import MAX_LISTED
from penstock.tracking.datasets import list_dataset_names
from penstock.tracking.entities import MetricPoint, Run
from penstock.tracking.experiments import create_experiment
from penstock.tracking.metrics import RunReference, log_points
from penstock.tracking.model_search import ModelSearch, search_models
from penstock.tracking.runs import start_run
from penstock.tracking.search import RunSearch, search_runs
from penstock.tracking.values import log_params, set_tags

RUN = "1" * 32
BAD = "a\0b"


@pytest.mark.parametrize(
    ("field", "work"),
    [
        ("value", lambda connection: log_params(connection, RUN, {"p": BAD})),
        ("key", lambda connection: log_params(connection, RUN, {BAD: "x"})),
        ("value", lambda connection: set_tags(connection, RUN, {"t": BAD})),
        ("name", lambda connection: create_experiment(connection, BAD)),
        ("key", lambda connection: log_points(connection, RunReference(RUN, 0), [MetricPoint(BAD, 1.0, 1)])),
    ],
)
def test_a_zero_character_is_refused_by_its_field(either_store: Database, field: str, work: object) -> None:
    with either_store.write() as connection:
        start_run(connection, Run(id=RUN, experiment="Default", name="r", status="RUNNING", start_ms=1), 0)
    writer = GroupWriter(either_store)
    with pytest.raises(Invalid, match="zero character") as told:
        writer.submit(work).result()  # type: ignore[arg-type]
    writer.submit(lambda connection: set_tags(connection, RUN, {"t": "fine"})).result()
    writer.close()
    assert told.value.fields["field"].startswith(field)  # type: ignore[attr-defined]


def test_more_experiments_than_a_statement_has_places_for_are_refused(either_store: Database) -> None:
    many, most = range(MAX_LISTED + 1), range(MAX_LISTED)
    with either_store.read() as connection:
        for numbers in (list(most), list(many)):
            if len(numbers) > MAX_LISTED:
                for work in (
                    lambda: search_runs(connection, RunSearch(list(many))),
                    lambda: search_models(connection, ModelSearch(list(many))),
                    lambda: list_dataset_names(connection, list(many)),
                ):
                    with pytest.raises(Invalid, match="at most"):
                        work()
            else:
                listed = "', '".join(map(str, range(9000)))
                assert search_runs(connection, RunSearch(numbers, f"run_id IN ('{listed}')")) == []
                assert search_models(connection, ModelSearch(numbers)) == []
                assert list_dataset_names(connection, numbers) == []
        twice = f"run_id IN ('{listed}') AND run_id IN ('{listed}')"
        with pytest.raises(Invalid, match="at most"):
            search_runs(connection, RunSearch([0], twice))
