"""A project: one root with its settings and the parts it works on, each opened when first used."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path

from penstock.base.errors import Invalid
from penstock.base.files import write_atomic
from penstock.base.git import Git
from penstock.base.store.database import Database, connect
from penstock.base.store.migrate import upgrade
from penstock.base.store.writer import GroupWriter
from penstock.data.repository import DataRepository
from penstock.project.keys import KeyRing, KeySources
from penstock.project.lineage_target import LineageTarget
from penstock.project.settings import ProjectSettings
from penstock.storage.content import ContentStore
from penstock.storage.resolve import open_backend

HOME = ".penstock"


@dataclass(frozen=True)
class Places:
    """Where a project's state lies; URLs are absolute."""

    root: Path
    home: Path
    store_url: str
    artifacts_url: str
    cache_dir: Path | None = None
    keys: KeySources = field(default_factory=KeySources)
    lineage: LineageTarget = field(default_factory=LineageTarget)
    own_root: Path | None = None
    """Where the project itself is, for a tree beside it that is gone afterwards (see `Project.at`)."""


class Project:
    """What flows work on. Not thread-safe while parts open; share it after that.

    `actor` is who acts, for the audit: `person:ada`, `ci`, `controller`.
    """

    def __init__(
        self, places: Places, settings: ProjectSettings, actor: str, problem: Invalid | None = None
    ) -> None:
        self._places, self._settings, self._actor = places, settings, actor
        self.settings_problem = problem
        """Why penstock.yaml cannot be used, None when it can; what needs no settings works all the same."""

    @property
    def places(self) -> Places:
        """Where its state lies."""
        return self._places

    @property
    def settings(self) -> ProjectSettings:
        """What penstock.yaml says.

        Raises:
            Invalid: it is wrong.
        """
        if self.settings_problem is not None:
            raise self.settings_problem
        return self._settings

    @property
    def readable_settings(self) -> ProjectSettings:
        """What penstock.yaml says; of a wrong one its name and places, and defaults: to serve on, never to judge."""
        return self._settings

    def go_by(self, settings: ProjectSettings, problem: Invalid | None = None) -> None:
        """Take what penstock.yaml says now; the places of the store and the artifacts stay as they are."""
        self._settings, self.settings_problem = settings, problem

    @property
    def actor(self) -> str:
        """Who acts, for the audit."""
        return self._actor

    @property
    def root(self) -> Path:
        """The root of the working tree."""
        return self.places.root

    @property
    def lasting_root(self) -> Path:
        """The root of the user's own tree, for what is to outlast a tree beside it."""
        return self.places.own_root or self.places.root

    @cached_property
    def git(self) -> Git:
        """Git in the working tree."""
        return Git(self.root)

    @cached_property
    def home(self) -> Path:
        """The `.penstock` directory; it exists and ignores itself in git."""
        home = self.places.home
        if not (home / ".gitignore").exists():
            write_atomic(home / ".gitignore", b"*\n", durable=False)
        return home

    @cached_property
    def database(self) -> Database:
        """The store, its schema current."""
        if self.places.store_url.startswith("sqlite"):
            _ = self.home
        database = connect(self.places.store_url)
        upgrade(database)
        return database

    @cached_property
    def writer(self) -> GroupWriter:
        """The store's writer for servers, where many write at once."""
        return GroupWriter(self.database)

    @cached_property
    def artifacts(self) -> ContentStore:
        """The artifact store."""
        return ContentStore(open_backend(self.places.artifacts_url))

    @cached_property
    def data(self) -> DataRepository:
        """The data repository of the working tree."""
        return DataRepository.open(self.root, cache_dir=self.places.cache_dir)

    @property
    def keys(self) -> KeyRing:
        """Whose signatures count, as penstock.yaml says now, and the key to sign with."""
        _ = self.home
        return KeyRing(self.places.home / "keys", self.places.keys, self.readable_settings.trusted_keys)

    def at(self, root: Path, settings: ProjectSettings, actor: str) -> Project:
        """Return the project of another tree with the same store, artifacts, models and cache."""
        places = replace(self.places, root=root, cache_dir=self.data.cache.root, own_root=self.lasting_root)
        return Project(places, settings, actor)

    def close(self) -> None:
        """Close what was opened."""
        for name in ("writer", "database", "data"):
            if name in self.__dict__:
                getattr(self, name).close()
