"""Which model of the working tree is meant, and whether it is what the pipeline's lock says."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import msgspec

from penstock.base.errors import Invalid, NotFound, PenstockError
from penstock.data.cache.hashing import hash_path
from penstock.flows.models.provenance import stage_of_output
from penstock.flows.models.wrapping import wrap_file
from penstock.pipeline.outputs import list_outputs
from penstock.project.project import Project
from penstock.project.settings import ModelSettings, require_model, unknown_model
from penstock.registry.entities import Manifest
from penstock.registry.package import digest_manifest, scan_model


@dataclass(frozen=True)
class Candidate:
    """A model folder that is what the pipeline's lock says; `settings` name only what belongs to this model."""

    settings: ModelSettings
    folder: Path
    manifest: Manifest

    @property
    def digest(self) -> str:
        """The model's digest."""
        return digest_manifest(self.manifest)


def find_candidate(project: Project, path: str | None = None, name: str | None = None) -> Candidate:
    """Return a model as it lies in the working tree; a lone file is put into a folder that describes it.

    Raises:
        NotFound: no model is configured, or there is nothing at its path.
        Invalid: it is not what the stage that makes it locked, or the file is no model's.
    """
    settings = choose_model(project, path, name)
    place = project.root / settings.path
    if not place.exists():
        raise _nothing_there(project, settings.path, place)
    for belonging in (settings.path, settings.metrics, settings.test, settings.reference):
        if belonging is not None:
            require_as_made(project, belonging)
    folder = wrap_file(project.home / "wrapped", place) if place.is_file() else place
    return Candidate(settings, folder, scan_model(folder))


def choose_model(project: Project, path: str | None, name: str | None) -> ModelSettings:
    """Return the settings of the model that a path or a name means.

    A path that no model of penstock.yaml has is a model of its own: it gets no metrics and no reference.

    Raises:
        NotFound: neither is given and none is configured, a path is given without a name, or a name that is not configured
            without a path.
    """
    known = project.settings.all_models
    if path is not None:
        place = (project.root / path).resolve()
        for one in known:
            if (project.root / one.path).resolve() == place:
                return one
    called = next((one for one in known if one.name == name), None)
    if path is None and called is None and name is not None and known:
        raise unknown_model(project.settings, name)
    if path is None:
        return called or require_model(project.settings, project.root)
    if called is None and name is not None:
        return ModelSettings(name=name, path=path)
    base = called or require_model(project.settings, project.root)
    return msgspec.structs.replace(base, path=path, metrics=None, reference=None)


def _nothing_there(project: Project, relative: str, folder: Path) -> PenstockError:
    outputs = [output.path for output in list_outputs(project.data)]
    is_made = any(folder == path or path in folder.parents for path in outputs)
    is_named = any(one.path == relative for one in project.settings.all_models)
    mend = f"no stage of dvc.yaml makes {relative}: mend `path:` in penstock.yaml"
    return NotFound(
        f"there is no model at {folder}",
        code="registry.no_model",
        hint="penstock repro, or penstock pull"
        if is_made
        else mend
        if is_named
        else "name a model folder, or a file of a model",
        path=str(folder),
    )


def require_as_made(project: Project, relative: str) -> None:
    """Check that a path is what the stage that makes it locked, if one makes it.

    Raises:
        Invalid: it was changed, or is gone, since the stage ran.
    """
    made = stage_of_output(project.data, relative)
    if made is None:
        return
    stage, locked = made
    try:
        actual = hash_path(project.data, project.root / relative).md5
    except NotFound:
        actual = None
    if actual != locked.md5:
        raise Invalid(
            f"{relative} is not what stage `{stage}` made: it was changed afterwards",
            code="registry.output_changed",
            hint="penstock repro, then try again",
            path=relative,
        )
