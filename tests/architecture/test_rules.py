"""The rules of the architecture that a linter of imports cannot see."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import penstock

SOURCE = Path(penstock.__file__).parent
FILES = sorted(path for path in SOURCE.rglob("*.py") if "migrations" not in path.parts)
MAX_LINES = 400
FORBIDDEN_NAMES = {"utils", "helpers", "common", "misc", "manager", "core"}
LAZY = {
    "penstock/__init__.py": "public names load their module when used",
    "penstock/access/passwords.py": "argon2, only where a password is checked",
    "penstock/base/store/database.py": "the PostgreSQL dialect, an eighth of the server's start, only there",
    "penstock/base/digest.py": "OpenSSL, 2 ms, only where something is hashed",
    "penstock/base/files.py": "shutil, only to remove a directory",
    "penstock/base/links.py": "shutil, 2 ms, only where a file is copied",
    "penstock/base/store/migrate.py": "Alembic, once in a store's life",
    "penstock/base/staging.py": "shutil, only to remove what a killed process left",
    "penstock/client/system.py": "pynvml, an optional dependency",
    "penstock/data/verbs/adding.py": "unprotecting, only where tracking ends",
    "penstock/data/configuration/config.py": "configobj, only to write",
    "penstock/data/configuration/values.py": "difflib, only to suggest",
    "penstock/data/git/ignored.py": "subprocess, only where git's files do not answer",
    "penstock/data/cache/hashing.py": "OpenSSL, only for a file whose hash is not known",
    "penstock/data/files/ignore.py": "pathspec, only where there is a .dvcignore",
    "penstock/data/cache/placing.py": "shutil, only to move across file systems or to clear up",
    "penstock/data/verbs/keeping.py": "shutil, only where something would be lost",
    "penstock/data/pointers/metafiles.py": "subprocess, only where patterns are git's to decide",
    "penstock/data/pointers/pointer.py": "ruamel, only for a pointer DVC would not have written",
    "penstock/data/files/private.py": "git, only where there is a link",
    "penstock/data/repository.py": "storage and DVC's schema, only for a remote",
    "penstock/data/pointers/rendering.py": "ruamel, only for a name that needs quoting",
    "penstock/data/verbs/stale.py": "git, only where something may be left of another commit",
    "penstock/data/verbs/status.py": "DVC 2's hashes",
    "penstock/data/files/workers.py": "ctypes, pickle and signal, only to fork",
    "penstock/flows/tracked/working_tree.py": "subprocess, only with core.autostage; DVC's state, only where there is one",
    "penstock/serving/loaders/sklearn.py": "skops, an optional dependency",
    "penstock/stats/detectors.py": "scipy, a fifth of the server's start, only to judge",
    "penstock/stats/distances.py": "the same",
    "penstock/storage/resolve.py": "obstore, only for a remote that is not a directory",
}


def name_of(path: Path) -> str:
    return path.relative_to(SOURCE.parent).as_posix()


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_a_file_is_small_named_for_what_it_holds_and_says_so(path: Path) -> None:
    text = path.read_text()
    assert len(text.splitlines()) <= MAX_LINES
    assert path.stem not in FORBIDDEN_NAMES
    assert ast.get_docstring(ast.parse(text)) or path.name == "__main__.py"


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_public_functions_and_classes_have_docstrings(path: Path) -> None:
    bare = [
        node.name
        for node in ast.parse(path.read_text()).body
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)
        and not node.name.startswith("_")
        and not ast.get_docstring(node)
    ]
    assert bare == []


def test_the_environment_is_read_in_one_place() -> None:
    readers = [
        name_of(path)
        for path in FILES
        if any(
            isinstance(node, ast.Attribute)
            and node.attr in {"environ", "getenv"}
            and getattr(node.value, "id", "") == "os"
            for node in ast.walk(ast.parse(path.read_text()))
        )
    ]
    assert readers == ["penstock/data/configuration/places.py", "penstock/workspace.py"]


def test_functions_import_only_in_commands_and_where_start_up_is_worth_it() -> None:
    offenders = [
        name_of(path)
        for path in FILES
        if "cli" not in path.relative_to(SOURCE).parts
        and name_of(path) not in LAZY
        and any(
            isinstance(inner, ast.Import | ast.ImportFrom)
            for node in ast.walk(ast.parse(path.read_text()))
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
            for inner in ast.walk(node)
        )
    ]
    assert offenders == []


def test_the_version_needs_nothing_but_the_command_line() -> None:
    code = (
        "import sys; from penstock.cli.main import run; run(['--version'])\n"
        "names = {name.split('.')[0] for name in sys.modules}\n"
        "print(sorted(n for n in names if any(n in str(getattr(sys.modules.get(n), '__file__', '') or '') and "
        "'site-packages' in str(getattr(sys.modules.get(n), '__file__', '') or '') for _ in [0])))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    version, modules = done.stdout.strip().splitlines()
    assert version == penstock.__version__
    third_party = set(ast.literal_eval(modules)) - {"click", "penstock"}
    assert {name for name in third_party if not name.startswith(("_", "distutils"))} == set()


def test_every_command_can_be_loaded_and_has_help() -> None:
    import click

    from penstock.cli.catalogue import COMMANDS
    from penstock.cli.main import cli

    context = click.Context(cli)
    for name in COMMANDS:
        command = cli.get_command(context, name)
        assert command is not None
        assert command.help
