"""Check what is kept of model versions against what was registered and signed, without any network but the stores'.

It goes on after a damage, so that one look tells all of them. Nothing is mended here.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial

import msgspec
import sqlalchemy as sa

from penstock.base.errors import Denied, NotFound, PenstockError, Unavailable
from penstock.flows.models.documents import load_statement
from penstock.flows.models.proving import VerdictRule, unread_files
from penstock.project.project import Project
from penstock.registry.documents.origins import by_reason, unknowns
from penstock.registry.documents.slsa import examine_provenance
from penstock.registry.entities import ModelVersion
from penstock.registry.package import digest_manifest
from penstock.registry.proof import Proof, ProofState
from penstock.registry.references import resolve_version
from penstock.registry.verdicts import get_verdict, list_verdict_ids, was_called
from penstock.registry.versions import list_versions


class Damage(msgspec.Struct, frozen=True):
    """One thing that is not what it was: `what` names the file, list, reference profile or verdict."""

    what: str
    sentence: str


class VerdictState(msgspec.Struct, frozen=True):
    """What a verdict on a version is worth."""

    id: str
    state: ProofState
    sentence: str


class VersionReport(msgspec.Struct, frozen=True, kw_only=True):
    """What was found of one version; `origin` says why its origin is not proven, None where it is."""

    version: str
    digest: str
    verdicts: tuple[VerdictState, ...]
    damages: tuple[Damage, ...]
    origin: str | None = None

    @property
    def is_intact(self) -> bool:
        """Whether everything is what it was."""
        return not self.damages


def verify_versions(project: Project, reference: str | None = None) -> list[VersionReport]:
    """Check a version, or all whose files are kept here: list of files, each file, reference profile, what
    `restore` brings back beside the commit, origin, verdicts.

    Unsigned and untrusted origins and verdicts are told and are no damage.

    Raises:
        NotFound: there is no such version.
        Unavailable, Denied: files cannot be read, which says nothing of what they are.
    """
    rule = VerdictRule.of(project)
    with project.database.read() as connection:
        versions = (
            [resolve_version(connection, reference)] if reference is not None else list_versions(connection)
        )
    return [_verify(project, rule, one) for one in versions if one.digest or reference is not None]


def _verify(project: Project, rule: VerdictRule, version: ModelVersion) -> VersionReport:
    damages = list(_damaged_files(project, version))
    with project.database.read() as connection:
        states = _verdicts(connection, rule, version) if version.digest else []
        origin = _origin(connection, project, version)
    if origin.state == "damaged":
        damages.append(Damage("origin", origin.sentence))
    damages += [Damage(f"verdict {one.id}", one.sentence) for one in states if one.state == "damaged"]
    return VersionReport(
        version=version.ref,
        digest=version.digest,
        verdicts=tuple(states),
        damages=tuple(damages),
        origin="; ".join(_doubts(version, origin)) or None,
    )


def _doubts(version: ModelVersion, origin: Proof) -> Iterator[str]:
    if origin.state in {"unsigned", "untrusted"}:
        yield origin.sentence
    if version.provenance.stale or version.provenance.unseen:
        yield from by_reason(unknowns(version))


def _origin(connection: sa.Connection, project: Project, version: ModelVersion) -> Proof:
    try:
        statement = load_statement(project, version)
    except (Denied, Unavailable) as error:
        raise unread_files(version, error) from error
    except PenstockError as error:
        return Proof("damaged", f"its signed origin cannot be read: {error.message}")
    return examine_provenance(statement, version, project.keys.trusted, partial(was_called, connection))


def _damaged_files(project: Project, version: ModelVersion) -> Iterator[Damage]:
    if not version.digest:
        yield Damage("files", f"they are not kept here but at {version.source or 'an unknown place'}")
        return
    if digest_manifest(version.manifest) != version.digest:
        yield Damage("list of files", "it is not the one whose digest is the version's")
    for file in version.manifest.files:
        try:
            project.artifacts.check(file.sha256)
        except (Denied, Unavailable) as error:
            raise unread_files(version, error) from error
        except PenstockError as error:
            yield Damage(file.path, error.message)
    origin = version.provenance
    kept = (
        ("reference profile", version.profile_digest),
        ("pipeline's lock", origin.lock_digest),
        ("uncommitted changes", origin.dirty_digest),
    )
    for what, digest in kept:
        if digest is not None:
            try:
                project.artifacts.check(digest)
            except NotFound as error:
                if (
                    version.source is None
                ):  # of one whose files came from elsewhere they may never have been here
                    yield Damage(what, error.message)
            except (Denied, Unavailable) as error:
                raise unread_files(version, error) from error
            except PenstockError as error:
                yield Damage(what, error.message)


def _verdicts(connection: sa.Connection, rule: VerdictRule, version: ModelVersion) -> Sequence[VerdictState]:
    found = []
    for name in list_verdict_ids(connection, version.model, version.digest):
        try:
            proof = rule.examine(connection, get_verdict(connection, name))
            found.append(VerdictState(name, proof.state, proof.sentence))
        except PenstockError as error:
            found.append(VerdictState(name, "damaged", error.message))
    return found
