"""DataRepository: what every data function is told about the repository it works in.

A frozen context: where the root, the cache and the state are, and what the configuration says. It does
nothing itself beyond opening and closing; the verbs are the modules beside it.
"""

from __future__ import annotations

import os
import shlex
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from penstock.base.errors import Invalid, NotARepository, NotFound
from penstock.base.links import LINK_KINDS, LinkKind
from penstock.data.configuration.config import Config, load_config
from penstock.data.files.ignore import IgnoreRules
from penstock.data.files.private import check_private
from penstock.data.files.state import State
from penstock.data.objects import ObjectStore

if TYPE_CHECKING:
    from penstock.storage.backend import Backend


@dataclass(frozen=True)
class DataRepository:
    """One DVC repository; `root` is absolute, `seen` what a walk through it found (`penstock.data.pointers.metafiles`).

    `not_ignored` are data that git was to ignore and cannot, for the user to know (`penstock.data.git.ignored`);
    `emptied` are tracked directories of whose files `.dvcignore` excludes every one;
    `kept` are directories with copies of what a command replaced or removed (`penstock.data.verbs.keeping`).
    """

    root: Path
    dvc_dir: Path
    config: Config
    cache: ObjectStore
    state: State
    ignore: IgnoreRules
    seen: dict[str, tuple[Path, ...]] = field(default_factory=dict)
    not_ignored: list[Path] = field(default_factory=list)
    emptied: list[Path] = field(default_factory=list)
    kept: list[Path] = field(default_factory=list)

    @classmethod
    def open(cls, start: Path, cache_dir: Path | None = None) -> DataRepository:
        """Open the repository that holds `start`.

        `cache_dir` replaces the configured cache, so that a temporary worktree can share its main
        repository's.

        Raises:
            NotARepository: there is no `.dvc` directory at or above `start`.
            Invalid: the configuration cannot be read, or a link of `.dvc` leads elsewhere.
        """
        root = find_root(start)
        dvc_dir = root / ".dvc"
        check_private(root, dvc_dir)
        config = load_config(dvc_dir)
        configured = config.get("cache", "dir")
        cache_path = cache_dir or (Path(configured) if configured else dvc_dir / "cache")
        state = State(dvc_dir / "tmp" / "penstock-state.db")
        shared = config.get("cache", "shared") == "group"
        return cls(
            root, dvc_dir, config, ObjectStore(cache_path, shared, state), state, IgnoreRules(str(root))
        )

    def remote(self, name: str | None = None) -> Backend:
        """Open a remote by name, or the default one.

        Raises:
            NotFound, Invalid: as `remote_settings`.
        """
        from penstock.storage.resolve import open_backend

        return open_backend(*self.remote_settings(name))

    def remote_name(self, name: str | None = None) -> str:
        """Return `name`, or the default remote's; it exists in the configuration.

        Raises:
            NotFound: no remote of that name, or no default.
            Invalid: neither, and the configuration has an error.
        """
        chosen = name or self.config.get("core", "remote")
        if chosen is not None and chosen in self.config.remotes():
            return chosen
        self._check_config()
        if chosen is None:
            raise NotFound(
                "no remote is configured",
                code="data.no_remote",
                hint="penstock remote add -d NAME URL",
            )
        raise NotFound(
            f"there is no remote {chosen!r}",
            code="data.no_remote",
            hint=f"penstock remote add {shlex.quote(chosen)} URL",
            remote=chosen,
        )

    def remote_settings(self, name: str | None = None) -> tuple[str, dict[str, str]]:
        """Return a remote's URL and options; `remote://other/path` is followed.

        Raises:
            NotFound: as `remote_name`.
            Invalid: the configuration has an error, the remote has no URL, or remotes refer to each other.
        """
        chosen = self.remote_name(name)
        self._check_config()
        url, options = self._own_settings(chosen)
        followed = [chosen]
        while url.startswith("remote://"):
            other, _, rest = url.removeprefix("remote://").partition("/")
            if other in followed:
                raise _circle(followed[followed.index(other) :])
            followed.append(other)
            base, below = self._own_settings(self.remote_name(other))
            url = f"{base.rstrip('/')}/{rest}"
            options = below | options
        return url, options

    def _own_settings(self, name: str) -> tuple[str, dict[str, str]]:
        from penstock.data.configuration.values import no_url

        options = dict(self.config.remotes()[name])
        url = options.pop("url", "")
        if not url:
            raise no_url(name)
        return url, options

    def _check_config(self) -> None:
        from penstock.data.configuration.values import check_config

        check_config(self.config, self.dvc_dir)

    def link_kinds(self) -> tuple[LinkKind, ...]:
        """Return the configured `cache.type`, in the order to try.

        Raises:
            Invalid: an unknown kind.
        """
        text = self.config.get("cache", "type") or "reflink,copy"
        kinds: list[LinkKind] = []
        for word in text.split(","):
            kind = next((known for known in LINK_KINDS if known == word.strip()), None)
            if kind is None:
                raise Invalid(
                    f"cache.type {word.strip()!r} is unknown",
                    code="config.invalid",
                    hint=f"use some of {', '.join(LINK_KINDS)}",
                )
            kinds.append(kind)
        return tuple(kinds)

    def git_root(self) -> Path | None:
        """Return the git working tree that holds the repository, or None without git."""
        if self.config.is_set("core", "no_scm"):
            return None
        if os.path.exists(f"{self.root}/.git"):  # mostly, and it is asked three times for each stage
            return self.root
        return next((at for at in self.root.parents if (at / ".git").exists()), None)

    def relative(self, path: Path) -> str:
        """Return an absolute path as text relative to the root.

        Raises:
            Invalid: it is outside the repository.
        """
        text, above = str(path), f"{self.root}".rstrip("/") + "/"
        if text.startswith(above):
            return text[len(above) :]
        if path == self.root:
            return "."
        raise Invalid(f"{path} is outside the repository {self.root}", code="data.outside", path=text)

    def close(self) -> None:
        """Close the state file."""
        self.state.close()


def _circle(names: list[str]) -> Invalid:
    """Make the error for remotes whose URLs lead from one to the next and back."""
    told = " and ".join(map(repr, names))
    return Invalid(
        f"the remotes {told} refer to each other"
        if len(names) > 1
        else f"the remote {told} refers to itself",
        code="data.remote_circle",
        hint=f"penstock remote modify {shlex.quote(names[0])} url URL",
        remotes=names,
    )


def find_root(start: Path) -> Path:
    """Return the nearest directory at or above `start` that holds `.dvc`.

    Raises:
        NotARepository: there is none.
    """
    start = start.absolute()
    for directory in (start, *start.parents):
        if (directory / ".dvc").is_dir():
            return directory
    raise NotARepository(
        f"{start} is not inside a penstock or DVC repository",
        code="data.not_a_repository",
        hint="penstock init",
        path=str(start),
    )
