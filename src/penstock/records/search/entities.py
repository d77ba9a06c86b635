"""What can be searched, and by what: one description for each kind of thing.

Source: MLflow 3.17.2, `mlflow/utils/search_utils.py`, `search_logged_model_utils.py` and the two SQL stores;
where this differs is listed with reasons in `tests/compat/mlflow/test_grammar.py`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

KeyKind = Literal["attribute", "metric", "param", "tag", "dataset"]
Family = Literal["runs", "experiments", "registry", "logged_models"]

NUMERIC = frozenset({">", ">=", "!=", "=", "<", "<="})
TEXT = frozenset({"!=", "=", "LIKE", "ILIKE"})
LISTS = frozenset({"IN", "NOT IN"})
NULLS = frozenset({"IS NULL", "IS NOT NULL"})
DATASET_KEYS = frozenset({"name", "digest", "context"})


@dataclass(frozen=True)
class Entity:
    """How one kind of thing is searched.

    Args:
        name: plural, as in messages and tests.
        family: which set of messages MLflow uses for it.
        types: every spelling of a key type.
        attributes: every spelling of an attribute in a filter -> its one name.
        order: the same for `order_by`; it may name what a filter may not.
        order_kinds: which kinds of key can order.
        numeric: names of the attributes that are numbers (integers).
        listed: names of the attributes that IN and NOT IN compare.
        operators: which operators each other kind of key takes.
        shown_order: the spellings that a message recommends; all of them if empty.
    """

    name: str
    family: Family
    types: Mapping[str, KeyKind]
    attributes: Mapping[str, str]
    order: Mapping[str, str]
    order_kinds: frozenset[KeyKind] = frozenset({"attribute"})
    numeric: frozenset[str] = frozenset()
    listed: frozenset[str] = frozenset()
    operators: Mapping[KeyKind, frozenset[str]] = field(default_factory=dict)
    shown_order: frozenset[str] = frozenset()

    def operators_of(self, kind: KeyKind, key: str) -> frozenset[str]:
        """Return the operators that a key takes."""
        if kind != "attribute":
            return self.operators[kind]
        if key in self.numeric:
            return NUMERIC
        if (self.name, key) == ("experiments", "experiment_id"):
            return LISTS | {"=", "!="}  # it is a number that names: no order, no pattern
        return TEXT | LISTS if key in self.listed else TEXT


def _spelled(*names: str, **aliases: str) -> dict[str, str]:
    return {**{name: name for name in names}, **aliases}


_TWO_TYPES: dict[str, KeyKind] = {"attribute": "attribute", "tag": "tag", "tags": "tag"}
_RUN_NAMES = dict.fromkeys(("run name", "Run name", "Run Name"), "run_name")
_RUN_ORDER = _spelled(
    *("run_id", "run_name", "user_id", "status", "start_time", "end_time", "artifact_uri"),
    created="start_time",
    Created="start_time",
)
_VERSION_ORDER = _spelled("name", "version_number", "creation_timestamp", "last_updated_timestamp")
_LOGGED = _spelled(
    *("name", "model_id", "model_type", "status", "source_run_id", "experiment_id", "artifact_location"),
    *("status_message", "creation_timestamp", "last_updated_timestamp"),
    creation_timestamp_ms="creation_timestamp",
    creation_time="creation_timestamp",
    last_updated_timestamp_ms="last_updated_timestamp",
    last_updated_time="last_updated_timestamp",
)

RUNS = Entity(
    name="runs",
    family="runs",
    types={
        **dict.fromkeys(("metric", "metrics"), "metric"),
        **dict.fromkeys(("parameter", "parameters", "param", "params"), "param"),
        **dict.fromkeys(("tag", "tags"), "tag"),
        **dict.fromkeys(("attribute", "attributes", "attr", "run"), "attribute"),
        **dict.fromkeys(("dataset", "datasets"), "dataset"),
    },
    attributes=_RUN_ORDER | _RUN_NAMES,
    order=_RUN_ORDER,
    order_kinds=frozenset({"attribute", "metric", "param", "tag"}),
    numeric=frozenset({"start_time", "end_time"}),
    listed=frozenset({"run_id"}),
    operators={"metric": NUMERIC, "param": TEXT | NULLS, "tag": TEXT | NULLS, "dataset": TEXT | LISTS},
)

EXPERIMENTS = Entity(
    name="experiments",
    family="experiments",
    types=_TWO_TYPES,
    attributes=_spelled("name", "experiment_id", "creation_time", "last_update_time"),
    order=_spelled("name", "experiment_id", "creation_time", "last_update_time"),
    numeric=frozenset({"creation_time", "last_update_time"}),
    listed=frozenset({"experiment_id"}),
    operators={"tag": TEXT | NULLS},
)

REGISTERED_MODELS = Entity(
    name="registered_models",
    family="registry",
    types=_TWO_TYPES,
    attributes=_spelled("name"),
    order=_spelled("name", "last_updated_timestamp", timestamp="last_updated_timestamp"),
    listed=frozenset({"name"}),
    operators={"tag": TEXT},
    shown_order=frozenset({"name", "timestamp"}),
)

MODEL_VERSIONS = Entity(
    name="model_versions",
    family="registry",
    types=_TWO_TYPES,
    attributes=_spelled("name", "version_number", "run_id", "source_path"),
    order=_VERSION_ORDER,
    numeric=frozenset({"version_number", "creation_timestamp", "last_updated_timestamp"}),
    listed=frozenset({"name", "run_id"}),
    operators={"tag": TEXT},
)

LOGGED_MODELS = Entity(
    name="logged_models",
    family="logged_models",
    types={"attributes": "attribute", "metrics": "metric", "params": "param", "tags": "tag"},
    attributes=_LOGGED,
    order=_LOGGED,
    order_kinds=frozenset({"attribute", "metric"}),
    numeric=frozenset({"creation_timestamp", "last_updated_timestamp"}),
    listed=frozenset(set(_LOGGED.values()) - {"creation_timestamp", "last_updated_timestamp"}),
    operators={"metric": NUMERIC, "param": TEXT | LISTS, "tag": TEXT | LISTS},
)
