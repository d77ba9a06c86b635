"""After a registration: the content of the new version is there, whatever a purge did at the same time.

A purge removes an object only while no version has it and none can be written. So an object that was there when
it was stored may be gone when the version is written, but not later; storing it once more after that is enough.
"""

from __future__ import annotations

from collections.abc import Callable

from penstock.project.project import Project
from penstock.registry.entities import Manifest


def keep_stored(project: Project, manifest: Manifest, store: Callable[[], object]) -> None:
    """Store the files of a version that was just written again where one is missing. Cost: one look at each."""
    if any(project.artifacts.size(file.sha256) != file.size for file in manifest.files):
        store()
