"""Read one clause against the description of an entity: what it names, and the value it compares with."""

from __future__ import annotations

import re

from penstock.records.search import wording
from penstock.records.search.clauses import Clause
from penstock.records.search.entities import DATASET_KEYS, Entity, KeyKind
from penstock.records.search.tokens import Kind, Token, is_one_name, is_quoted, tokenize, unquote

Value = str | float | int | tuple[str, ...] | None

# A pattern of SQLite's LIKE may have 50 000 bytes, and `sql` makes its own up to three times longer.
MAX_PATTERN_BYTES = 10_000
# Each element is a bound parameter: SQLite takes 32 766 in a statement, PostgreSQL 65 535.
MAX_LIST = 10_000
# Python refuses to read longer numbers at all (4300), and no attribute is near 64 bits (19).
MAX_DIGITS = 400

_WHOLE = re.compile(r"-?[0-9]++")


def read_key(raw: str, entity: Entity, valid: dict[str, str]) -> tuple[KeyKind, str, str]:
    """Return the kind of a key, its one name, and its name as written.

    The first dot splits, wherever it stands: `tags.a.b` is the tag `a.b`, and a key quoted as a whole
    (`"tags.a"`) is refused as by MLflow, for its type is then `"tags`.
    Logged models take `metrics.val/loss` without quotes, as MLflow does there and nowhere else.
    """
    head, dot, rest = raw.partition(".")
    kind: KeyKind = "attribute"
    if dot:
        spelled = unquote(head) if entity.family == "runs" and head[:1] == "`" else head
        if spelled not in entity.types:
            raise wording.unknown_type(spelled, entity)
        kind = entity.types[spelled]
        run_on = bool(rest) and entity.family == "logged_models" and not any(q in rest for q in "'\"`")
        if not is_one_name(rest) and not run_on:
            raise wording.strays(raw, [raw], entity)
    else:
        rest = head
    key = unquote(rest)
    if kind == "dataset" and key not in DATASET_KEYS:
        raise wording.unknown_key(kind, key, DATASET_KEYS)
    if kind != "attribute":
        return kind, key, key
    if key not in valid:
        raise wording.unknown_key(kind, key, valid)
    return kind, valid[key], key


def read_value(clause: Clause, kind: KeyKind, key: str, spelled: str, entity: Entity) -> Value:
    """Return the value of a clause in the type that its key has."""
    token = clause.right
    if token is None:
        return None
    if kind == "metric":
        if token.kind is not Kind.NUMBER:
            raise wording.not_a_number(kind, key, token.text)
        return float(token.text)
    if kind == "attribute" and key in entity.numeric:
        return _number(token, spelled, entity)
    if token.kind is Kind.GROUP:
        return _list(token, kind, key, entity)
    if token.kind is Kind.NUMBER and kind == "attribute" and entity.name == "model_versions":
        raise wording.invalid(
            f"Only the '{wording.shown(entity.numeric)}' attributes support comparison with numeric values."
        )
    text = _string(token, kind, entity)
    if clause.operator in ("LIKE", "ILIKE") and len(text.encode()) > MAX_PATTERN_BYTES:
        raise wording.invalid(f"A pattern may have at most {MAX_PATTERN_BYTES} bytes.")
    return text


def settle(value: Value, key: str, entity: Entity) -> Value:
    """Return the value of an attribute as its column holds it, once the operator is known to fit.

    Experiment ids become plain decimal digits, version numbers integers.
    """
    if entity.family == "experiments" and key == "experiment_id":
        if isinstance(value, tuple):
            return tuple(_experiment_id(element) for element in value)
        return _experiment_id(str(value))
    if key not in entity.numeric or entity.family not in ("experiments", "registry"):
        return value
    if isinstance(value, str) and _WHOLE.fullmatch(value.strip()) and len(value) <= MAX_DIGITS:
        return int(value)
    if not isinstance(value, int):
        raise wording.not_whole(key, value, entity)
    return value


def _string(token: Token, kind: KeyKind, entity: Entity) -> str:
    if is_quoted(token):
        return unquote(token.text)
    if token.kind is Kind.WORD and not token.is_word("NULL"):
        raise wording.not_quoted(token.text)
    raise wording.not_a_string(kind, token.text, entity)


def _number(token: Token, spelled: str, entity: Entity) -> int | float | str:
    if entity.family == "registry" and token.kind is Kind.GROUP:
        raise wording.no_list(entity)
    if entity.family == "registry" and token.kind is not Kind.NUMBER:
        return _string(token, "attribute", entity)  # a version number may be quoted: `settle` reads it
    if token.kind is not Kind.NUMBER or len(token.text) > MAX_DIGITS:
        raise wording.not_a_number("attribute", spelled, token.text)
    return int(token.text) if _WHOLE.fullmatch(token.text) else float(token.text)


def _experiment_id(text: str) -> str:
    if _WHOLE.fullmatch(text.strip()) and len(text) <= MAX_DIGITS:
        return str(int(text))
    raise wording.invalid(f"Invalid experiment ID '{text}'. Experiment ID must be a valid integer.")


def _list(token: Token, kind: KeyKind, key: str, entity: Entity) -> tuple[str, ...]:
    """Return the strings of a list, where one may stand."""
    if kind == "attribute" and key not in entity.listed:
        raise wording.no_list(entity)
    if kind in ("param", "tag") and entity.family != "logged_models":
        raise wording.not_a_string(kind, token.text, entity)
    return _elements(token)


def _elements(token: Token) -> tuple[str, ...]:
    tokens = tokenize(token.text[1:-1])
    if not tokens:
        raise wording.bad_list("a non-empty list of string values, but got empty list")
    separators, items = tokens[1::2], tokens[::2]
    literals = [_literal(item) for item in items]
    if None in literals or any(separator.text != "," for separator in separators):
        raise wording.bad_list("a non-empty list of string values, but got ill-formed list.")
    if len(literals) > MAX_LIST:
        raise wording.bad_list(f"at most {MAX_LIST} values")
    strings = tuple(literal for literal in literals if isinstance(literal, str))
    if len(strings) != len(literals):
        found = tuple(literals)
        raise wording.bad_list(
            f"string value, punctuation, or whitespace, but got different type in list: {found}"
        )
    return strings


def _literal(token: Token) -> str | int | float | None:
    if is_quoted(token):
        return unquote(token.text)
    if token.kind is not Kind.NUMBER or len(token.text) > MAX_DIGITS:
        return None
    return int(token.text) if _WHOLE.fullmatch(token.text) else float(token.text)
