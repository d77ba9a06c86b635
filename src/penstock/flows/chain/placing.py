"""Where the model of a restored version lies: at the path that it was registered from, or in a folder of its own."""

from __future__ import annotations

import itertools
import os
from pathlib import Path

from penstock.base.digest import digest_file
from penstock.base.errors import Invalid, NotFound
from penstock.base.git import Git
from penstock.flows.models.folders import require_files, write_model
from penstock.flows.models.wrapping import FLAVOUR_OF_SUFFIX
from penstock.project.project import Project
from penstock.registry.entities import ModelVersion
from penstock.registry.package import digest_manifest, scan_model


def place_model(project: Project, version: ModelVersion, root: Path) -> tuple[str, str]:
    """Make sure that a version's files are below `root`, and nowhere else; return where, relative to it, and why there.

    They stand where they were registered from, of which nothing is said. Where that is outside of the project, no path of
    a tree (an upload) or taken by other content, they are put into `MODEL-VERSION`, which git is told to leave alone.

    Raises:
        Refused: the version's files are not kept here.
        NotFound, Corrupt: as `write_model`.
    """
    require_files(version)
    place = _registered_place(root, version)
    if place is not None and _holds(place, version):
        return place.relative_to(root).as_posix(), ""
    why = ""
    if version.source is not None:
        why = f"{version.ref} was registered from {version.source}"
    elif place is None:
        why = f"{version.ref} was registered from {version.path}, which is not in the project"
    elif os.path.lexists(place):
        why = f"{version.path}, from which {version.ref} was registered, is another model here"
    if place is None or why:
        place = _own_place(root, version)
        _hide(place)
        write_model(project, version, place)
    elif (alone := _alone(version, place)) is not None:
        project.artifacts.fetch(alone, place)
    else:
        write_model(project, version, place)
    return place.relative_to(root).as_posix(), why


def _hide(place: Path) -> None:
    """Tell git that a folder of a clone is none of its."""
    git = Git(place.parent)
    excluded = place.parent / git.run("rev-parse", "--git-path", "info/exclude")
    excluded.parent.mkdir(exist_ok=True)
    with excluded.open("a") as file:
        file.write(f"/{git.run('rev-parse', '--show-prefix')}{place.name}/\n")


def _registered_place(root: Path, version: ModelVersion) -> Path | None:
    """Return the path that a version was registered from, or None where that is not in the tree."""
    place = Path(os.path.normpath(root / version.path))
    top = Path(os.path.realpath(root))
    is_inside = place != root and place.is_relative_to(root) and place.resolve().is_relative_to(top)
    return place if is_inside and ".git" not in place.relative_to(root).parts else None


def _holds(place: Path, version: ModelVersion) -> bool:
    if place.is_file():
        return _alone(version, place) == digest_file(place)
    try:
        return digest_manifest(scan_model(place)) == version.digest
    except (NotFound, Invalid):
        return False


def _alone(version: ModelVersion, place: Path) -> str | None:
    """Return the digest of the file that a version was made of alone, None where it was made of a folder."""
    if place.suffix not in FLAVOUR_OF_SUFFIX:
        return None
    return next((file.sha256 for file in version.manifest.files if file.path == place.name), None)


def _own_place(root: Path, version: ModelVersion) -> Path:
    name = f"{version.model}-{version.number}"
    names = itertools.chain([name], (f"{name}-{count}" for count in itertools.count(2)))
    return next(root / one for one in names if not os.path.lexists(root / one))
