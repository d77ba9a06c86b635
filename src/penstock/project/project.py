"""A project: one root with its settings and the parts it works on, each opened when first used."""

from __future__ import annotations

from dataclasses import replace
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING

from penstock.base.errors import Invalid
from penstock.base.files import write_atomic
from penstock.base.git import Git
from penstock.data.repository import DataRepository
from penstock.project.places import SETTINGS_FILE, Places

if TYPE_CHECKING:
    from penstock.base.store.database import Database
    from penstock.base.store.writer import GroupWriter
    from penstock.project.keys import KeyRing
    from penstock.project.settings import ProjectSettings
    from penstock.storage.content import ContentStore


class Project:
    """What flows work on. Not thread-safe while parts open; share it after that.

    `actor` is who acts, for the audit: `person:ada`, `ci`, `controller`.
    """

    def __init__(self, places: Places, settings: ProjectSettings | None, actor: str) -> None:
        self._places, self._settings, self._actor = places, settings, actor
        self._problem: Invalid | None = None
        self._has_store = False

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
        read = self.readable_settings
        if self._problem is not None:
            raise self._problem
        return read

    @property
    def settings_problem(self) -> Invalid | None:
        """Why penstock.yaml cannot be used, None when it can; what needs no settings works all the same."""
        _ = self.readable_settings
        return self._problem

    @property
    def readable_settings(self) -> ProjectSettings:
        """What penstock.yaml says; of a wrong one its name and places, and defaults: to serve on, never to judge.

        It is read when it is asked for first; what a command that needs none of it would wait for is its rules.
        """
        if self._settings is None:
            from penstock.project.settings import load_project_settings, read_places

            try:
                self._settings = load_project_settings(self.root)
            except Invalid as error:
                self._settings, self._problem = read_places(self.root), error
        return self._settings

    @property
    def name(self) -> str:
        """What its runs are recorded under; without a penstock.yaml its folder's name, for which no rules are read.

        Raises:
            Invalid: penstock.yaml is wrong.
        """
        return self.settings.project if self.has_settings else self.root.name

    @property
    def has_settings(self) -> bool:
        """Whether anything but defaults holds: there is a penstock.yaml, or settings were given."""
        return self._settings is not None or (self.root / SETTINGS_FILE).is_file()

    def go_by(self, settings: ProjectSettings, problem: Invalid | None = None) -> None:
        """Take what penstock.yaml says now; the places of the store and the artifacts stay as they are."""
        self._settings, self._problem = settings, problem

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

    @property
    def may_make_store(self) -> bool:
        """Whether the store is a file that is not there yet, and was not when the project was opened that this is of."""
        file = self.places.store_file
        return file is not None and not self._has_store and not file.exists()

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
        """The store, its schema current; where its file is not there, it is made by the first write.

        Raises:
            NotFound: the file is gone, and was there when the project was opened that this one is of.
        """
        file = self.places.store_file
        if file is None or file.is_file() or self._has_store:
            return self._open_store(must_exist=self._has_store)
        from penstock.base.store.unmade import UnmadeDatabase

        return UnmadeDatabase(file, partial(self._open_store, must_exist=False))

    def _open_store(self, *, must_exist: bool) -> Database:
        from penstock.base.store.clock import keep_in_step
        from penstock.base.store.database import connect
        from penstock.base.store.migrate import upgrade

        if self.places.store_url.startswith("sqlite"):
            _ = self.home
        database = connect(self.places.store_url, must_exist=must_exist)
        upgrade(database)
        keep_in_step(database)
        return database

    @cached_property
    def writer(self) -> GroupWriter:
        """The store's writer for servers, where many write at once."""
        from penstock.base.store.writer import GroupWriter

        return GroupWriter(self.database)

    @cached_property
    def artifacts(self) -> ContentStore:
        """The artifact store."""
        from penstock.storage.content import ContentStore
        from penstock.storage.resolve import open_backend

        return ContentStore(open_backend(self.places.artifacts_url))

    @cached_property
    def data(self) -> DataRepository:
        """The data repository of the working tree."""
        return DataRepository.open(self.root, cache_dir=self.places.cache_dir)

    @property
    def keys(self) -> KeyRing:
        """Whose signatures count, as penstock.yaml says now, and the key to sign with."""
        from penstock.project.keys import KeyRing

        _ = self.home
        return KeyRing(self.places.home / "keys", self.places.keys, self.readable_settings.trusted_keys)

    def at(self, root: Path, settings: ProjectSettings, actor: str) -> Project:
        """Return the project of another tree with the same store, artifacts, models and cache."""
        places = replace(self.places, root=root, cache_dir=self.data.cache.root, own_root=self.lasting_root)
        project = Project(places, settings, actor)
        project._has_store = "database" in self.__dict__ and self.database.is_made
        return project

    def close(self) -> None:
        """Close what was opened."""
        for name in ("writer", "database", "data"):
            if name in self.__dict__:
                getattr(self, name).close()
