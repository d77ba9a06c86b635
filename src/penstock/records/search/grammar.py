"""The grammar of searches: a filter and an order, read against what an entity can be asked.

    filter     := comparison (AND comparison)*
    comparison := key operator value | key IS [NOT] NULL
    key        := [type "."] name          only the first dot splits; a name may be quoted
    value      := 'string' | "string" | number | ("string", ...)
    order      := key [ASC | DESC]

Keywords in any case; no OR, no parentheses but a list's, no second statement. A store appends its own default
order and its tie-breakers; here is only what was asked for.

**Source**: MLflow 3.17.2, `mlflow/utils/search_utils.py`. It accepts what its SQL library happens to
group (a trailing AND, two comparisons without one, unquoted values); this reads the grammar above. Every
difference is listed in `tests/compat/mlflow/test_grammar.py`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from penstock.records.limits import limit_count
from penstock.records.search import wording
from penstock.records.search.clauses import Clause, find, is_operand, misplaced
from penstock.records.search.entities import LISTS, LOGGED_MODELS, NULLS, Entity, KeyKind
from penstock.records.search.tokens import Kind, tokenize, unquote
from penstock.records.search.values import Value, read_key, read_value, settle

# SQLite nests a chain of ANDs, and refuses an expression deeper than 1000.
MAX_COMPARISONS = 500

IS_PROMPT = "mlflow.prompt.is_prompt"


@dataclass(frozen=True)
class Comparison:
    """One comparison that a thing must pass.

    Args:
        key: an attribute's one name (`start_time`, also where `created` was written); any other key as it is.
        operator: upper case.
        value: float for a metric, a number for a numeric attribute, strings for IN and NOT IN, None for
            IS NULL and IS NOT NULL, else a string. An experiment id is a string of decimal digits.
    """

    kind: KeyKind
    key: str
    operator: str
    value: Value


@dataclass(frozen=True)
class OrderBy:
    """One key that the result is ordered by."""

    kind: KeyKind
    key: str
    ascending: bool = True


def parse_filter(text: str, entity: Entity) -> tuple[Comparison, ...]:
    """Read a filter; the empty text has no comparisons.

    Raises:
        Invalid: (`search.invalid`) in MLflow's words, for anything else than the grammar above.

    Cost: linear in the length of the text.

    Example:
        >>> from penstock.records.search.entities import RUNS
        >>> for comparison in parse_filter("metrics.loss < 1e-3 and params.`learning rate` = '0.1'", RUNS):
        ...     print(comparison.kind, comparison.key, comparison.operator, comparison.value)
        metric loss < 0.001
        param learning rate = 0.1
    """
    if not text:
        return ()
    if not _is_storable(text):
        raise wording.unreadable(text)
    tokens = tokenize(text)
    if not tokens:
        raise wording.blank(text, entity)
    ends = [index for index, token in enumerate(tokens) if token.text == ";"]
    if ends and ends[0] != len(tokens) - 1:
        raise wording.several(text, entity)
    items, strays = find(tokens)
    if not strays and (wrong := misplaced(items)):
        strays = [wrong]
    if strays:
        raise wording.strays(text, [token.text for token in strays], entity)
    clauses = [item for item in items if isinstance(item, Clause)]
    if len(clauses) > MAX_COMPARISONS:
        raise wording.invalid(f"A filter may have at most {MAX_COMPARISONS} comparisons.")
    read = [_comparison(clause, entity) for clause in clauses]
    limit_count("filter", sum(len(one.value) for one in read if isinstance(one.value, tuple)))
    return tuple(
        _checked(clause, comparison, entity) for clause, comparison in zip(clauses, read, strict=True)
    )


def parse_order_by(clauses: Sequence[str], entity: Entity) -> tuple[OrderBy, ...]:
    """Read the keys to order by; ascending unless DESC is written.

    Raises:
        Invalid: (`search.invalid`) for another form, an unknown key, or one key twice.

    Example:
        >>> from penstock.records.search.entities import RUNS
        >>> parse_order_by(["metrics.loss ASC", "created desc"], RUNS)[1]
        OrderBy(kind='attribute', key='start_time', ascending=False)
    """
    orders: list[OrderBy] = []
    seen: set[tuple[str, str]] = set()
    for clause in clauses:
        order = _order(clause, entity)
        if (order.kind, order.key) in seen:
            raise wording.invalid(f"`order_by` contains duplicate fields: {list(clauses)}")
        seen.add((order.kind, order.key))
        orders.append(order)
    return tuple(orders)


def parse_order_field(field_name: str, ascending: bool = True) -> OrderBy:
    """Read a field that logged models are ordered by: an attribute, or `metrics.` and a key as it is.

    They come as structured fields, so nothing here is quoted and only the first dot splits. The dataset that
    narrows a metric stays with the caller.

    Raises:
        Invalid: (`search.invalid`) for an unknown attribute and for a parameter, tag or empty metric key.

    Example:
        >>> parse_order_field("metrics.val loss", ascending=False)
        OrderBy(kind='metric', key='val loss', ascending=False)
    """
    head, dot, key = field_name.partition(".")
    if not _is_storable(field_name):
        raise wording.wrong_field(ascii(field_name))
    if head == "metrics" and key:
        return OrderBy("metric", key, ascending)
    if dot or head not in LOGGED_MODELS.order:
        raise wording.wrong_field(field_name)
    return OrderBy("attribute", LOGGED_MODELS.order[head], ascending)


def matches_absent(entity: Entity, comparison: Comparison) -> bool:
    """Return whether a thing that lacks the compared tag, parameter, metric or dataset passes.

    It does not, whatever the operator: `tags.stage != 'x'` finds the things that have the tag `stage` with
    another value. So a store answers with `EXISTS (key = ... AND compare(value))`. The exceptions, where it
    answers `EXISTS (...) OR NOT EXISTS (key = ...)`:

    * IS NULL, which asks for the lack, and for nothing else;
    * the tag `mlflow.prompt.is_prompt` of a registered model or a version reads as 'false' where it is
      missing, to `=` and `!=`: clients ask for models with `!= 'true'` or `= 'false'`.

    **Source**: MLflow 3.17.2 joins each filter inwards (`_get_sqlalchemy_filter_clauses` for runs, whose
    nearest exception is a metric that is NaN: it passes `!=` and nothing else) and, in the registry, drops
    filters on that one tag when it excludes prompts (`_update_query_to_exclude_prompts`).
    """
    if comparison.operator == "IS NULL":
        return True
    if entity.family != "registry" or (comparison.kind, comparison.key) != ("tag", IS_PROMPT):
        return False
    is_false = str(comparison.value).lower() == "false"
    return is_false if comparison.operator == "=" else comparison.operator == "!=" and not is_false


def _comparison(clause: Clause, entity: Entity) -> Comparison:
    keys = (Kind.WORD, Kind.JUNK) if entity.family == "logged_models" else (Kind.WORD,)
    if clause.left.kind not in keys:
        raise wording.not_a_key(clause.left.text)
    kind, key, spelled = read_key(clause.left.text, entity, dict(entity.attributes))
    takes = entity.operators_of(kind, key)
    if clause.operator in NULLS and clause.operator not in takes:
        raise wording.wrong_null(clause.operator, kind, spelled, entity)
    if entity.family == "logged_models" and clause.operator not in takes:
        raise wording.wrong_operator(clause.operator, kind, key, entity)
    return Comparison(kind, key, clause.operator, read_value(clause, kind, key, spelled, entity))


def _checked(clause: Clause, comparison: Comparison, entity: Entity) -> Comparison:
    """Return the comparison in its last form: MLflow too looks at operators once every clause is read."""
    if comparison.operator not in entity.operators_of(comparison.kind, comparison.key):
        raise wording.wrong_operator(comparison.operator, comparison.kind, comparison.key, entity)
    if clause.right and isinstance(comparison.value, tuple) and comparison.operator not in LISTS:
        raise wording.not_a_string(comparison.kind, clause.right.text, entity)
    if comparison.kind != "attribute":
        return comparison
    return replace(comparison, value=settle(comparison.value, comparison.key, entity))


def _order(clause: str, entity: Entity) -> OrderBy:
    tokens = tokenize(clause)
    words = [token for token in tokens if token.kind is Kind.WORD]
    if not _is_storable(clause) or len(words) != len(tokens) or len(words) not in (1, 2):
        raise wording.bad_order(clause)
    if not is_operand(words[0]) or words[0].is_word("ASC", "DESC"):
        raise wording.bad_order(clause)
    if len(words) == 2 and not words[1].is_word("ASC", "DESC"):
        raise wording.invalid(f"Invalid ordering key in order_by clause '{clause}'.")
    kind, key = _order_key(words[0].text, entity)
    if kind not in entity.order_kinds:
        raise wording.wrong_order_kind(kind, key, entity)
    return OrderBy(kind, key, not words[1:] or words[1].is_word("ASC"))


def _order_key(raw: str, entity: Entity) -> tuple[KeyKind, str]:
    if entity.shown_order:  # registered models: attributes only, and without a type
        name = raw if "." in raw else unquote(raw)
        if name not in entity.order:
            raise wording.invalid(
                f"Invalid order by key '{name}' specified. "
                f"Valid keys are '{wording.shown(entity.shown_order)}'"
            )
        return "attribute", entity.order[name]
    kind, key, _ = read_key(raw, entity, dict(entity.order))
    return kind, key


def _is_storable(text: str) -> bool:
    """Whether a database can hold it: no NUL, no half of a surrogate pair."""
    return "\0" not in text and not any("\ud800" <= character <= "\udfff" for character in text)
