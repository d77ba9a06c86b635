"""What a registered version takes and gives, read from its description alone; nothing of it is loaded."""

from __future__ import annotations

from penstock.base.errors import PenstockError
from penstock.project.project import Project
from penstock.records.signature import Signature
from penstock.registry.package import MODEL_FILE, parse_description
from penstock.registry.versions import get_version


def find_signature(project: Project, model: str, version: int) -> Signature | None:
    """Return a version's signature, or None where its files are elsewhere or say nothing of it.

    Raises:
        NotFound: there is no such version.
        Unavailable: the store cannot be reached.
    """
    with project.database.read() as connection:
        found = get_version(connection, model, version, deleted=True)
    digest = next((file.sha256 for file in found.manifest.files if file.path == MODEL_FILE), None)
    if digest is None:
        return None
    try:
        return project.artifacts.load(digest, parse_description)
    except PenstockError:
        return None
