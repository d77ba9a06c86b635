"""Queries of addresses: what each page may be asked for, read in one place; what is wrong is told, never ignored.

The table of routes (`routes.py`) says what a page takes. Whether what is named exists is looked up by the page, which
refuses it in the same words (`refusal`). Paths are read where they are used.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from urllib.parse import quote, urlencode

from starlette.datastructures import QueryParams
from starlette.requests import Request

from penstock.base.errors import Invalid, PenstockError

CODE = "pages.bad_query"
SHOWN = 60
TRACKING = re.compile(
    r"utm_\w+|mtm_\w+|pk_\w+|hsa_\w+|_hs\w+|mc_[ce]id|(?:fb|g|d|tt|tw|y|epi)clid|msclkid|[gw]braid|igshid|li_fat_id|_gl|_ga"
)
"""What mail programs, chats and advertisements hang on addresses that people send each other: nobody meant it for a page."""
_KEY = "penstock.query"


@dataclass(frozen=True)
class Parameter:
    """A parameter of text: how long it may be, whether it may stand there more than once, and whether blanks around count."""

    name: str
    most: int = 500
    is_many: bool = False
    is_verbatim: bool = False

    def wrong(self, text: str) -> str:
        """Return what is wrong with a value that is not empty, or nothing."""
        if len(text) > self.most:
            return f"has {len(text):,} characters, of which at most {self.most:,} are read"
        return "holds a character that no name has" if "\0" in text else ""


@dataclass(frozen=True)
class Number(Parameter):
    """A whole number that is at least one."""

    most: int = 15

    def wrong(self, text: str) -> str:
        """Return what is wrong with a value that is not empty, or nothing."""
        is_number = text.isascii() and text.isdigit() and len(text) <= self.most and int(text) > 0
        return "" if is_number else f"is a whole number from 1 on, not {_shown(text)}"


@dataclass(frozen=True)
class Choice(Parameter):
    """One of a few words."""

    of: Sequence[str] = ()

    def wrong(self, text: str) -> str:
        """Return what is wrong with a value that is not empty, or nothing."""
        return (
            ""
            if text in self.of
            else f"is {listed([one for one in self.of if one], 'or')}, not {_shown(text)}"
        )


class Query(Mapping[str, str]):
    """What an address asks for: every parameter that its page takes, empty where it was not given."""

    def __init__(self, takes: Sequence[Parameter], given: QueryParams) -> None:
        self._values = {
            one.name: [text if one.is_verbatim else text.strip() for text in given.getlist(one.name)]
            for one in takes
        }

    def __getitem__(self, name: str) -> str:
        return (self._values[name] or [""])[0]

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def every(self, name: str) -> list[str]:
        """Return every value of a parameter that may stand there more than once."""
        return self._values[name]

    def has(self, name: str) -> bool:
        """Say whether a parameter was given, be it empty."""
        return bool(self._values[name])

    def number(self, name: str) -> int | None:
        """Return a number, None where it was not given."""
        return int(self[name]) if self[name] else None


def read_query(request: Request, takes: Sequence[Parameter]) -> None:
    """Read what an address asks for, and note it for its page (`query_of`).

    What trackers hang on an address is passed over.

    Raises:
        Invalid: it asks for what the page does not take, or in a form that cannot be read.
    """
    given = request.query_params
    known = {one.name: one for one in takes}
    for name in given:
        parameter = known.get(name)
        if parameter is None and TRACKING.fullmatch(name):
            continue
        if parameter is None:
            raise _unknown(name, list(known))
        values = given.getlist(name)
        if not parameter.is_many and len(set(values)) > 1:
            raise refusal(name, "stands there more than once")
        for text in values:
            if text.strip() and (why := parameter.wrong(text.strip())):
                raise refusal(name, why)
    request.scope[_KEY] = Query(takes, given)


def query_of(request: Request) -> Query:
    """Return what an address asks for, as it was read before its page was made."""
    found: Query = request.scope[_KEY]
    return found


def refusal(name: str, why: str, hint: str | None = None) -> Invalid:
    """Return the error that tells what is wrong with a parameter; the page of errors leads to the address without it."""
    return Invalid(f"the address's {_shown(name)} {why}", code="pages.bad_query", hint=hint, parameter=name)


def address_without(request: Request, error: PenstockError) -> str | None:
    """Return the address that was asked for without what is wrong in its query; None where nothing is."""
    if error.code != CODE:
        return None
    kept = [
        (key, value) for key, value in request.query_params.multi_items() if key != error.fields["parameter"]
    ]
    path = "/" + quote(request.url.path, safe="/@").lstrip("/")
    return f"{path}?{urlencode(kept)}" if kept else path


def listed(words: Sequence[str], last: str = "and") -> str:
    """Return words as a sentence has them.

    Example:
        >>> listed(["a", "b", "c"]), listed(["a"], "or"), listed(["a", "b"], "or")
        ('a, b and c', 'a', 'a or b')
    """
    return f" {last} ".join(part for part in (", ".join(words[:-1]), *words[-1:]) if part)


def _unknown(name: str, known: Sequence[str]) -> Invalid:
    takes = f"it takes {listed(known)}" if known else "it takes none"
    near = get_close_matches(name, known, 1)
    return refusal(name, f"means nothing to this page: {takes}", f"{near[0]}=" if near else None)


def _shown(text: str) -> str:
    return repr(text if len(text) <= SHOWN else f"{text[:SHOWN]}…")
