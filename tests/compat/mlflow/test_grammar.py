"""The filter grammar beside the real MLflow's: the same texts to both parsers, and what differs by name.

`PENSTOCK_MLFLOW_PYTHON` names the interpreter of an environment with `mlflow==3.17.2`. Its parsers and the SQL
stores' own checks run there, once, on every text below.
"""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import Any

import pytest

from penstock.base.errors import Invalid
from penstock.records.search.entities import (
    EXPERIMENTS,
    LOGGED_MODELS,
    MODEL_VERSIONS,
    REGISTERED_MODELS,
    RUNS,
    Entity,
)
from penstock.records.search.grammar import parse_filter, parse_order_by, parse_order_field
from servers.tracking import mlflow_client

pytestmark = pytest.mark.slow

ENTITIES = {e.name: e for e in (RUNS, EXPERIMENTS, REGISTERED_MODELS, MODEL_VERSIONS, LOGGED_MODELS)}

# Runs in the other interpreter: [what, entity, given] in, {"parsed": ...} or {"error": sentence} out.
ORACLE = """
import json, sys
from sqlalchemy.orm import Session
from mlflow.exceptions import MlflowException
from mlflow.store.model_registry.sqlalchemy_store import SqlAlchemyStore as Registry
from mlflow.store.tracking import sqlalchemy_store as tracking
from mlflow.store.tracking.dbmodels.models import SqlLoggedModel
from mlflow.utils import search_utils as grammar
from mlflow.utils.search_logged_model_utils import parse_filter_string

session = Session()
registry = object.__new__(Registry)
registry._get_workspace_clauses = lambda *_: []
store = object.__new__(tracking.SqlAlchemyStore)
store._get_dialect = lambda: "sqlite"

def runs(text):
    parsed = grammar.SearchUtils.parse_search_filter(text)
    tracking._get_sqlalchemy_filter_clauses(parsed, session, "sqlite")
    return parsed

def experiments(text):
    parsed = grammar.SearchExperimentsUtils.parse_search_filter(text)
    tracking._get_search_experiments_filter_clauses(parsed, "sqlite")
    return parsed

def registered_models(text):
    parsed = grammar.SearchModelUtils.parse_search_filter(text)
    registry._get_search_registered_model_filter_query(session, parsed, "sqlite")
    return parsed

def model_versions(text):
    parsed = grammar.SearchModelVersionUtils.parse_search_filter(text)
    registry._get_search_model_versions_filter_clauses(parsed, "sqlite")
    return parsed

def logged_models(text):
    query = session.query(SqlLoggedModel)
    store._apply_filter_string_datasets_search_logged_models(query, session, ["0"], text, None)
    parsed = parse_filter_string(text)
    return [{"type": c.entity.type.value, "key": c.entity.key, "comparator": c.op, "value": c.value} for c in parsed]

def order_runs(clauses):
    tracking._get_orderby_clauses(clauses, session)
    return [grammar.SearchUtils.parse_order_by_for_search_runs(c) for c in clauses]

def order_experiments(clauses):
    tracking._get_search_experiments_order_by_clauses(clauses)
    return [grammar.SearchExperimentsUtils.parse_order_by_for_search_experiments(c) for c in clauses]

def order_registered_models(clauses):
    Registry._parse_search_registered_models_order_by(clauses)
    parse = grammar.SearchUtils.parse_order_by_for_search_registered_models
    return [("attribute", *parse(c)) for c in clauses]

def order_model_versions(clauses):
    Registry._parse_search_model_versions_order_by(clauses)
    return [grammar.SearchModelVersionUtils.parse_order_by_for_search_model_versions(c) for c in clauses]

def order_logged_models(names):
    fields = [{"field_name": name} for name in names]
    store._apply_order_by_search_logged_models(session.query(SqlLoggedModel), session, fields)
    return [("metrics", n.split(".", 1)[1], True) if "." in n else ("attributes", n, True) for n in names]

answers = []
for what, entity, given in json.load(sys.stdin):
    try:
        answers.append({"parsed": globals()[entity if what == "filter" else "order_" + entity](given)})
    except MlflowException as error:
        answers.append({"error": error.message})
    except Exception as error:
        answers.append({"error": "crash: " + repr(error)})
json.dump(answers, sys.stdout)
"""

KEYS = {
    "runs": 'metrics.a metric.`a b` params.a parameter.a tags.mlflow.source.type tag."a b" run_id run_name `Run name` '
    "status start_time Created attr.end_time run.user_id attributes.artifact_uri dataset.name datasets.context "
    "dataset.foo foo foo.a",
    "experiments": "name experiment_id creation_time attribute.last_update_time tags.a tag.`a b` foo foo.a",
    "registered_models": 'name attribute.name tags.a tag."a b" tags.`a.b` creation_timestamp foo.a',
    "model_versions": "name version_number attribute.run_id source_path tags.a tag.`a b` current_stage foo.a",
    "logged_models": "name attributes.model_id status source_run_id creation_timestamp last_updated_timestamp_ms "
    "metrics.a.b params.`a b` tags.a metric.a foo attributes.creation_time last_updated_time",
}
OPERATORS = (
    "=",
    "!=",
    ">",
    "<=",
    "LIKE",
    "like",
    "ILIKE",
    "IN",
    "not in",
    "IS NULL",
    "is not null",
    "~",
    "NOT LIKE",
)
VALUES = ("'x'", '"it\'s"', "''", "5", "-1e-3", "x", "('a', \"b\")", "(1)", "()")

# Asked of every entity; a bar or a new line separates them.
TEXTS = r"""
metrics.a = 1¦metrics.a = 1 and¦and metrics.a = 1¦metrics.a = 1 and and metrics.b=2
metrics.a = 1 metrics.b = 2¦metrics.a = 1, metrics.b=2¦params.a = b¦params.a = 5
params.a='x' OR params.b='y'¦params.a like 'x'¦params.a IS NULL¦params.a is  not   null
params.a NOT IN ('a')¦run_id in ('a', 'b')¦run_id IN ()¦run_id IN ('a',)¦run_id IN ('a' 'b')
run_id IN (1)¦run_id IN (a)¦run_id IN ("a")¦run_id IN 'a'¦status IN ('a')¦run_id NOT IN ('a')
run_id not  in ('a')¦tags.a-b = 'x'¦metrics.val/loss > 1¦metrics.a:b > 1¦metrics.1x > 1¦tags.$x = 'a'
tags.x$ = 'a'¦tags.a.b.c = 'x'¦tags.`a b`.c = 'x'¦tags.a.`b c` = 'x'¦`tags`.a = 'x'¦tags.'a b' = 'x'
"tags.a" = 'x'¦`run name` = 'x'¦Run Name = 'x'¦'run_id' = 'x'¦1.0 > metrics.a¦metrics.a > 1e5
metrics.a > 1e+5¦metrics.a > 1E5¦metrics.a > .5¦metrics.a > 5.¦metrics.a > +5¦metrics.a > - 5
metrics.a>-5¦metrics.a > 0x10¦metrics.a > inf¦metrics.a > nan¦metrics.a == 1¦metrics.a <> 1
metrics.a !< 1¦metrics.a = metrics.b¦params.a = 'it''s'¦params.a = 'a\'b'¦params.a = "it's"
params.a = "a""b"¦params.a = 'x¦params.a = "x¦params.'a = LR¦params.a = 'x';
params.a = 'x'; params.b = 'y'¦;¦start_time = 1.5¦start_time = '1'¦start_time > 1 and end_time < 2
created > 1¦start_time like 'x'¦start_time in (1)¦run_id > 'x'¦params.a > 'x'¦metrics.a like 1
metrics.a like 'x'¦dataset.name = 'x'¦datasets.digest in ('a')¦dataset.foo='x'¦dataset.name > 'x'
dataset.name=5¦dataset.name = x¦run_id = 5¦foo = 'x'¦foo.bar = 'x'¦random¦params.a LR !=¦params.a !=
= 'x'¦params.a = 'x' = 'y'¦(params.a = 'x')¦params.a = ('x')¦params.a ILike '%X_'¦params.a NOT LIKE 'x'
params.a = 'x' -- hi¦params.a /* x */ = 'x'¦tags.é = 'x'¦tags.名前 = 'x'¦metrics.m#x > 1¦metrics.m@x > 1
tags.select = 'x'¦tags.order = 'x'¦tags.like = 'x'¦tags.in = 'x'¦tags.null is null¦tags.and = 'x'
metric.`a.b` > 1¦attr.run_name = 'x'¦run.status='x'¦attribute.`run_id` = 'x'¦attribute."run_id"='x'
"run_id" = 'x'¦tags. a = 'x'¦tags .a = 'x'¦tags. = 'x'¦.a = 'x'¦tags.`a`b = 'x'¦params.`` = 'x'
params.a = ''¦params.a=""¦params.a = `x`¦start_time IS NULL¦params.a IS 'x'¦params.a IS¦params.a NOT NULL
metrics.a BETWEEN 1 AND 2¦metrics.a = 1 AND NOT metrics.b = 2¦params.a = 'x' AND params¦Metrics.a = 1
METRIC.a = 1¦params.a = null¦params.a = true¦metrics.a = 1 && metrics.b = 2¦metrics.a=1AND metrics.b=2
params.a='x'and params.b='y'¦params.a='x' and(params.b='y')¦run_id IN('a')¦metrics.a in (1,2)
params.a in ('x')¦attribute.run_id = 'x' AND¦metrics.a > 1 as b¦metrics.a b > 1¦tags.a b = 'x'
tags.a as b = 'x'¦[params].a = 'x'¦params.[a b] = 'x'¦params.a = 'x' 'y'¦params.a = 1.5.5
metrics.a = 1.5.5¦metrics.a = 1_000¦metrics.a = 1 AND metrics.b¦params.a REGEXP 'x'¦params.a RLIKE 'x'
params.a ~ 'x'¦params.a * 2 = 'x'¦params.a || 'x' = 'y'¦params.a = 'x' ORDER BY params.b¦case = 'x'
name = 'x'¦end_time != 5¦params.a = N'x'¦params.a = E'x'¦params.a = f(x)¦f(x) = 'y'
"""

# Orders; inside one, `|` separates the clauses.
ORDERS = r"""
metrics.a¦metrics.a desc¦metrics.a  DeSC ¦ metrics.a¦metrics.a foo¦metrics.a foo bar¦metrics.`a b` DESC
metrics."a b" ASC¦metrics.'a b' ASC¦foo¦foo.bar¦status¦Run Name¦`Run Name`¦created¦run_name asc
dataset.name¦metrics.a|metric.a DESC¦start_time|created¦metrics.a, metrics.b¦metrics.a; metrics.b¦1¦'a'
metrics.a ASC ASC¦ASC¦metrics.a-b¦metrics.a - b¦tags.x.y DESC¦metrics.in¦timestamp¦metrics.timestamp desc
metrics.a =¦metrics.a = 1¦`metrics`.a¦metrics.`a b`¦params.`a`b¦metrics.a as b¦user_id DESC¦end_time desc
`metrics.a`¦metrics. a¦metrics.a DESC NULLS LAST¦name¦name desc¦timestamp DESC¦Timestamp asc
timestamp ASC ¦last_updated_timestamp asc¦creation_timestamp¦attribute.name¦tags.x¦name|name desc
timestamp|last_updated_timestamp¦`name`¦`name` asc¦name foo¦timestamp foo¦version_number desc
creation_time¦last_update_time desc¦experiment_id¦tags.name¦"name"¦attribute.version_number asc¦tag.x
foo.x
"""
FIELDS = "name¦creation_time¦metrics.a¦metrics.a b¦foo¦params.a¦metrics.¦model_id ¦tags"

# (entities, text, what penstock does, why). "accepts" and "refuses": the other does not; "means": both accept, with
# another meaning; "says": both refuse, in other words. The first that matches a difference explains it; one that
# explains none fails the test.
DEVIATIONS: tuple[tuple[str, str, str, str], ...] = (
    (
        ".*",
        r"(?i)^and | and$| and and |1 metrics|'x' name",
        "refuses",
        "AND stands between two comparisons, and only there",
    ),
    (".*", r"= \(.*\)|(?i:like) \(|[>~] \(|<= \(", "refuses|says", "a list belongs to IN and NOT IN"),
    (".*", r"not   null|not  in", "accepts|says", "white space inside an operator is free"),
    (".*", r"1e\+5", "accepts|says", "an exponent may have a plus, as every program prints it"),
    (".*", r"\bin = |metrics\.in", "accepts|says", "a keyword after the dot is an ordinary key"),
    (
        ".*",
        r"''s'|\"\"b|\\\\?'",
        "means|refuses|says",
        "a doubled quote is one quote, a backslash an ordinary character",
    ),
    (
        ".*",
        r"'a' 'b'|\(1\)|\(\)|\(a\)",
        "refuses|says",
        "a list holds strings, separated by commas; the other crashes or glues",
    ),
    (
        ".*",
        r"`\.c|\.`b c`|\[a b\]|tags\. ",
        "refuses|says",
        "a key is bare or quoted as one part; the other takes quotes and spaces into it",
    ),
    ("experiments", r" like ", "accepts|says", "operators are case-insensitive everywhere"),
    (
        "registered_models|model_versions",
        r"`|\"",
        "accepts|says",
        "an attribute may be quoted, as everywhere",
    ),
    (
        "registered_models|model_versions",
        r"(?i) is .*null|NOT NULL",
        "says",
        "refused, where the other crashes",
    ),
    ("logged_models", r"\"", "means|accepts|says", "double quotes are quotes; the other keeps them"),
    ("logged_models", r"params\.'a b'|tags\.'a b'", "means", "so are single quotes of a key"),
    (
        "logged_models",
        r"[=~<>E] *(x|b|5|-1e-3|inf|nan|1e5|LR|`x`|true|null|metrics\.b|1\.5\.5|f\(x\)|1_000)$|(?i:like) (x|5|1|-1e-3)$|= 5$",
        "refuses|says",
        "a value is a quoted string or a number",
    ),
    (
        "logged_models",
        r".",
        "says",
        "says which part is wrong, in the words of runs; the other crashes or quotes all",
    ),
    (
        "logged_models",
        r"last_updated_time|created|attributes\.creation_time",
        "accepts",
        "one attribute has the same names with and without its type",
    ),
    ("logged_models", r"^metrics\.$", "refuses", "a metric has a name"),
    (
        "logged_models",
        r"= 'x' =|&&|\|\|| \* 2",
        "refuses",
        "an expression is no key",
    ),
    ("logged_models", r"a:b|\$", "accepts", "a bare key may hold any sign that separates nothing"),
    ("experiments", r"^name, name", "refuses", "a field orders once, as everywhere"),
    ("model_versions", r"^tags\.name$", "refuses", "a tag is no attribute of its name"),
    (
        ".*",
        r"^ |  DeSC $|ASC $|(?i:timestamp) (asc|foo)$",
        "accepts|says",
        "white space around a key, and `timestamp`, are nothing special",
    ),
    (".*", r"`a`b|tags\. =|\.a = 'x'", "refuses|says", "a quoted part ends a key, and a key has a name"),
    (
        ".*",
        r"[-,:$+|&*/#@]|0x|AND|as b|\(|\[|LR|NOT NULL|ORDER|1\.5\.5|= 'x' =|metrics\. a|tags \.a|N'|E'|\.a|f\(",
        "says",
        "another word of the same wrong text is named",
    ),
    ("registered_models", r"`|\"|'", "says", "the key is quoted back as written"),
)


def _split(texts: str) -> list[str]:
    return [text for text in texts.replace("\n", "¦").split("¦") if text]


def _cases() -> list[tuple[str, str, Any]]:
    cases: list[tuple[str, str, Any]] = []
    for name in ENTITIES:
        cases += [("filter", name, text) for text in (*_split(TEXTS), " ", "name\t=\n'x'")]
        for key in re.findall(r"(?:`[^`]*`|\"[^\"]*\"|[^\s`\"])+", KEYS[name]):
            for operator in OPERATORS:
                values = ("",) if operator.upper().startswith("IS") else VALUES
                cases += [("filter", name, f"{key} {operator} {value}".strip()) for value in values]
        orders = (
            [[field] for field in _split(FIELDS)]
            if name == "logged_models"
            else [line.split("|") for line in (*_split(ORDERS), "", " ", "name\tDESC")]
        )
        cases += [("order_by", name, order) for order in orders]
    return cases


@pytest.fixture(scope="session")
def answers() -> list[tuple[str, str, Any, dict[str, Any]]]:
    """Every case with what the real parsers say."""
    cases = _cases()
    done = mlflow_client().run((), program=ORACLE, stdin=json.dumps(cases), cwd=Path.cwd(), env=os.environ)
    assert done.returncode == 0, done.stderr[-2000:]
    return [(*case, answer) for case, answer in zip(cases, json.loads(done.stdout), strict=True)]


def _ours(what: str, entity: Entity, given: Any) -> list[tuple[Any, ...]] | str:
    try:
        if what == "filter":
            return [(c.kind, c.key, c.operator, c.value) for c in parse_filter(given, entity)]
        if entity is LOGGED_MODELS:
            return [(o.kind, o.key, o.ascending) for o in map(parse_order_field, given)]
        return [(o.kind, o.key, o.ascending) for o in parse_order_by(given, entity)]
    except Invalid as error:
        assert error.code == "search.invalid"
        return _sorted_sets(error.message)


def _theirs(what: str, entity: Entity, answer: dict[str, Any]) -> list[tuple[Any, ...]] | str:
    if "error" in answer:
        return _sorted_sets(answer["error"])
    if what == "order_by":
        return [(*_key(entity, kind, key), ascending) for kind, key, ascending in answer["parsed"]]
    return [
        (*_key(entity, c["type"], c["key"]), c["comparator"].upper(), _value(entity, c))
        for c in answer["parsed"]
    ]


def _key(entity: Entity, kind: str, key: str) -> tuple[str, str]:
    kind = {"parameter": "param"}.get(kind, kind.removesuffix("s"))
    return kind, {**entity.attributes, **entity.order}.get(key, key) if kind == "attribute" else key


def _value(entity: Entity, comparison: dict[str, Any]) -> Any:
    value = comparison["value"]
    if comparison["type"] == "metric":
        return float(value)
    if comparison["key"] == "version_number":
        return int(value)
    if comparison["key"] == "experiment_id" and entity is EXPERIMENTS and isinstance(value, str):
        return str(int(value))
    return tuple(value) if isinstance(value, list) else value


def _sorted_sets(message: str) -> str:
    return re.sub(r"\{([^{}]*)\}", lambda found: "{" + ", ".join(sorted(found[1].split(", "))) + "}", message)


def _difference(ours: Any, theirs: Any) -> str:
    if ours == theirs:
        return ""
    if isinstance(ours, str):
        return "says" if isinstance(theirs, str) else "refuses"
    return "accepts" if isinstance(theirs, str) else "means"


def test_every_difference_from_mlflow_is_listed_and_every_listed_one_exists(answers: Any) -> None:
    used: set[int] = set()
    unexplained: list[str] = []
    for what, name, given, answer in answers:
        entity = ENTITIES[name]
        ours, theirs = _ours(what, entity, given), _theirs(what, entity, answer)
        kind = _difference(ours, theirs)
        text = given if what == "filter" else ", ".join(given)
        rule = (
            next((i for i, d in enumerate(DEVIATIONS) if _explains(d, name, text, kind)), None)
            if kind
            else None
        )
        if rule is not None:
            used.add(rule)
        elif kind:
            unexplained.append(f"{name} {what} {text!r} {kind}\n    here  {ours}\n    there {theirs}")
    assert not unexplained, "\n".join(unexplained)
    assert [DEVIATIONS[i][3] for i in range(len(DEVIATIONS)) if i not in used] == []


def _explains(deviation: tuple[str, str, str, str], name: str, text: str, kind: str) -> bool:
    entities, pattern, kinds, _ = deviation
    return bool(re.fullmatch(entities, name) and kind in kinds.split("|") and re.search(pattern, text))
