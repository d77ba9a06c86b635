"""Catalogue: the role of what is asked for models, versions and runs. `store_catalogue` and `server_catalogue`
are its implementations; both give the same answers, which `tests/contracts/test_catalogue.py` checks.

References to versions are written `NAME/3`, `NAME/latest`, `NAME@champion`, `NAME@champion@2026-11-20`, and
`NAME` for its champion. Places of models are `models:/` and a reference, `models:/m-…` and `runs:/RUN/NAME`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import msgspec

from penstock.base.errors import Invalid
from penstock.registry.names import is_latest
from penstock.tracking.entities import Run

DIGEST_TAG = "penstock.digest"
_MODEL_ID = re.compile(r"m-[0-9a-f]{32}\Z")
_RUN_ID = re.compile(r"[a-zA-Z0-9][\w\-]{0,255}\Z")


class Version(msgspec.Struct, frozen=True, kw_only=True):
    """A registered version. `digest` is empty where the server has no manifest of its files."""

    name: str
    number: int
    digest: str
    source: str
    created_ms: int
    run_id: str | None = None
    model_id: str | None = None
    description: str | None = None
    stage: str = "None"
    tags: dict[str, str] = {}
    aliases: tuple[str, ...] = ()

    @property
    def ref(self) -> str:
        """The version's name: `NAME/3`."""
        return f"{self.name}/{self.number}"

    @property
    def uri(self) -> str:
        """Where `load_model` finds it."""
        return f"models:/{self.ref}"


@dataclass(frozen=True)
class Located:
    """The folder of a model's files: its place in the artifact proxy and, where it is known, its digest.

    `version` is set where the folder is a registered version's.
    """

    uri: str
    place: str
    digest: str = ""
    version: Version | None = None


@dataclass(frozen=True)
class RunQuery:
    """Which runs are wanted; an empty list of experiments means all."""

    experiments: Sequence[str] = ()
    filter: str = ""
    order_by: Sequence[str] = ()
    limit: int = 1000


class Catalogue(Protocol):
    """Answers what is kept; may be called from several threads."""

    def get_run(self, run_id: str) -> Run:
        """Return a run; the stages of a pipeline's are left out.

        Raises:
            NotFound: there is none.
        """
        ...

    def search_runs(self, query: RunQuery) -> list[Run]:
        """Return runs that match, in order.

        Raises:
            NotFound: there is no such experiment.
            Invalid: filter or order cannot be read.
        """
        ...

    def get_version(self, reference: str) -> Version:
        """Return the version that a reference means.

        Raises:
            NotFound: there is no such version or alias.
            Invalid: the reference cannot be read.
        """
        ...

    def list_versions(self, name: str) -> list[Version]:
        """Return a model's versions, newest first; none for an unknown model."""
        ...

    def register(self, name: str, uri: str, tags: Mapping[str, str], description: str | None) -> Version:
        """Register the model at a place as the next version of `name`, which is made if need be.

        Raises:
            NotFound: there is no such place.
            Invalid: name, tags or place cannot be such.
        """
        ...

    def set_alias(self, name: str, alias: str, number: int) -> None:
        """Point an alias at a version.

        Raises:
            NotFound: there is no such version.
            Refused, Denied: the policy does not allow it.
        """
        ...

    def delete_alias(self, name: str, alias: str) -> None:
        """Take an alias away; one that is not there is away already.

        Raises:
            NotFound: there is no such model.
            Refused, Denied: the alias is protected.
        """
        ...

    def locate(self, uri: str) -> Located:
        """Return where a model's files are.

        Raises:
            NotFound: there is no such version, model, run or folder.
            Invalid: it is no such URI, or the model was never finished.
            Refused: the files are at a place that needs its own client.
        """
        ...

    def download(self, located: Located, folder: Path) -> None:
        """Write a model's files into a new folder.

        Raises:
            NotFound: there are none.
            Corrupt: what is kept is not what was registered.
        """
        ...

    def close(self) -> None:
        """Release what is open."""
        ...


def parse_uri(uri: str) -> tuple[str, str]:
    """Return what a model's URI names: `version` and a reference, `model` and an id, `run` and `RUN/PATH`.

    Raises:
        Invalid: it is none of these.

    Example:
        >>> parse_uri("models:/late@champion"), parse_uri("runs:/1f/model")
        (('version', 'late@champion'), ('run', '1f/model'))
    """
    scheme, _, rest = uri.partition(":/")
    if scheme == "models" and rest and not rest.startswith("/"):
        return ("model" if _MODEL_ID.match(rest) else "version"), rest
    run_id, _, path = rest.partition("/")
    parts = path.split("/")
    if scheme == "runs" and _RUN_ID.match(run_id) and not {"", ".", ".."} & set(parts):
        return "run", rest
    raise Invalid(
        f"{uri!r} names no model",
        code="client.bad_model_uri",
        hint="write models:/NAME@champion, models:/NAME/3, models:/m-… or runs:/RUN/NAME",
    )


def parse_number(reference: str) -> tuple[str, int | None]:
    """Return name and number of `NAME/3`; no number for `NAME/latest`.

    Raises:
        Invalid: it is neither.
    """
    name, _, tail = reference.partition("/")
    if is_latest(tail):
        return name, None
    if not (tail.isascii() and tail.isdigit() and len(tail) < 10):
        raise Invalid(
            f"{reference!r}: a version is a number",
            code="registry.bad_reference",
            hint="write NAME/3, NAME/latest or NAME@champion",
        )
    return name, int(tail)
