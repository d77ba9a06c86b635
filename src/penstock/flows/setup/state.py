"""Whether what a project keeps can be kept and believed here: the artifact store, and the keys of verdicts.

The one thing that is written is an object into the artifact store, which is removed again.
"""

from __future__ import annotations

import os
import shlex
import uuid
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import sqlalchemy as sa

from penstock.base.errors import PenstockError
from penstock.flows.models.proving import require_unbroken, told_files
from penstock.project.checks import Check
from penstock.project.project import Project
from penstock.registry.aliases import list_aliases
from penstock.registry.entities import ModelVersion
from penstock.registry.versions import find_newest, load_versions
from penstock.serving.deployments import list_endpoints
from penstock.storage.backend import Backend
from penstock.storage.local import STAGING, LocalBackend
from penstock.storage.resolve import shown_url


def check_state(project: Project) -> Iterator[Check]:
    """Yield what is known of the artifact store and of keys."""
    try:
        versions = _versions(project)
    except PenstockError:
        versions = []  # the check of the store has told it
    yield _artifacts(project, versions)
    yield from _keys(project, versions)


def _versions(project: Project) -> list[ModelVersion]:
    """Return the versions that are asked for first: those that endpoints serve, aliases name, and the newest of each of their models."""
    file = project.places.store_file
    if file is not None and not file.is_file():
        return []
    with project.database.read() as connection:
        keys = {(one.model, number) for one in list_endpoints(connection) for number in one.versions}
        keys |= {(one.model, one.version) for one in list_aliases(connection)}
        found = {(one.model, one.number): one for one in load_versions(connection, keys)}
        models = {model for model, _ in keys} | {one.name for one in project.settings.all_models}
        for newest in (find_newest(connection, model) for model in models):
            if newest is not None:
                found[newest.model, newest.number] = newest
    return [found[key] for key in sorted(found)]


def _place(project: Project) -> str:
    written = project.readable_settings.artifacts
    is_written = project.places.artifacts_url in {written, str(project.root / written)}
    return "`artifacts:` in penstock.yaml" if is_written else "PENSTOCK_ARTIFACTS"


def _mend(project: Project) -> str:
    url = project.places.artifacts_url
    if "://" not in url:
        return f"let this user write to {url}, or name another place by {_place(project)}"
    return f"mend {_place(project)}, and its credentials"


def _artifacts(project: Project, versions: list[ModelVersion]) -> Check:
    shown = shown_url(project.places.artifacts_url)
    try:
        store = project.artifacts
        has_place = store.backend.has_place()
        _probe(store.backend)
        kept = [one for one in versions if one.manifest.files]
        absent = [one.ref for one in kept if store.size(one.manifest.files[0].sha256) is None]
    except PenstockError as error:
        return Check("artifacts", "broken", f"{shown}: {error.message}", _mend(project))
    except OSError as error:
        why = f"{shown} cannot be written to: {error.strerror or error}"
        return Check("artifacts", "broken", why, _mend(project))
    if absent:
        what = "has not the files of" if has_place else "is not there, and had the files of"
        hint = f"restore it, or mend {_place(project)}; penstock model verify {shlex.quote(absent[0])}"
        return Check("artifacts", "broken", f"{shown} {what} {told_files(absent)}", hint)
    return Check("artifacts", "ok", f"{shown} can be written to" if has_place else "made with the first run")


def _probe(backend: Backend) -> None:
    """Write an object and take it away again, with the folders that were made for it."""
    key = f"incoming/{uuid.uuid4().hex}"
    made: list[Path] = []
    if isinstance(backend, LocalBackend):
        root = backend.root
        places = (root / "incoming", root / STAGING, root, *root.parents)
        made = [one for one in places if not os.path.lexists(one)]
    try:
        backend.put(key, b"penstock doctor")
        backend.delete(key)
    finally:
        for one in made:
            with suppress(OSError):
                one.rmdir()


def _keys(project: Project, versions: list[ModelVersion]) -> Iterator[Check]:
    """Yield whether verdicts can be signed here, and which versions a serve process here would not load."""
    sources = project.places.keys
    if not project.places.home.is_dir() and not (sources.secret or sources.secret_file or sources.trusted):
        yield Check("keys", "ok", "made with the first verdict")
        return
    try:
        own, trusted = project.keys.find_signing_key(), project.keys.trusted
    except PenstockError as error:
        yield Check("keys", "broken", error.message, error.hint)
        return
    refused = [] if not versions else _refused(project, versions)
    if refused:
        first = refused[0]
        more = (
            f"; so are {told_files([str(one.fields.get('ref')) for one in refused[1:]])}"
            if refused[1:]
            else ""
        )
        yield Check("keys", "broken", f"{first.message}{more}", first.hint)
        return
    signs = f"verdicts are signed with {own.public.id[:16]}" if own else "made with the first verdict"
    yield Check("keys", "ok", f"{signs}; {len(trusted)} trusted" if trusted else signs)


def _refused(project: Project, versions: list[ModelVersion]) -> list[PenstockError]:
    with project.database.read() as connection:
        return [error for one in versions if (error := _refusal(project, connection, one)) is not None]


def _refusal(project: Project, connection: sa.Connection, version: ModelVersion) -> PenstockError | None:
    try:
        require_unbroken(project, connection, version)
    except PenstockError as error:
        error.fields["ref"] = version.ref
        return error
    return None
