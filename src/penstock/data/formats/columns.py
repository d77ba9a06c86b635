"""Columns that a table lacks, and what it has that was probably meant."""

from __future__ import annotations

from collections.abc import Sequence

from penstock.base.errors import Invalid

SEPARATORS = {";": "semicolons", "\t": "tabs", "|": "bars"}
SHOWN = 30


def no_column(message: str, name: str, there: Sequence[str]) -> Invalid:
    """Make the error for a column that is not there; its hint says what looks like it, or which columns there are."""
    return Invalid(message, code="data.no_column", hint=_meant(name, there), column=name)


def _meant(name: str, there: Sequence[str]) -> str:
    if len(there) == 1:
        separated = next((words for mark, words in SEPARATORS.items() if mark in there[0]), None)
        if separated:
            return f"its heading is one column, with {separated} in it: a CSV's columns are parted by commas"
    near = next((one for one in there if _plain(one) == _plain(name)), None)
    if near is not None:
        return f"it has {near!r}: names have to agree in every letter and space"
    more = f" and {len(there) - SHOWN} more" if len(there) > SHOWN else ""
    return f"columns: {', '.join(there[:SHOWN])}{more}" if there else "it has no columns at all"


def _plain(name: str) -> str:
    return "".join(one for one in name if one.isprintable()).strip().casefold()
