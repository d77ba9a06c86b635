"""Calls of the real DVC that are remembered: what it said, and what it changed, for the state that it found.

A call is known by everything that DVC can see: its arguments, its place, the variables that the test gave, the version
of DVC, every file of the test with its mode and links, and for git the history, the index and the names. What Penstock
wrote before is part of that state. So a call is found again only where Penstock leaves to the byte what it left when the
real DVC was asked; if it leaves anything else, the call is missing, the test fails, and `make test-real` asks again.

Not remembered: calls that change git's history, that meet a lock, that reach a server or that start from a hook. Tests of
those ask the real DVC each time.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

import facts
from compat.dvc.tools import Caller

UNSEEN = (".dvc/tmp", ".penstock", ".git")
KEPT_AT_HOME = ("cache", ".ssh")
Entry = dict[
    str, Any
]  # of one path: mode, and text, base64, link, directory or the name it is the same file as
Tree = dict[str, Entry]


@dataclass
class Remembered:
    """Answers calls in one test: from memory, or by the real program where facts are recorded.

    Args:
        places: what the test may use: directories, found again in another run under the same number.
        home: where the configuration of the user is; keys of SSH do not count, since calls of a server are not remembered.
    """

    live: Caller | None
    places: Sequence[Path]
    home: Path
    path: Path
    test: str
    calls: dict[str, Any] = field(default_factory=dict)

    def run(
        self, arguments: Sequence[str], *, cwd: Path, env: Mapping[str, str]
    ) -> subprocess.CompletedProcess[str]:
        """Answer one call, and do to the files what DVC did."""
        before, index = look(self.places), [git_view(root) for root in self._repositories()]
        key = self._key(arguments, cwd, env, before, index)
        if facts.is_recording():
            self.calls[key] = self._ask(arguments, cwd, env, before)
        elif not self.calls:
            self.calls = _load(self.path).get(self.test, {})
        if key not in self.calls:
            pytest.fail(
                f"what dvc does for `dvc {' '.join(arguments)}` in this state is not in {self.path.name}: "
                "make test-real",
                pytrace=False,
            )
        call = self.calls[key]
        if not facts.is_recording():
            self._redo(call)
        out, err = (self._here(call[name]) for name in ("stdout", "stderr"))
        return subprocess.CompletedProcess(["dvc", *arguments], call["returncode"], out, err)

    def save(self) -> None:
        """Write the calls of this test, in place of those that it had."""
        if facts.is_recording() and self.calls:
            facts.write(self.path, self.test, self.calls)

    def _key(
        self, arguments: Sequence[str], cwd: Path, env: Mapping[str, str], before: Tree, index: list[Any]
    ) -> str:
        given = {
            name: value
            for name, value in env.items()
            if os.environ.get(name) != value and not name.startswith("PYTEST_")
        }
        seen = [
            facts.version_of("dvc"), list(arguments), str(cwd), given, index,
            {name: {**entry, "home": True} for name, entry in look([self.home], skip=KEPT_AT_HOME).items()},
            before,
        ]  # fmt: skip
        return hashlib.sha256(self._anywhere(json.dumps(seen, sort_keys=True)).encode()).hexdigest()[:24]

    def _ask(self, arguments: Sequence[str], cwd: Path, env: Mapping[str, str], before: Tree) -> Any:
        assert self.live is not None
        views = {root: git_view(root) for root in self._repositories()}
        done = self.live.run(arguments, cwd=cwd, env=env)
        after, staged = look(self.places), {}
        for root in self._repositories():
            history, index = git_view(root)
            assert history == views[root][0], f"`dvc {' '.join(arguments)}` changes git's history"
            new = sorted(set(index) - set(views[root][1]))
            if new:
                staged[str(root)] = [line.partition("\t")[2] for line in new]
        changed = {
            name: after.get(name) for name in sorted(before.keys() | after.keys())
            if before.get(name) != after.get(name)
        }  # fmt: skip
        found = {
            "call": " ".join(arguments), "returncode": done.returncode, "stdout": done.stdout,
            "stderr": done.stderr, "changed": changed, "staged": staged,
        }  # fmt: skip
        return json.loads(self._anywhere(json.dumps(found)))

    def _redo(self, call: Any) -> None:
        changed: dict[str, Entry | None] = json.loads(self._here(json.dumps(call["changed"])))
        for name in sorted(changed, reverse=True):
            path, entry = self._path(name), changed[name]
            if entry is not None and "directory" in entry and path.is_dir() and not path.is_symlink():
                continue
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            else:
                path.unlink(missing_ok=True)
        for name, entry in sorted(changed.items()):
            if entry is not None:
                self._write(self._path(name), entry)
        for root, names in json.loads(self._here(json.dumps(call["staged"]))).items():
            subprocess.run(["git", "add", "--force", "--", *names], cwd=root, check=True)

    def _write(self, path: Path, entry: Entry) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        if "same" in entry:
            os.link(self._path(entry["same"]), path)
        elif "link" in entry:
            path.symlink_to(entry["link"])
        else:
            if "directory" in entry:
                path.mkdir(exist_ok=True)
            elif "text" in entry:
                path.write_bytes(entry["text"].encode(errors="surrogateescape"))
            else:
                path.write_bytes(base64.b64decode(entry["base64"]))
            path.chmod(int(entry["mode"], 8))

    def _repositories(self) -> list[Path]:
        return [
            one
            for place in self.places
            for one in (place, *sorted(place.iterdir()))
            if (one / ".git").is_dir()
        ]

    def _path(self, name: str) -> Path:
        number, _, rest = name.partition("/")
        return self.places[int(number)] / rest

    def _anywhere(self, text: str) -> str:
        for number, place in enumerate(self.places):
            text = text.replace(str(place), f"{{place {number}}}")
        return text.replace(str(self.home), "{home}")

    def _here(self, text: str) -> str:
        for number, place in enumerate(self.places):
            text = text.replace(f"{{place {number}}}", str(place))
        return text.replace("{home}", str(self.home))


def look(places: Sequence[Path], skip: tuple[str, ...] = ()) -> Tree:
    """Return every file, link and directory of places, but what git and the programs keep for themselves."""
    found: Tree = {}
    files: dict[tuple[int, int], str] = {}
    for number, place in enumerate(places):
        for parent, folders, names in os.walk(place):
            below = Path(parent).relative_to(place).as_posix()
            folders[:] = sorted(
                one for one in folders if one not in skip and not _join(below, one).endswith(UNSEEN)
            )
            for one in [*folders, *sorted(names)]:
                path = Path(parent, one)
                found[f"{number}/{_join(below, one)}"] = _entry(path, f"{number}/{_join(below, one)}", files)
    return found


def empty(home: Path) -> None:
    """Remove what tests before this one left in the home that they share: clients of clouds leave folders there."""
    for path in home.iterdir():
        if path.name in KEPT_AT_HOME:
            continue
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()


def git_view(root: Path) -> tuple[list[str], list[str]]:
    """Return git's history, with names and without what depends on the time, and its index."""
    shown = _git(root, "log", "--all", "--topo-order", "--format=%T %D %s") if _has_commits(root) else []
    head = (root / ".git" / "HEAD").read_text()
    return [head if head.startswith("ref:") else "detached", *shown], _git(root, "ls-files", "--stage")


def _has_commits(root: Path) -> bool:
    return any((root / ".git" / "refs" / "heads").rglob("*")) or (root / ".git" / "packed-refs").exists()


def _git(root: Path, *arguments: str) -> list[str]:
    done = subprocess.run(["git", *arguments], cwd=root, capture_output=True, check=True)
    return done.stdout.decode(errors="surrogateescape").splitlines()


def _join(below: str, name: str) -> str:
    return name if below == "." else f"{below}/{name}"


def _entry(path: Path, name: str, files: dict[tuple[int, int], str]) -> Entry:
    info = path.lstat()
    if path.is_symlink():
        return {"link": os.readlink(path)}
    if path.is_dir():
        return {"directory": True, "mode": oct(info.st_mode & 0o7777)}
    if info.st_nlink > 1:
        first = files.setdefault((info.st_dev, info.st_ino), name)
        if first != name:
            return {"same": first}
    data = path.read_bytes()
    try:
        content = (
            {"text": data.decode()} if b"\0" not in data else {"base64": base64.b64encode(data).decode()}
        )
    except UnicodeDecodeError:
        content = {"base64": base64.b64encode(data).decode()}
    return {**content, "mode": oct(info.st_mode & 0o7777)}


def _load(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(path.read_text()) if path.exists() else {}
    return found
