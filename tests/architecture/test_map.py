"""The map in docs/architecture.md: every room is on it, and what it says of files is so."""

from __future__ import annotations

import ast
import configparser
import re
from pathlib import Path

import penstock

SOURCE = Path(penstock.__file__).parent
ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/architecture.md").read_text(encoding="utf-8")
PROSE = [ROOT / "docs/architecture.md", *(ROOT / "docs/decisions").glob("*.md"), *ROOT.glob("*.md")]
WALKS = ("One prediction", "One data file")
CHECKED, UNCHECKED = "→", "⇢"
MAX_LINE = 130


def section(title: str) -> str:
    """Return the text under a heading of the page."""
    _, found, rest = PAGE.partition(f"\n## {title}\n")
    assert found, f"docs/architecture.md has no section {title!r}"
    return rest.partition("\n## ")[0]


def rows(title: str) -> list[tuple[str, str]]:
    """Return the tables under a heading without their heads."""
    cells: list[tuple[str, str]] = []
    for line in section(title).splitlines():
        if line.startswith("| --- "):
            cells.pop()
        elif line.startswith("| "):
            first, second = line.strip("|").split(" | ")
            cells.append((first.strip(), second.strip()))
    return cells


def walk(name: str) -> list[str]:
    """Return a walk's files and arrows in their order."""
    _, found, rest = section("Two walks").partition(f"**{name}.**")
    assert found, f"there is no walk {name!r}"
    found_all = re.findall(
        rf"`([\w/]+\.py)`|({CHECKED}|{UNCHECKED})", re.split(r"^\*\*", rest, flags=re.MULTILINE)[0]
    )
    return [path or arrow for path, arrow in found_all]


def imports_of(path: str) -> set[str]:
    """Return the files below src/penstock that a file imports, in functions too."""
    names: set[str] = set()
    for node in ast.walk(ast.parse((SOURCE / path).read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module:
            names |= {node.module, *(f"{node.module}.{one.name}" for one in node.names)}
        elif isinstance(node, ast.Import):
            names |= {one.name for one in node.names}
    places = [
        name.removeprefix("penstock.").replace(".", "/") for name in names if name.startswith("penstock.")
    ]
    files = {file for one in places for file in (f"{one}.py", f"{one}/__init__.py")}
    return {one for one in files if (SOURCE / one).is_file()}


def test_every_room_is_on_the_map_and_nothing_else() -> None:
    rooms = {f"{one.parent.relative_to(SOURCE).as_posix()}/" for one in SOURCE.rglob("__init__.py")} - {"./"}
    named = [room.strip("`") for room, _ in rows("The map")]
    assert sorted(named) == sorted(rooms), "give each room one line under «The map» in docs/architecture.md"


def test_a_room_has_one_line() -> None:
    table = [line for line in section("The map").splitlines() if line.startswith("| `")]
    assert [line for line in table if len(line) > MAX_LINE] == []


def test_a_row_of_where_to_look_can_be_taken_in() -> None:
    """One question a row: what needs many places is several, and no question is asked twice."""
    asked = [what for what, _ in rows("Where to look")]
    assert sorted(asked) == sorted(set(asked))
    long = [what for what, where in rows("Where to look") if len(re.findall(r"`[^`]+/[^`]*`", where)) > 6]
    assert long == []


def test_the_places_where_to_look_exist() -> None:
    quoted = [one for _, where in rows("Where to look") for one in re.findall(r"`([^`]+)`", where)]
    named = [one for one in quoted if "/" in one or one.endswith(".py")]
    assert len(named) > 150
    assert [place for place in named if not (SOURCE / place).exists()] == []


def test_the_page_shows_the_layers_of_the_linter() -> None:
    linter = configparser.ConfigParser()
    linter.read(ROOT / ".importlinter")
    layers = linter["importlinter:contract:layers"]["layers"].replace("penstock.", "").split("\n")
    shown = [line.strip() for line in section("Layers").splitlines() if line.startswith("    ")]
    assert shown == [line for line in layers if line]


def test_each_step_of_the_walks_is_taken_by_the_code() -> None:
    wrong: list[str] = []
    for name in WALKS:
        steps = walk(name)
        files = [one for one in steps if one.endswith(".py")]
        assert len(files) > 10, name
        wrong += [f"{name}: {one} does not exist" for one in files if not (SOURCE / one).is_file()]
        for place, arrow in enumerate(steps):
            if arrow == CHECKED:
                before, after = steps[place - 1], steps[place + 1]
                if after not in imports_of(before):
                    wrong.append(f"{name}: {before} does not import {after}")
    assert wrong == []


def test_every_checked_step_stands_between_two_files() -> None:
    for name in WALKS:
        steps = walk(name)
        arrows = [place for place, one in enumerate(steps) if not one.endswith(".py")]
        assert len(arrows) > 8, name
        assert all(steps[place - 1].endswith(".py") and steps[place + 1].endswith(".py") for place in arrows)


def test_the_pages_and_docstrings_name_places_that_exist() -> None:
    rooms = "|".join(sorted(one.name for one in SOURCE.iterdir() if (one / "__init__.py").is_file()))
    place = re.compile(rf"`((?:{rooms})/[\w/{{}},-]*(?:\.py)?|penstock\.(?!yaml|db\b)\w+(?:\.\w+)*)`")
    texts = {one.relative_to(ROOT).as_posix(): one.read_text(encoding="utf-8") for one in PROSE}
    for path in SOURCE.rglob("*.py"):
        docstrings = [
            ast.get_docstring(node) or ""
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
            if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
        ]
        texts[path.relative_to(SOURCE.parent).as_posix()] = "\n".join(docstrings)
    wrong = [
        f"{name}: {one}"
        for name, text in texts.items()
        for one in place.findall(text)
        if not all(is_there(each) for each in unfolded(one))
    ]
    assert wrong == []


def unfolded(text: str) -> list[str]:
    """Return what `a/{b,c}` stands for.

    Example:
        >>> unfolded("a/{b,c}")
        ['a/b', 'a/c']
    """
    head, brace, rest = text.partition("{")
    names, _, tail = rest.partition("}")
    return [f"{head}{name}{tail}" for name in names.split(",")] if brace else [text]


def is_there(name: str) -> bool:
    """Whether a path below src/penstock, with or without `.py`, or a dotted name of the package exists."""
    if "/" in name:
        return any((SOURCE / f"{name}{end}").exists() for end in ("", ".py"))
    parts = name.split(".")[1:]
    if not parts or hasattr(penstock, parts[0]):
        return True
    for count in range(len(parts), 0, -1):
        path = SOURCE.joinpath(*parts[:count])
        if path.is_dir():
            return count == len(parts)
        if path.with_suffix(".py").is_file():
            text = path.with_suffix(".py").read_text(encoding="utf-8")
            return all(re.search(rf"\b{part}\b", text) for part in parts[count:])
    return False
