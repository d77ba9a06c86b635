"""Find the comparisons among the tokens of a filter: `left operator right`, joined by AND.

It knows no entity and no meaning: whether `right` may be a list or `left` names something is decided in
`values`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from penstock.records.search.tokens import Kind, Token

# Words that separate or join and so name nothing; as part of a key (`tags.order`) they are ordinary.
_RESERVED = (
    "AND",
    "OR",
    "NOT",
    "IN",
    "IS",
    "LIKE",
    "ILIKE",
    "REGEXP",
    "RLIKE",
    "BETWEEN",
    "CASE",
    "TRUE",
    "FALSE",
)
_OPERANDS = (Kind.WORD, Kind.STRING, Kind.NUMBER, Kind.GROUP, Kind.JUNK)


@dataclass(frozen=True)
class Clause:
    """One comparison as written.

    Args:
        operator: upper case, words separated by one space.
        right: None where the operator takes no value (IS NULL, IS NOT NULL).
    """

    left: Token
    operator: str
    right: Token | None


def find(tokens: Sequence[Token]) -> tuple[list[Clause | Token], list[Token]]:
    """Return the comparisons and ANDs in their order, and the tokens that belong to neither."""
    items: list[Clause | Token] = []
    strays: list[Token] = []
    index = 0
    while index < len(tokens):
        token = tokens[index]
        clause, length = _clause(tokens, index)
        if clause is not None:
            items.append(clause)
            index += length
            continue
        if token.is_word("AND"):
            items.append(token)
        else:
            strays.append(token)
        index += 1
    return items, strays


def misplaced(items: Sequence[Clause | Token]) -> Token | None:
    """Return the first token where comparisons and ANDs do not alternate; None where they do."""
    expects_clause = True
    for item in items:
        if isinstance(item, Clause) is not expects_clause:
            return item.left if isinstance(item, Clause) else item
        expects_clause = not expects_clause
    last = items[-1] if items else None
    return last if isinstance(last, Token) else None


def is_operand(token: Token) -> bool:
    """Whether it can stand on a side of a comparison."""
    return token.kind in _OPERANDS and not token.is_word(*_RESERVED)


def _clause(tokens: Sequence[Token], index: int) -> tuple[Clause | None, int]:
    left = tokens[index]
    if not is_operand(left):
        return None, 0
    operator, width = _operator(tokens[index + 1 : index + 4])
    if operator.startswith("IS "):
        return Clause(left, operator, None), 1 + width
    at = index + 1 + width
    if not operator or at >= len(tokens):
        return None, 0
    right = tokens[at]
    if not is_operand(right) or (operator in ("IN", "NOT IN") and right.kind is not Kind.GROUP):
        return None, 0
    return Clause(left, operator, right), 2 + width


def _operator(tokens: Sequence[Token]) -> tuple[str, int]:
    """Return the operator that these begin with and of how many it is made; "" and 0 if with none."""
    if not tokens:
        return "", 0
    first = tokens[0]
    if first.kind is Kind.OPERATOR or first.is_word("LIKE", "ILIKE", "IN", "REGEXP", "RLIKE"):
        return first.text.upper(), 1
    if first.is_word("NOT") and tokens[1:] and tokens[1].is_word("IN", "LIKE", "ILIKE"):
        return f"NOT {tokens[1].text.upper()}", 2
    if first.is_word("IS") and tokens[1:] and tokens[1].is_word("NULL"):
        return "IS NULL", 2
    if first.is_word("IS") and tokens[2:] and tokens[1].is_word("NOT") and tokens[2].is_word("NULL"):
        return "IS NOT NULL", 3
    return "", 0
