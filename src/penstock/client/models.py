"""The functions for models of `import penstock`: log, register, load; and `Models`, the models' part of `Client`.

They go to the server that `PENSTOCK_URI` or `MLFLOW_TRACKING_URI` names, else to the project of the working
directory, and do the same in both.
"""

from __future__ import annotations

import json
import secrets
import shutil
import tempfile
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import msgspec

from penstock.base.errors import (
    Conflict,
    Corrupt,
    Invalid,
    NotARepository,
    NotFound,
    PenstockError,
    Unavailable,
)
from penstock.client.active import ActiveRun
from penstock.client.catalogue import (
    DIGEST_TAG,
    Catalogue,
    Located,
    Version,
)
from penstock.client.connect import catalogue_of, find_place
from penstock.client.fluent import active_run, start_run
from penstock.client.joined import asked_with_rows
from penstock.client.sink import ModelDraft
from penstock.flows.models.loading import Trust, digest_folder, load_folder
from penstock.flows.models.uploaded import ENVIRONMENT_TAG
from penstock.project.environment import environment
from penstock.registry.flavours import save_model


class LoggedModel(msgspec.Struct, frozen=True, kw_only=True):
    """A model that a run logged; `id` is None while it waits here to be sent, `version` where none was registered."""

    name: str
    run_id: str
    digest: str
    id: str | None = None
    version: Version | None = None

    @property
    def uri(self) -> str:
        """Where `load_model` and `register_model` find it.

        Raises:
            Unavailable: it waits here to be sent.
        """
        if self.id is None:
            raise Unavailable(
                f"model {self.name!r} of run {self.run_id} was not sent yet",
                code="client.waits",
                hint="penstock run sync",
            )
        return f"models:/{self.id}"


@dataclass(frozen=True)
class Columns:
    """What a model takes: some rows, and further numeric columns that may be left out."""

    inputs: Any
    optional: Sequence[str] = ()


def log_model(
    model: Any,
    name: str = "model",
    *,
    inputs: Any = None,
    input_example: Any = None,
    optional: Sequence[str] = (),
    params: Mapping[str, object] | None = None,
    registered_model_name: str | None = None,
) -> LoggedModel:
    """Log a model to the active run, which is started if there is none.

    Args:
        model: a fitted model of a library that Penstock knows, an object with `predict` of a class of your own, or the
            path of a model folder that was written before.
        name: what the run calls it.
        inputs: some rows of what it takes: a frame of pandas or polars, a mapping of columns or of tensors, a list, or
            an array of any rank, as for `save_model`.
        input_example: the same under MLflow's name.
        optional: further numeric columns that a caller may leave out.
        params: what is told of the model itself.
        registered_model_name: registers it as the next version of this name.

    Raises:
        Invalid: the model cannot score the rows, or name or columns cannot be such.
        NotFound: the path is no model folder.
        Unavailable: it is to be registered, but the server cannot be reached.
    """
    run = active_run() or start_run()
    with _folder_of(model, Columns(input_example if inputs is None else inputs, optional)) as folder:
        logged = _log(run, folder, name, {key: str(value) for key, value in (params or {}).items()})
    if registered_model_name is None:
        return logged
    version = register_model(logged.uri, registered_model_name)
    return msgspec.structs.replace(logged, version=version)


def register_model(
    uri: str, name: str, *, tags: Mapping[str, str] | None = None, description: str | None = None
) -> Version:
    """Register a logged model as the next version of a name, with its manifest and where it came from.

    Args:
        uri: `models:/m-…`, `runs:/RUN/NAME`, or `models:/OTHER/3` for a copy of a version.

    Raises:
        NotFound: there is nothing at `uri`.
        Invalid: name, tags or `uri` cannot be such.
        Unavailable: the server cannot be reached.
    """
    with _open() as models:
        return models.register_model(uri, name, tags=tags, description=description)


def load_model(uri: str | Path, *, allow_pickle: bool = False, trusted: Sequence[str] = ()) -> Any:
    """Return the model at a place, as it was logged; every file is checked before anything is loaded.

    A chain or a vote comes back as what `predict(rows)` asks for all its outputs.

    Args:
        uri: the path of a model folder, or `models:/NAME@champion`, `models:/NAME/3`, `models:/NAME@champion@2026-11-20` (what it was then),
            `models:/m-…` or `runs:/RUN/NAME`.
        allow_pickle: also load a pickle, which runs code of its own.
        trusted: types that a model nobody registered may hold, beside classes of scikit-learn and, with
            `allow_pickle`, functions of scikit-learn, numpy and scipy.

    Raises:
        NotFound: there is nothing at `uri`.
        Corrupt: a file is not what was registered or logged.
        Refused: it is a pickle, or holds types, that were not allowed.
        Invalid: it has no flavour that is known here, or does not load.
        Unavailable: the server cannot be reached.
    """
    if isinstance(uri, Path) or (":/" not in uri and Path(uri).is_dir()):
        return asked_with_rows(load_folder(Path(uri), str(uri), Trust(False, allow_pickle, trusted)))
    try:
        opened = _open()
    except NotARepository:
        if ":/" in uri:
            raise
        raise NotFound(
            f"there is no folder {uri}",
            code="registry.no_model",
            hint="name the folder of a model, or models:/NAME@champion within a project",
        ) from None
    with opened as models:
        return models.load_model(uri, allow_pickle=allow_pickle, trusted=trusted)


class Models:
    """Finds, registers and loads models at one place. As a context manager it closes itself."""

    def __init__(self, catalogue: Catalogue, home: Path) -> None:
        self._catalogue = catalogue
        self._home = home

    def close(self) -> None:
        """Close connections and, without a server, the project."""
        self._catalogue.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def get_version(self, reference: str) -> Version:
        """Return the version that `NAME/3`, `NAME/latest`, `NAME@alias` or `NAME@alias@time` means; raises NotFound."""
        return self._catalogue.get_version(reference)

    def list_versions(self, name: str) -> list[Version]:
        """Return a model's versions, newest first."""
        return self._catalogue.list_versions(name)

    def set_alias(self, name: str, alias: str, version: int) -> None:
        """Point an alias at a version; raises NotFound, and Refused or Denied where gates must pass first."""
        self._catalogue.set_alias(name, alias, version)

    def delete_alias(self, name: str, alias: str) -> None:
        """Take an alias away; raises Refused or Denied where it is protected."""
        self._catalogue.delete_alias(name, alias)

    def register_model(
        self, uri: str, name: str, *, tags: Mapping[str, str] | None = None, description: str | None = None
    ) -> Version:
        """Register a model; see `penstock.register_model`."""
        run = active_run()
        if run is not None:
            run.flush()
        return self._catalogue.register(name, uri, tags or {}, description)

    def load_model(self, uri: str, *, allow_pickle: bool = False, trusted: Sequence[str] = ()) -> Any:
        """Load a model; see `penstock.load_model`."""
        located = self._catalogue.locate(uri)
        trust = Trust(located.version is not None and bool(located.digest), allow_pickle, trusted)
        if located.digest:
            return asked_with_rows(load_folder(self._keep(located), uri, trust))
        with tempfile.TemporaryDirectory(prefix="penstock-model-") as scratch:
            folder = Path(scratch) / "model"
            self._fetch(located, folder)
            return asked_with_rows(load_folder(folder, uri, trust))

    def download_model(self, uri: str, folder: str | Path) -> Path:
        """Write a model's verified files into a new folder.

        Raises:
            Conflict: the folder exists.
            NotFound, Corrupt, Refused, Unavailable: as `penstock.load_model`.
        """
        target = Path(folder)
        if target.exists():
            raise Conflict(f"{target} exists", code="client.exists", hint="name another folder")
        self._fetch(self._catalogue.locate(uri), target)
        return target

    def _keep(self, located: Located) -> Path:
        """Return the folder under `.penstock/models` that has a digest, fetching what is not there or damaged."""
        folder = self._home / "models" / located.digest
        if folder.exists():
            if _is_intact(folder, located.digest):
                return folder
            shutil.rmtree(folder)
        self._fetch(located, folder)
        return folder

    def _fetch(self, located: Located, folder: Path) -> None:
        folder.parent.mkdir(parents=True, exist_ok=True)
        temporary = folder.parent / f".{secrets.token_hex(8)}.tmp"
        try:
            self._catalogue.download(located, temporary)
            if located.digest and not _is_intact(temporary, located.digest):
                raise Corrupt(
                    f"the files of {located.uri} are not those of digest {located.digest[:12]}",
                    code="client.model_corrupt",
                    hint="penstock model verify, where it is kept",
                    uri=located.uri,
                )
            try:
                temporary.replace(folder)
            except OSError:
                if not folder.exists():
                    raise
        finally:
            shutil.rmtree(temporary, ignore_errors=True)


def _open() -> Models:
    place, home = find_place()
    return Models(catalogue_of(place), home)


def _log(run: ActiveRun, folder: Path, name: str, params: dict[str, str]) -> LoggedModel:
    digest = digest_folder(folder)
    installed = json.dumps(environment(), separators=(",", ":"))
    draft = ModelDraft(
        client_id=uuid.uuid4().hex,
        name=name,
        params=params,
        tags={DIGEST_TAG: digest, ENVIRONMENT_TAG: installed},
    )
    return LoggedModel(name=name, run_id=run.id, digest=digest, id=run.log_model(draft, folder))


@contextmanager
def _folder_of(model: Any, columns: Columns) -> Iterator[Path]:
    if isinstance(model, str | Path):
        yield Path(model)
        return
    if columns.inputs is None:
        raise Invalid(
            "log_model needs some rows of what the model takes",
            code="registry.no_inputs",
            hint="log_model(model, inputs=frame.head())",
        )
    with tempfile.TemporaryDirectory(prefix="penstock-model-") as scratch:
        folder = Path(scratch) / "model"
        save_model(model, folder, columns.inputs, optional=columns.optional)
        yield folder


def _is_intact(folder: Path, digest: str) -> bool:
    try:
        return digest_folder(folder) == digest
    except PenstockError:
        return False
