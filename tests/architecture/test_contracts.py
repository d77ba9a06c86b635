"""The lists of `.importlinter` are whole: what a linter cannot know is missing, such as a new gate, a test finds."""

from __future__ import annotations

import ast
import configparser
from fnmatch import fnmatchcase
from pathlib import Path

import penstock
from penstock.records.flavours import OWN as FLAVOURS
from penstock.registry.gates.catalogue import OWN as GATES

SOURCE = Path(penstock.__file__).parent
LINTER = configparser.ConfigParser()
LINTER.read(Path(__file__).parents[2] / ".importlinter")
PUBLIC = {"penstock.serving.loaders.chain"}
"""A flavour whose classes users import: `penstock.Chain`."""


def listed(contract: str, key: str) -> list[str]:
    """Return what a contract lists under a key."""
    return LINTER[f"importlinter:contract:{contract}"][key].split("\n")[1:]


def is_matched(module: str, expressions: list[str]) -> bool:
    """Whether a module is one of those listed, of which `*` stands for one name."""
    return any(one.count(".") == module.count(".") and fnmatchcase(module, one) for one in expressions)


def rooms_of(package: str) -> list[str]:
    """Return the packages in one."""
    folder = SOURCE.joinpath(*package.split(".")[1:])
    return [f"{package}.{one.name}" for one in sorted(folder.iterdir()) if (one / "__init__.py").is_file()]


def backends() -> list[str]:
    """Return what holds a kind of storage: a room, or a file with a class that is called one."""
    files = [
        f"penstock.storage.{path.stem}"
        for path in sorted((SOURCE / "storage").glob("*.py"))
        for node in ast.parse(path.read_text(encoding="utf-8")).body
        if isinstance(node, ast.ClassDef) and node.name.endswith("Backend") and node.name != "Backend"
    ]
    return files + rooms_of("penstock.storage")


def test_what_is_chosen_by_name_is_in_the_contract() -> None:
    targets = [*GATES.values(), *(entry.target for entry in FLAVOURS.values())]
    modules = [target.partition(":")[0] for target in targets]
    known = listed("by-name", "protected_modules")
    wanted = {*modules, *rooms_of("penstock.storage"), "penstock.ci.render"} - PUBLIC
    assert sorted(one for one in wanted if not is_matched(one, known)) == []
    assert len(GATES) > 20
    assert not is_matched("penstock.registry.gates.check", known)


def test_every_backend_is_in_the_contract_that_keeps_them_apart() -> None:
    apart = listed("storage", "layers")[1].split(" | ")
    assert sorted(apart) == sorted(backends())


def test_every_extra_library_has_its_adapter_named() -> None:
    """What an adapter alone may import is named with it, and an adapter that is named exists."""
    libraries = listed("adapters", "forbidden_modules")
    allowed = [line.split(" -> ") for line in listed("adapters", "ignore_imports") if line]
    assert {library for _, library in allowed} <= set(libraries)
    homes = {home.removesuffix(".*") for home, _ in allowed}
    places = {home: SOURCE.joinpath(*home.split(".")[1:]) for home in homes}
    gone = [home for home, path in places.items() if not (path.is_dir() or path.with_suffix(".py").is_file())]
    assert gone == []
