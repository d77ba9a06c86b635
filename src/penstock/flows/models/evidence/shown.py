"""The files that a verdict's checks keep to show what they found, by their names."""

from __future__ import annotations

import sqlalchemy as sa

from penstock.base.errors import NotFound
from penstock.base.numbers import counted
from penstock.project.project import Project
from penstock.registry.entities import Verdict
from penstock.registry.references import resolve_version
from penstock.registry.verdicts import count_models_judged, find_verdict

MANY = 20
"""After so many models a held-out table is told to be worn."""


def list_files(verdict: Verdict) -> dict[str, tuple[str, str]]:
    """Return the kept files of a verdict by name: the check's kind and the file's sha256. A second of a name is numbered."""
    found: dict[str, tuple[str, str]] = {}
    for check in verdict.checks:
        files = check.evidence.get("files")
        for name, digest in (files if isinstance(files, dict) else {}).items():
            called, number = str(name), 2
            while called in found:
                called, number = f"{number}-{name}", number + 1
            found[called] = (check.kind, str(digest))
    return found


def held_out_uses(project: Project, connection: sa.Connection, verdict: Verdict) -> str | None:
    """Say how many models the held-out rows of a verdict have judged; None where it names none.

    Each model that is judged, and changed for what was found, takes a little of what the rows can still tell.
    Source: Dwork, Feldman, Hardt, Pitassi, Reingold, Roth, "The reusable holdout", Science 349 (2015).
    """
    tables = {one.test for one in project.readable_settings.all_models if one.name == verdict.model}
    table = next((one for one in tables if one is not None and one in verdict.data), None)
    if table is None or not verdict.checks:
        return None
    count = count_models_judged(connection, verdict.data[table], verdict.created_ms)
    return f"{table} as it is has judged {counted(count, 'model')}, this one included" + (
        f": with each more it tells less; past {MANY} make a new one" if count > MANY else ""
    )


def evidence_files(project: Project, reference: str) -> dict[str, tuple[str, str]]:
    """Return the kept files of the newest verdict on a version; see `list_files`.

    Raises:
        NotFound: there is no such version, or no verdict on it.
    """
    with project.database.read() as connection:
        version = resolve_version(connection, reference)
        verdict = find_verdict(connection, version.model, version.digest)
    if verdict is None:
        raise NotFound(f"no gate has judged {version.ref}", code="gate.no_verdict", hint="penstock gate run")
    return list_files(verdict)


def read_evidence(project: Project, reference: str, name: str) -> bytes:
    """Return one of these files.

    Raises:
        NotFound: there is none of that name.
        Corrupt: what is stored is another.
    """
    found = evidence_files(project, reference)
    if name not in found:
        raise NotFound(
            f"no check of {reference} kept a file {name!r}",
            code="gate.no_evidence",
            hint=f"it has {', '.join(found)}" if found else "penstock gate show MODEL/N",
        )
    return project.artifacts.get(found[name][1])
