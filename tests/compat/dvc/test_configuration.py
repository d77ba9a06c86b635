"""What one tool accepts as configuration the other one does too."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from compat.dvc.tools import Tool
from penstock.data.configuration.schema import ALIAS, NAMED, REMOTES, SECTIONS

pytestmark = pytest.mark.dvc("remembered")
TELL = """
import json
from dvc.config_schema import REMOTE_SCHEMAS, SCHEMA
keys = lambda table: sorted(str(key) for key in table)
print(json.dumps({
    "remotes": {scheme: keys(table) for scheme, table in REMOTE_SCHEMAS.items()},
    "sections": {name: keys(getattr(table, "schema", table)) for name, table in SCHEMA.items()},
    "named": {name: keys(SCHEMA[name][str]) for name in ("db", "machine")},
}))
"""
EDITS = [  # after `remote add r /x` and `remote add s s3://b/x`
    ("config", "db.x.y", "1"),
    ("config", "db.x.url", "sqlite://"),
    ("config", "core.remot", "r"),
    ("config", "bogus.key", "1"),
    ("config", "remote.r.endpointurl", "x"),
    ("config", "remote.s.endpointurl", "x"),
    ("config", "remote.fresh.jobs", "2"),
    ("remote", "modify", "r", "endpointurl", "x"),
    ("remote", "modify", "r", "jobs", "abc"),
    ("remote", "modify", "s", "read_timeout", "1.5"),
    ("remote", "modify", "s", "url", "/x"),
    ("remote", "modify", "-u", "r", "url"),
    ("remote", "add", "-f", "s", "/x"),
    ("remote", "default"),
]
FILES = [
    "[core]\nremote = r\nremote = s\n",
    "[core]\nremot = r\n",
    "[bogus]\nremote = r\n",
    "[core]\nremote = r\n['remote \"r\"']\nurl = /x\nurll = /y\n",
    "[core]\nremote = r\n['remote \"r\"']\nurl = /x\njobs = abc\n",
    "[core]\nremote = r\n['remote \"r\"']\njobs = 3\n",
]


@pytest.fixture
def repo(make_repo: Callable[[str, Tool], Path], penstock: Tool) -> Path:
    root = make_repo("repo", penstock)
    penstock(root, "remote", "add", "r", "/x")
    penstock(root, "remote", "add", "s", "s3://b/x")
    penstock(root, "remote", "modify", "s", "profile", "p")
    return root


@pytest.mark.dvc("real")
def test_the_tables_are_those_of_dvc(dvc: Tool) -> None:
    python = Path(dvc.command[0]).with_name("python")
    done = subprocess.run([str(python), "-c", TELL], capture_output=True, text=True, check=True)
    theirs = json.loads(done.stdout)
    theirs["remotes"].pop(ALIAS)
    assert theirs["remotes"] == {scheme: sorted(keys.split()) for scheme, keys in REMOTES.items()}
    assert theirs["named"] == {name: sorted(keys.split()) for name, keys in NAMED.items()}
    for name, keys in theirs["sections"].items():
        if name not in {*NAMED, "remote", "feature"}:
            assert keys == sorted(SECTIONS[name].split())


@pytest.mark.parametrize("edit", EDITS, ids=" ".join)
def test_an_edit_is_refused_by_both_or_by_none(
    repo: Path, dvc: Tool, penstock: Tool, edit: tuple[str, ...]
) -> None:
    before = (repo / ".dvc/config").read_bytes()
    theirs = dvc.run(repo, *edit)
    (repo / ".dvc/config").write_bytes(before)
    ours = penstock.run(repo, *edit)
    assert (ours.returncode == 0) == (theirs.returncode == 0), ours.stderr
    assert ours.returncode == 0 or (repo / ".dvc/config").read_bytes() == before
    dvc(repo, "status")


@pytest.mark.parametrize("text", FILES)
def test_a_broken_file_stops_both(
    make_repo: Callable[[str, Tool], Path], dvc: Tool, penstock: Tool, text: str
) -> None:
    root = make_repo("repo", penstock)
    (root / "f").write_text("f")
    penstock(root, "add", "f")
    (root / ".dvc/config").write_text(text)
    dvc(root, "status", "-c", ok=False)
    for command in ("push", "verify -c", "status -c", "gc -w -c -f"):
        done = penstock.run(root, *command.split())
        assert done.returncode == 1, command
        told = done.stderr
        assert "the remote 'r' has no URL" in told or str(root / ".dvc/config") in told
    assert not (root / "files").exists() and not (root / ".dvc/files").exists()
