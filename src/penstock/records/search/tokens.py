"""Cut a filter into tokens: the lexical rules, in one pass, in time linear in the text.

Lexical rules (each is a line of `_NEXT`):

* a string is in single quotes; a doubled quote inside stands for one; a backslash is an ordinary character;
* a word is parts joined by dots, each bare (letters, digits, `_`) or quoted; the first in backticks or double
  quotes, later ones in any of the three quotes. A word of one part in double quotes may also be a string value:
  only the place decides;
* a number is decimal, with an optional minus, fraction and exponent;
* an operator is the longest run of `<>=~!`;
* balanced parentheses are one token with all they hold.

Whatever is left (an open quote, `;`, `,`, words that run into other characters) is a token too, so that the
message can name it. No pattern backtracks: every quantifier is possessive.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum, auto

_SINGLE = r"'(?:[^']|'')*+'"
_DOUBLE = r'"(?:[^"]|"")*+"'
_BACKTICK = r"`(?:[^`]|``)*+`"
_TAIL = r"[^\s=<>!~(),;'\"`]"  # what a word runs into when nothing separates them

_NEXT = re.compile(
    rf"""
    (?P<space>\s++)
  | (?P<string>{_SINGLE})
  | (?P<number>-?(?:[0-9]++(?:\.[0-9]*+)?|\.[0-9]++)(?:[eE][+-]?[0-9]++)?(?!{_TAIL}))
  | (?P<word>(?:{_BACKTICK}|{_DOUBLE}|\w++)(?:\.(?:{_BACKTICK}|{_DOUBLE}|{_SINGLE}|\w++))*+)
  | (?P<operator>[<>=~!]++)
  | (?P<junk>{_TAIL}++)
  | (?P<mark>.)
    """,
    re.VERBOSE | re.DOTALL,
)
_ONE_PART = re.compile(rf"{_BACKTICK}|{_DOUBLE}|{_SINGLE}|\w++(?:\.\w++)*+")
_RUN_ON = re.compile(rf"{_TAIL}++")
_QUOTES = "'\"`"


class Kind(Enum):
    """What a token is, before anybody asks where it stands."""

    WORD = auto()
    STRING = auto()
    NUMBER = auto()
    OPERATOR = auto()
    GROUP = auto()
    JUNK = auto()
    MARK = auto()


@dataclass(frozen=True)
class Token:
    """One token and its text as written."""

    kind: Kind
    text: str

    def is_word(self, *words: str) -> bool:
        """Whether it is one of these keywords, given in upper case."""
        return self.kind is Kind.WORD and self.text.upper() in words


def tokenize(text: str) -> tuple[Token, ...]:
    """Cut text into tokens; every text has some.

    Cost: linear in the length of the text.

    Example:
        >>> [token.text for token in tokenize("metrics.`a b` >= -1e-3 AND name IN ('x', 'y')")]
        ['metrics.`a b`', '>=', '-1e-3', 'AND', 'name', 'IN', "('x', 'y')"]
    """
    flat: list[tuple[Token, int]] = []
    position = 0
    while found := _NEXT.match(text, position):  # `mark` matches any character: it ends with the text
        name, end = str(found.lastgroup), found.end()
        if name == "word" and text[end - 1] not in _QUOTES and (run_on := _RUN_ON.match(text, end)):
            name, end = "junk", run_on.end()
        if name != "space":
            flat.append((Token(Kind[name.upper()], text[position:end]), position))
        position = end
    return _grouped(text, flat)


def is_one_name(text: str) -> bool:
    """Whether it is bare throughout, or one part in quotes: what may follow a type and a dot."""
    return _ONE_PART.fullmatch(text) is not None


def is_quoted(token: Token) -> bool:
    """Whether it can be a string value."""
    return token.kind is Kind.STRING or (token.kind is Kind.WORD and token.text[0] == '"' == token.text[-1])


def unquote(text: str) -> str:
    """Return what a quoted part stands for; text that is not quoted as it is."""
    quote = text[:1]
    if len(text) >= 2 and quote in _QUOTES and text[-1] == quote:
        return text[1:-1].replace(quote * 2, quote)
    return text


def _grouped(text: str, flat: list[tuple[Token, int]]) -> tuple[Token, ...]:
    """Put every outermost pair of balanced parentheses into one token."""
    closing: dict[int, int] = {}
    opened: list[int] = []
    for index, (token, _) in enumerate(flat):
        if token.kind is Kind.MARK and token.text == "(":
            opened.append(index)
        elif token.kind is Kind.MARK and token.text == ")" and opened:
            closing[opened.pop()] = index
    tokens: list[Token] = []
    index = 0
    while index < len(flat):
        token, start = flat[index]
        last = closing.get(index)
        if last is not None:
            token = Token(Kind.GROUP, text[start : flat[last][1] + 1])
            index = last
        tokens.append(token)
        index += 1
    return tuple(tokens)
