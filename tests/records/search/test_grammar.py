"""Filters and orders: what is accepted, what it means, and that nothing but Invalid comes out."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.base.errors import Invalid
from penstock.records.search.entities import (
    DATASET_KEYS,
    EXPERIMENTS,
    LOGGED_MODELS,
    MODEL_VERSIONS,
    REGISTERED_MODELS,
    RUNS,
    Entity,
)
from penstock.records.search.grammar import (
    IS_PROMPT,
    Comparison,
    OrderBy,
    matches_absent,
    parse_filter,
    parse_order_by,
    parse_order_field,
)
from tables import table

ENTITIES = (RUNS, EXPERIMENTS, REGISTERED_MODELS, MODEL_VERSIONS, LOGGED_MODELS)
TEXT = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=20)


def quoted(text: str, quote: str) -> str:
    return quote + text.replace(quote, quote * 2) + quote


def rendered(comparison: Comparison, entity: Entity) -> str:
    types = {kind: spelling for spelling, kind in entity.types.items()}
    key = f"{types[comparison.kind]}.{quoted(comparison.key, '`')}"
    match comparison.value:
        case None:
            return f"{key} {comparison.operator}"
        case tuple(values):
            return f"{key} {comparison.operator} ({', '.join(quoted(value, chr(39)) for value in values)})"
        case str(value):
            return f"{key} {comparison.operator} {quoted(value, chr(39))}"
        case value:
            return f"{key} {comparison.operator} {value!r}"


@st.composite
def comparisons(draw: st.DrawFn, entity: Entity) -> Comparison:
    kind = draw(st.sampled_from(sorted(set(entity.types.values()))))
    names = {"attribute": sorted(set(entity.attributes.values())), "dataset": sorted(DATASET_KEYS)}
    key = draw(st.sampled_from(names[kind]) if kind in names else TEXT)
    operator = draw(st.sampled_from(sorted(entity.operators_of(kind, key))))
    is_id = entity is EXPERIMENTS and key == "experiment_id" and kind == "attribute"
    words = st.integers(0, 2**70).map(str) if is_id else TEXT
    value: object
    if operator.startswith("IS"):
        value = None
    elif kind == "metric":
        value = draw(st.floats(allow_nan=False, allow_infinity=False))
    elif kind == "attribute" and key in entity.numeric:
        value = draw(st.integers(-(2**70), 2**70))
    elif operator.endswith("IN"):
        value = tuple(draw(st.lists(words, min_size=1, max_size=4)))
    else:
        value = draw(words)
    return Comparison(kind, key, operator, value)


@pytest.mark.parametrize("entity", ENTITIES, ids=lambda entity: entity.name)
@given(data=st.data())
def test_a_rendered_filter_parses_to_itself(entity: Entity, data: st.DataObject) -> None:
    asked = tuple(data.draw(st.lists(comparisons(entity), max_size=4)))

    assert parse_filter(" AND ".join(rendered(one, entity) for one in asked), entity) == asked


PIECES = st.sampled_from(
    [
        "metrics.a",
        "tags.`x",
        "y`",
        "params.",
        "name",
        "=",
        "!=",
        ">=",
        "LIKE",
        "in",
        "NOT",
        "IS",
        "NULL",
        "AND",
        "or",
        "(",
        ")",
        ",",
        ";",
        "'",
        '"',
        "`",
        ".",
        "-",
        "5",
        "1e9",
        "''",
        "'x'",
        "('a')",
    ]
)


@given(
    st.one_of(
        st.text(max_size=60), st.lists(PIECES, max_size=14).map(" ".join), st.lists(PIECES).map("".join)
    )
)
def test_any_text_is_a_filter_and_an_order_or_invalid(text: str) -> None:
    for entity in ENTITIES:
        for parse in (parse_filter, lambda text, entity: parse_order_by([text], entity)):
            try:
                parse(text, entity)
            except Invalid as error:
                assert error.code == "search.invalid"
                error.message.encode()
    try:
        parse_order_field(text)
    except Invalid as error:
        error.message.encode()


@table(
    "piece",
    [
        "(",
        ")",
        "'",
        '"',
        "`",
        "''a",
        "a.`x`.",
        "a.'x",
        "1",
        "1e",
        "-",
        ";",
        "=",
        "(')",
        "`x`-",
        " AND ",
        "a.",
        "NOT ",
        "\"'`",
    ],
)
def test_long_hostile_text_is_read_in_linear_time(piece: str) -> None:
    for text in (piece * 40_000, "name = " + piece * 40_000, "name IN (" + piece * 40_000):
        started = time.thread_time()
        with pytest.raises(Invalid):
            parse_filter(text, RUNS)
        assert time.thread_time() - started < 5


@table(
    ("entity", "text", "expected"),
    [
        (RUNS, "metric.`a b` >= -1e-3", Comparison("metric", "a b", ">=", -0.001)),
        (RUNS, 'params."lr.0" ilike "%X"', Comparison("param", "lr.0", "ILIKE", "%X")),
        (RUNS, "parameter.a IS NULL", Comparison("param", "a", "IS NULL", None)),
        (RUNS, "tags.mlflow.source.type = 'LOCAL'", Comparison("tag", "mlflow.source.type", "=", "LOCAL")),
        (RUNS, "`Run name` != 'x'", Comparison("attribute", "run_name", "!=", "x")),
        (RUNS, "run.created < 5", Comparison("attribute", "start_time", "<", 5)),
        (RUNS, "run_id not in ('a', \"b\",)", Comparison("attribute", "run_id", "NOT IN", ("a", "b"))),
        (RUNS, "datasets.context IN ('train')", Comparison("dataset", "context", "IN", ("train",))),
        (EXPERIMENTS, "name like 'a%'", Comparison("attribute", "name", "LIKE", "a%")),
        (EXPERIMENTS, "experiment_id = '07'", Comparison("attribute", "experiment_id", "=", "7")),
        (EXPERIMENTS, "tags.a is not null", Comparison("tag", "a", "IS NOT NULL", None)),
        (REGISTERED_MODELS, "name ILIKE '%x%'", Comparison("attribute", "name", "ILIKE", "%x%")),
        (MODEL_VERSIONS, "version_number > '3'", Comparison("attribute", "version_number", ">", 3)),
        (MODEL_VERSIONS, "run_id IN ('a')", Comparison("attribute", "run_id", "IN", ("a",))),
        (LOGGED_MODELS, "metrics.val/loss < 1", Comparison("metric", "val/loss", "<", 1.0)),
        (LOGGED_MODELS, "params.a IN ('1', '2')", Comparison("param", "a", "IN", ("1", "2"))),
        (LOGGED_MODELS, "creation_time > 5", Comparison("attribute", "creation_timestamp", ">", 5)),
    ],
)
def test_a_filter_means(entity: Entity, text: str, expected: Comparison) -> None:
    assert parse_filter(text, entity) == (expected,)


@table(
    ("entity", "text", "message"),
    [
        (RUNS, "metrics.a = 1 AND", "Invalid clause(s) in filter string: 'AND'"),
        (RUNS, "metrics.a = 1 OR metrics.b = 2", "Invalid clause(s) in filter string: 'OR'"),
        (RUNS, "name = 1; b = 2", "Search filter contained multiple expression 'name = 1; b = 2'. Provide AND-ed expression list."),
        (RUNS, "a.b = 'x'", "Invalid entity type 'a'. Valid values are ['metric', 'parameter', 'tag', 'attribute', 'dataset']"),
        (RUNS, "metrics.a IN (1, 2)", "Expected numeric value type for metric. Found (1, 2)"),
        (RUNS, "tags.a = 5", "Expected a quoted string value for tag (e.g. 'my-value'). Got value 5"),
        (RUNS, "status IN ('a')", "Only ['run_id'] attributes support comparison with a list of quoted string values."),
        (RUNS, "metrics.a LIKE 1", "Invalid comparator 'LIKE' not one of '{'!=', '<', '<=', '=', '>', '>='}"),
        (RUNS, "a\0 = 'x'", "Invalid filter 'a\0 = 'x''. Could not be parsed."),
        (EXPERIMENTS, "experiment_id = 'x'", "Invalid experiment ID 'x'. Experiment ID must be a valid integer."),
        (REGISTERED_MODELS, "foo = 'x'", "Invalid attribute key 'foo' specified. Valid keys are '{'name'}'"),
        (MODEL_VERSIONS, "version_number LIKE 5", "Invalid comparator for attribute version_number: LIKE"),
        (LOGGED_MODELS, "metric.a > 1", "Invalid entity type: 'metric'. Expected one of ['attributes', 'metrics', 'params', 'tags']."),
    ],
)  # fmt: skip
def test_a_wrong_filter_is_told_in_mlflows_words(entity: Entity, text: str, message: str) -> None:
    with pytest.raises(Invalid) as caught:
        parse_filter(text, entity)

    assert (caught.value.message, caught.value.code) == (message, "search.invalid")


def test_limits_are_refused_before_a_database_would() -> None:
    for text in (
        " AND ".join(["metrics.a = 1"] * 501),
        f"run_id IN ({', '.join(['1'.join(chr(39) * 2)] * 10_001)})",
        f"status LIKE '{'%' * 10_001}'",
        f"start_time > {'9' * 5000}",
    ):
        with pytest.raises(Invalid):
            parse_filter(text, RUNS)


def test_orders_know_directions_and_aliases() -> None:
    assert parse_order_by(["metrics.`a b` desc", "Created", "tag.x ASC"], RUNS) == (
        OrderBy("metric", "a b", False),
        OrderBy("attribute", "start_time", True),
        OrderBy("tag", "x", True),
    )
    assert parse_order_by(["timestamp DESC"], REGISTERED_MODELS)[0].key == "last_updated_timestamp"
    assert parse_order_field("creation_time") == OrderBy("attribute", "creation_timestamp", True)


@pytest.mark.parametrize(
    ("entity", "clauses"),
    [
        (RUNS, ["start_time", "created DESC"]),
        (RUNS, ["metrics.a FIRST"]),
        (RUNS, ["dataset.name"]),
        (EXPERIMENTS, ["tags.a"]),
        (EXPERIMENTS, ["name", "name"]),
        (REGISTERED_MODELS, ["creation_timestamp"]),
        (MODEL_VERSIONS, ["tags.name"]),
        (LOGGED_MODELS, ["params.a"]),
    ],
)
def test_a_wrong_order_is_invalid(entity: Entity, clauses: list[str]) -> None:
    with pytest.raises(Invalid):
        parse_order_by(clauses, entity)


def test_only_the_lack_of_a_tag_asked_for_and_the_prompt_tag_match_what_is_absent() -> None:
    def absent(entity: Entity, text: str) -> bool:
        return matches_absent(entity, parse_filter(text, entity)[0])

    assert absent(REGISTERED_MODELS, f"tags.`{IS_PROMPT}` != 'true'")
    assert absent(MODEL_VERSIONS, f"tags.{IS_PROMPT} = 'false'")
    assert not absent(REGISTERED_MODELS, f"tags.{IS_PROMPT} = 'true'")
    assert not absent(REGISTERED_MODELS, "tags.stage != 'true'")
    assert absent(RUNS, "tags.a IS NULL")
    assert not absent(RUNS, "tags.a != 'x'")
    assert not absent(RUNS, f"tags.{IS_PROMPT} != 'true'")
