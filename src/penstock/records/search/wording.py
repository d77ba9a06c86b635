"""What is wrong with a search, in MLflow's words.

MLflow's clients and their users' tests match on these sentences, so they are kept as MLflow 3.17.2 says them,
a missing quote here and there included. Where it prints a Python set, the order there is random and here
alphabetical.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from penstock.base.errors import Invalid
from penstock.records.search.entities import LISTS, TEXT, Entity, KeyKind

KIND_NAMES: dict[KeyKind, str] = {
    "attribute": "attribute",
    "metric": "metric",
    "param": "parameter",
    "tag": "tag",
    "dataset": "dataset",
}
_PLURAL: dict[str, str] = {"attribute": "attributes", "metric": "metrics", "param": "params", "tag": "tags"}


def invalid(message: str) -> Invalid:
    """Return the error of a search that says something wrong."""
    return Invalid(message, code="search.invalid")


def shown(names: Iterable[str]) -> str:
    """Return a set as Python prints it, in alphabetical order."""
    return "{" + ", ".join(repr(name) for name in sorted(names)) + "}"


def blank(text: str, entity: Entity) -> Invalid:
    """Nothing but white space."""
    if entity.family == "logged_models":
        return invalid(f"Invalid filter string: {text!r}. Expected a single SQL expression.")
    return unreadable(text)


def unreadable(text: str) -> Invalid:
    """A character that no store can hold (NUL, half a surrogate pair)."""
    return invalid(
        f"Invalid filter '{text.encode('utf-8', 'backslashreplace').decode()}'. Could not be parsed."
    )


def several(text: str, entity: Entity) -> Invalid:
    """Statements separated by a semicolon."""
    if entity.family == "logged_models":
        return blank(text, entity)
    return invalid(f"Search filter contained multiple expression {text!r}. Provide AND-ed expression list.")


def strays(text: str, tokens: Sequence[str], entity: Entity) -> Invalid:
    """Tokens that are neither a comparison nor AND."""
    if entity.family == "logged_models":
        return invalid(
            f"Invalid filter string: {text!r}. Expected a list of comparisons separated by 'AND' "
            "(e.g. 'metrics.loss > 0.1 AND params.lr = 0.01')."
        )
    quoted = [f"'{token}'" for token in tokens] if entity.family == "runs" else tokens
    return invalid(f"Invalid clause(s) in filter string: {', '.join(quoted)}")


def not_a_key(text: str) -> Invalid:
    """The left side names nothing."""
    return invalid(f"Invalid comparison clause. Expected 'Identifier' found '{text}'")


def unknown_type(written: str, entity: Entity) -> Invalid:
    """The word before the first dot is no type of key."""
    if entity.family == "runs":
        return invalid(f"Invalid entity type '{written}'. Valid values are {list(_RUN_TYPES)}")
    if entity.family == "logged_models":
        return invalid(f"Invalid entity type: {written!r}. Expected one of {list(entity.types)}.")
    return invalid(f"Invalid entity type '{written}'. Valid entity types are {tuple(entity.types)}")


_RUN_TYPES = ("metric", "parameter", "tag", "attribute", "dataset")


def unknown_key(kind: KeyKind, key: str, valid: Iterable[str]) -> Invalid:
    """No such attribute, or no such property of a dataset."""
    return invalid(f"Invalid {kind} key '{key}' specified. Valid keys are '{shown(valid)}'")


def wrong_operator(operator: str, kind: KeyKind, key: str, entity: Entity) -> Invalid:
    """The key takes other operators."""
    allowed = entity.operators_of(kind, key)
    if entity.family == "logged_models":
        order = ("<", "<=", ">", ">=", "=", "!=") if ">" in allowed else _LOGGED_TEXT
        key += "_ms" if kind == "attribute" and key in entity.numeric else ""
        return invalid(
            f"Invalid comparison operator for {_PLURAL[kind]}.{key}: {operator!r}. Expected one of {order}."
        )
    if entity.family == "registry":
        which = f"attribute {key}" if key in entity.numeric and kind == "attribute" else kind
        return invalid(f"Invalid comparator for {which}: {operator}")
    if entity.family == "experiments" and (kind == "tag" or key == "experiment_id"):
        return invalid(f"Invalid comparator for {kind if kind == 'tag' else key}: {operator}")
    if kind == "attribute":
        allowed = TEXT | LISTS  # also for numbers: the list in MLflow's message is the wrong one
    closing = "'" if kind == "param" or (kind == "attribute" and key not in entity.numeric) else ""
    return invalid(f"Invalid comparator '{operator}' not one of '{shown(allowed)}{closing}")


_LOGGED_TEXT = ("=", "!=", "LIKE", "ILIKE", "IN", "NOT IN")


def wrong_null(operator: str, kind: KeyKind, key: str, entity: Entity) -> Invalid:
    """IS NULL where it is not understood."""
    if entity.family == "runs":
        what = f"'{KIND_NAMES[kind]}' '{key}'"
        return invalid(f"IS NULL / IS NOT NULL is only supported for tags and params, not for {what}")
    if entity.family == "experiments":
        return invalid(f"IS NULL / IS NOT NULL is only supported for tags, not for attribute '{key}'")
    return wrong_operator(operator, kind, key, entity)


def not_a_number(kind: KeyKind, key: str, found: str) -> Invalid:
    """A metric or a numeric attribute compared with something else."""
    where = "metric" if kind == "metric" else f"numeric attribute: {key}"
    return invalid(f"Expected numeric value type for {where}. Found {found}")


def not_whole(key: str, found: object, entity: Entity) -> Invalid:
    """An attribute that is a whole number, compared with another value."""
    value = str(found) if entity.family == "experiments" else found
    return invalid(f"Invalid value for numeric attribute '{key}': {value!r}")


def not_a_string(kind: KeyKind, found: str, entity: Entity) -> Invalid:
    """Text compared with something that is no text."""
    if kind in ("param", "tag"):
        what = f"a quoted string value for {KIND_NAMES[kind]} (e.g. 'my-value')"
    elif kind == "dataset":
        what = "a quoted string value for dataset attributes"
    elif entity.family == "registry":
        what = "a quoted string value or a list of quoted string values for attributes"
    else:
        what = "a quoted string value for attributes"
    return invalid(f"Expected {what}. Got value {found}")


def not_quoted(found: str) -> Invalid:
    """A bare word where a string belongs."""
    return invalid(
        "Parameter value is either not quoted or unidentified quote types used for string value "
        f"{found}. Use either single or double quotes."
    )


def no_list(entity: Entity) -> Invalid:
    """A list for an attribute that takes none."""
    return invalid(
        f"Only {sorted(entity.listed)} attributes support comparison with a list of quoted string values."
    )


def bad_list(problem: str) -> Invalid:
    """A list that is empty, ill-formed or holds something else than strings."""
    return invalid(f"While parsing a list in the query, expected {problem}")


def bad_order(clause: str) -> Invalid:
    """An order_by that is not `key`, `key ASC` or `key DESC`."""
    shown_clause = clause.encode("utf-8", "backslashreplace").decode()
    return invalid(f"Invalid order_by clause '{shown_clause}'. Could not be parsed.")


def wrong_order_kind(kind: KeyKind, key: str, entity: Entity) -> Invalid:
    """A kind of key that cannot order."""
    if entity.family == "experiments":
        return invalid(f"Invalid order_by entity: {kind}")
    if entity.family == "registry":
        return invalid(f"Invalid order by key '{key}' specified. Valid keys are {shown(entity.order)}")
    if entity.family == "logged_models":
        return wrong_field(f"{_PLURAL[kind]}.{key}")
    return invalid(f"Invalid identifier type '{kind}'")


def wrong_field(field_name: str) -> Invalid:
    """A field that logged models cannot be ordered by."""
    only = ". Only metrics are supported." if "." in field_name else ""
    return invalid(f"Invalid order by field name: {field_name}{only}")
