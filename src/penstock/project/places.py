"""Where a project's state lies, as far as it can be told without the rules of penstock.yaml (`settings`)."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from penstock.data.formats.plainyaml import NotYamlError, load, parse_plain
from penstock.project.lineage_target import LineageTarget

HOME = ".penstock"
SETTINGS_FILE = "penstock.yaml"
DEFAULT_STORE = "sqlite:///.penstock/penstock.db"
DEFAULT_ARTIFACTS = ".penstock/artifacts"
RETRAINING = "PENSTOCK_RETRAINING"
"""The variable by which what a retraining started is known: the path of its log."""
_SQLITE = "sqlite:///"


@dataclass(frozen=True)
class KeySources:
    """What the environment says of keys: the secret or the file it lies in, and whom to trust besides."""

    secret: str | None = field(default=None, repr=False)
    secret_file: str | None = None
    trusted: tuple[str, ...] = ()

    @classmethod
    def of(cls, variables: Mapping[str, str]) -> KeySources:
        """Return what `PENSTOCK_SIGNING_KEY`, `PENSTOCK_SIGNING_KEY_FILE` and `PENSTOCK_TRUSTED_KEYS` say."""
        trusted = variables.get("PENSTOCK_TRUSTED_KEYS", "").replace(",", "\n").splitlines()
        return cls(
            secret=variables.get("PENSTOCK_SIGNING_KEY") or None,
            secret_file=variables.get("PENSTOCK_SIGNING_KEY_FILE") or None,
            trusted=tuple(one.strip() for one in trusted if one.strip()),
        )


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
    retraining: str = ""
    """The log of the retraining whose command works on it; empty where none does."""

    @property
    def store_file(self) -> Path | None:
        """The file of an embedded store, None for a server's."""
        if not self.store_url.startswith(_SQLITE):
            return None
        return Path(self.store_url.removeprefix(_SQLITE).partition("?")[0])


class Written(NamedTuple):
    """What a penstock.yaml says of names and places, right or wrong in the rest; defaults for what it does not say."""

    project: str
    store: str
    artifacts: str


def read_written(root: Path) -> Written:
    """Return what the penstock.yaml of a project says of its name and places; a file that cannot be read says nothing."""
    said: Any = None
    with suppress(OSError, UnicodeDecodeError, NotYamlError):
        text = (root / SETTINGS_FILE).read_text(encoding="utf-8")
        said = parse_plain(text) or load(text)
    texts = {
        key: value
        for key, value in (said.items() if isinstance(said, dict) else ())
        if isinstance(value, str)
    }
    return Written(
        texts.get("project", root.name),
        texts.get("store", DEFAULT_STORE),
        texts.get("artifacts", DEFAULT_ARTIFACTS),
    )


def absolute_store(root: Path, store: str) -> str:
    """Return the URL of a store with the path of an embedded one absolute."""
    if store.startswith(_SQLITE) and not store.startswith(f"{_SQLITE}/"):
        return f"{_SQLITE}{root / store.removeprefix(_SQLITE)}"
    return store
