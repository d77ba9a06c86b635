"""The documentation is in step with the code, and its links lead somewhere."""

from __future__ import annotations

import importlib.util
import json
import re
import runpy
import types
from collections.abc import Iterator
from http import HTTPStatus
from pathlib import Path
from typing import Any, Union, get_args, get_origin, get_type_hints
from urllib.parse import unquote

import msgspec
import yaml

from pages import Unreadable, check_command, commands_of
from penstock.base.settings import parse_settings
from penstock.cli.catalogue import COMMANDS
from penstock.cli.output import EXIT_CODES, EXIT_FAILED, EXIT_HELD, EXIT_INTERRUPTED, EXIT_USAGE
from penstock.http.errors import CODES, STATUSES
from penstock.project.settings import ProjectSettings
from penstock.registry.gates.settings import GateEntry

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
PAGES = sorted([*ROOT.glob("*.md"), ROOT / "examples/flights/README.md", *DOCS.rglob("*.md")])
COMMANDS_PAGE = DOCS / "reference/commands.md"
SETTINGS_PAGE = DOCS / "reference/settings.md"
ERRORS_PAGE = DOCS / "reference/errors.md"
ERROR_CODES = runpy.run_path(str(DOCS / "generate_error_codes.py"))
FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def page_name(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def prose_of(path: Path) -> str:
    return FENCE.sub("", path.read_text(encoding="utf-8"))


def test_every_relative_link_leads_to_a_file() -> None:
    broken = []
    for path in PAGES:
        targets = re.findall(r"\]\(([^)\s]+)\)", prose_of(path))
        local = [
            one.partition("#")[0] for one in targets if "://" not in one and not one.startswith("mailto:")
        ]
        broken += [
            f"{page_name(path)}: {one}" for one in local if one and not (path.parent / unquote(one)).exists()
        ]
    assert broken == []


def test_code_blocks_can_be_read() -> None:
    for path in PAGES:
        for language, text in FENCE.findall(path.read_text(encoding="utf-8")):
            if language == "python":
                compile(text, page_name(path), "exec")
            elif language == "json":
                json.loads(text)
            elif language == "yaml":
                yaml.safe_load(text)


def test_a_page_begins_with_its_title_and_a_fragment_is_named_for_its_kind() -> None:
    for path in PAGES:
        if path.parent.name == "changelog.d" and path.name != "README.md":
            assert re.fullmatch(r"[a-z0-9-]+\.(added|changed|fixed|removed|security)\.md", path.name), path
        else:
            assert path.read_text(encoding="utf-8").startswith("# "), path


def test_every_page_is_on_the_index() -> None:
    index = DOCS / "README.md"
    linked = set(re.findall(r"\]\(([^)\s]+\.md)\)", index.read_text(encoding="utf-8")))
    rooms = [DOCS, DOCS / "how-to", DOCS / "reference", DOCS / "explanation", DOCS / "decisions"]
    pages = {one.relative_to(DOCS).as_posix() for room in rooms for one in room.glob("*.md")} - {"README.md"}
    assert sorted(pages - linked) == [], "add them to docs/README.md"


def test_every_command_line_of_the_pages_can_be_read() -> None:
    wrong = []
    for path in PAGES:
        if path.parent.name == "changelog.d" or path == COMMANDS_PAGE:
            continue
        for line in commands_of(path.read_text(encoding="utf-8")):
            try:
                check_command(line)
            except Unreadable as error:
                wrong.append(f"{page_name(path)}: {error}")
    assert wrong == []


def test_the_modules_that_the_pages_name_exist() -> None:
    names = {
        (page_name(path), one)
        for path in PAGES
        for one in re.findall(r"(?:from|import) (penstock(?!\.yaml)[\w.]*)", path.read_text(encoding="utf-8"))
    }
    assert [one for one in sorted(names) if importlib.util.find_spec(one[1].rstrip(".")) is None] == []


def test_the_page_of_commands_is_in_step() -> None:
    generator = runpy.run_path(str(DOCS / "generate_commands.py"))
    assert COMMANDS_PAGE.read_text(encoding="utf-8") == generator["render"](), "run docs/generate_commands.py"


def test_the_index_of_error_codes_is_in_step() -> None:
    text = (DOCS / "reference/error-codes.md").read_text(encoding="utf-8")
    assert text == ERROR_CODES["render"](), "run make docs"


def test_a_code_names_its_part_and_its_case() -> None:
    codes = ERROR_CODES["collect"]()
    assert len(codes) > 250
    assert [one for one in codes if not re.fullmatch(r"[a-z_]+(\.[a-z_]+)+|usage|defect", one)] == []
    assert all(case.causes or code == "serving.feedback_refused" for code, case in codes.items())


def test_every_command_is_documented() -> None:
    page = COMMANDS_PAGE.read_text(encoding="utf-8")
    assert [name for name in sorted(COMMANDS) if f"\n## `penstock {name}`\n" not in page] == []


def structs(kind: Any, where: str) -> Iterator[tuple[str, type[msgspec.Struct]]]:
    """Yield every struct of the settings with the heading it has on the page."""
    origin = get_origin(kind)
    if origin in (Union, types.UnionType):
        for option in get_args(kind):
            yield from structs(option, where)
    elif origin in (tuple, list):
        yield from structs(get_args(kind)[0], f"{where}[]")
    elif origin is dict:
        yield from structs(get_args(kind)[1], f"{where}.NAME")
    elif isinstance(kind, type) and issubclass(kind, msgspec.Struct):
        yield where, kind
        own = (
            {name: kind.type_of(name) for name in kind.key_names()}
            if kind is GateEntry
            else get_type_hints(kind)
        )
        for name, inner in own.items():
            yield from structs(inner, f"{where}.{name}" if where else name)


def once(found: Iterator[tuple[str, type[msgspec.Struct]]]) -> list[tuple[str, type[msgspec.Struct]]]:
    """Return every struct at its highest place: gates of one model are written like those of all."""
    places: dict[type[msgspec.Struct], list[str]] = {}
    for where, kind in found:
        places.setdefault(kind, []).append(where)
    return [(min(headings, key=lambda one: one.count(".")), kind) for kind, headings in places.items()]


STRUCTS = once(structs(ProjectSettings, ""))


def rows_of(heading: str) -> dict[str, str]:
    """Return the defaults the page states under a heading, by key."""
    text = SETTINGS_PAGE.read_text(encoding="utf-8")
    _, found, rest = text.partition(f"\n## `{heading or '(root)'}`\n")
    assert found, f"settings.md has no section {heading!r}"
    return dict(re.findall(r"^\| `(\w+)` \| (.*?) \| .+ \|$", rest.partition("\n## ")[0], re.MULTILINE))


def test_every_setting_is_documented_with_its_default() -> None:
    wrong = [
        f"{heading or 'root'}: {one}" for heading, kind in STRUCTS for one in _undocumented(heading, kind)
    ]
    assert wrong == []


def _undocumented(heading: str, kind: type[msgspec.Struct]) -> Iterator[str]:
    rows = rows_of(heading)
    if kind is GateEntry:
        yield from sorted(set(rows) ^ set(kind.key_names()))
        return
    fields = {one.encode_name: one for one in msgspec.structs.fields(kind)}
    yield from sorted(set(rows) ^ set(fields))
    for name in set(rows) & set(fields):
        field = fields[name]
        if field.required:
            expected: tuple[str, ...] = ("required",)
        elif field.default is None:
            expected = ("–",)
        elif isinstance(field.default, msgspec.Struct) or field.default in ((), msgspec.NODEFAULT):
            expected = ("none", "see below")
        elif isinstance(field.default, tuple):
            expected = ("`[" + ", ".join(_text(one) for one in field.default) + "]`",)
        else:
            expected = (f"`{_text(field.default)}`",)
        if rows[name] not in expected:
            yield f"{name} is {rows[name]}, not {expected[0]}"


def _text(value: object) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


def test_the_page_of_settings_has_no_section_of_the_past() -> None:
    headings = re.findall(r"^## `(.+)`$", SETTINGS_PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    assert {one.replace("(root)", "") for one in headings} == {name for name, _ in STRUCTS}


def test_the_example_of_the_settings_page_is_valid() -> None:
    lines = SETTINGS_PAGE.read_text(encoding="utf-8").splitlines()
    example = "\n".join(line[4:] for line in lines if line.startswith("    "))
    assert parse_settings(example, ProjectSettings, "example").project == "flights"


def test_every_exit_code_and_status_is_documented() -> None:
    text = ERRORS_PAGE.read_text(encoding="utf-8")
    exits, _, statuses = text.partition("## HTTP statuses")
    codes = {code for _, code in EXIT_CODES} | {0, EXIT_FAILED, EXIT_USAGE, EXIT_HELD, EXIT_INTERRUPTED}
    assert {int(one) for one in re.findall(r"^\| (\d+) \|", exits, re.MULTILINE)} == codes
    known = {*(status for _, status in STATUSES), *CODES.values(), HTTPStatus.INTERNAL_SERVER_ERROR}
    assert {int(one) for one in re.findall(r"^\| (\d+) \|", statuses, re.MULTILINE)} == {
        int(one) for one in known
    }
    for cause, status in STATUSES:
        assert re.search(rf"^\| {int(status)} \|.*`{cause.__name__}`", statuses, re.MULTILINE), cause
