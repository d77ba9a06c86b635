"""One scenario by both programs in repositories of their own; everything it leaves is compared."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from compat.dvc.tools import Tool, git
from facts import fact, plain

OWN = (".git/", ".dvc/tmp", ".dvc/cache/tmp", ".penstock")


@dataclass
class Side:
    """A repository and the program that works in it; `exits` notes which calls succeeded."""

    tool: Tool
    root: Path
    exits: list[tuple[str, bool]] = field(default_factory=list)

    def __call__(self, *arguments: str | Path, cwd: str = "") -> subprocess.CompletedProcess[str]:
        done = self.tool.run(self.root / cwd, *arguments)
        self.exits.append((" ".join(self._plain(str(word)) for word in arguments), done.returncode == 0))
        return done

    def json(self, *arguments: str | Path, cwd: str = "") -> Any:
        return json.loads(self(*arguments, "--json", cwd=cwd).stdout or "null")

    def text(self, *arguments: str | Path, cwd: str = "") -> str:
        return self._plain(self(*arguments, cwd=cwd).stdout)

    def put(self, files: dict[str, str]) -> None:
        for name, text in files.items():
            (self.root / name).parent.mkdir(parents=True, exist_ok=True)
            (self.root / name).write_text(text)

    def git(self, *arguments: str) -> None:
        git(self.root, *arguments)

    def commit_all(self, message: str = "data") -> None:
        self.git("add", "-A")
        self.git("commit", "-qm", message)

    def beside(self, name: str) -> Path:
        """Return a directory next to the repository."""
        path = self.root.with_name(f"{self.root.name}-{name}")
        path.mkdir(exist_ok=True)
        return path

    def with_remote(self) -> Path:
        path = self.beside("remote")
        self.root.joinpath(".dvc/config").write_text(
            "[core]\n    remote = store\n['remote \"store\"']\n    url = ../../remote\n"
        )
        self.root.joinpath(".dvc/config.local").write_text(f"['remote \"store\"']\n    url = {path}\n")
        return path

    def cached(self) -> list[str]:
        return names(self.root / ".dvc/cache/files")

    def _plain(self, text: str) -> str:
        return text.replace(str(self.root), "ROOT")


Scenario = Callable[[Side], object]


def names(folder: Path) -> list[str]:
    """Return the files below a directory, without what a program only staged there."""
    found = (path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
    return sorted(name for name in found if not name.endswith(".tmp"))


def tree_of(root: Path) -> dict[str, tuple[object, ...]]:
    """Return everything in a repository but git's and the programs' own state: kind, mode, links, content."""
    found: dict[str, tuple[object, ...]] = {}
    for path in sorted(root.rglob("*")):
        name = path.relative_to(root).as_posix()
        if name.startswith(OWN) or name.endswith((".tmp", ".dvc/config.local")):
            continue
        if path.is_symlink():
            found[name] = ("link", os.readlink(path).replace(str(root), ""))
        elif path.is_file():
            info = path.stat()
            found[name] = (oct(info.st_mode), info.st_nlink, path.read_bytes())
    return found


@dataclass(frozen=True)
class Comparison:
    """Runs a scenario with Penstock and compares what it leaves with the recorded facts of the real DVC."""

    make_repo: Callable[[str, Tool], Path]
    penstock: Tool
    dvc: Callable[[], Tool]

    def __call__(self, scenario: Callable[..., object], *case: Any) -> None:
        """Assert that what a scenario returns, which calls succeed and the whole tree are the same by both.

        Args:
            case: further arguments of the scenario, which tell its facts apart.
        """

        def outcome(tool: Tool) -> object:
            side = Side(tool, self.make_repo(tool.name, tool))
            found = scenario(side, *case)
            return {"returned": found, "exits": side.exits, "tree": tree_of(side.root)}

        theirs = fact(scenario, lambda: outcome(self.dvc()), program="dvc", case=case)
        ours = plain(outcome(self.penstock))
        assert ours["returned"] == theirs["returned"]
        assert ours["exits"] == theirs["exits"]
        assert ours["tree"] == theirs["tree"]
