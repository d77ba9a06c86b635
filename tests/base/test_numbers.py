"""How many of something, in words."""

from __future__ import annotations

import re
from pathlib import Path

from penstock.base.numbers import counted

SOURCE = Path(__file__).parents[2] / "src" / "penstock"
NOUNS = "rows|requests|labels|objects|files|columns|stages|runs|features|versions|endpoints|gates|checks|values|bytes"


def test_one_is_told_as_one_and_thousands_are_set_apart() -> None:
    assert [counted(count, "stage") for count in (0, 1, 2, 10_769)] == [
        "0 stages", "1 stage", "2 stages", "10,769 stages",
    ]  # fmt: skip
    assert counted(1, "object is", "objects are") == "1 object is"
    assert counted(2, "object is", "objects are") == "2 objects are"
    assert counted(3, "breach", "breaches") == "3 breaches"


def test_no_page_or_command_writes_a_plural_behind_a_count_by_hand() -> None:
    by_hand = re.compile(
        rf"(?:len\([^{{}}]*\)|_count|\blength(?: \| number)?|height)(?::,)? ?}}+ (?:{NOUNS})\b"
    )
    found = [
        f"{path.relative_to(SOURCE)}: {line.strip()[:120]}"
        for path in sorted([*SOURCE.rglob("*.py"), *SOURCE.rglob("*.html")])
        for line in path.read_text(encoding="utf-8").splitlines()
        if by_hand.search(line)
    ]
    assert found == []
