"""`penstock model export-provenance` and `verify`: what is said of a version to readers outside, and whether it holds."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from penstock.base.numbers import counted
from penstock.cli.output import EXIT_FAILED, Session, json_option, pass_session
from penstock.cli.places import GivenPath

if TYPE_CHECKING:
    from penstock.flows.models.verifying import VersionReport

_PATH = GivenPath(path_type=Path)


@click.command("export-provenance")
@click.argument("reference", metavar="MODEL/VERSION")
@click.argument("folder", type=click.Path(path_type=Path))
@click.option(
    "--model-key",
    type=GivenPath(exists=True, dir_okay=False, path_type=Path),
    help="Sign the model's files in OpenSSF's format too, with this elliptic key (PEM).",
)
@click.option("--with-model", is_flag=True, help="Put the model's files beside them.")
@click.option("-f", "--force", is_flag=True, help="Replace a folder that this command wrote.")
@json_option
@pass_session
def model_export(
    session: Session, reference: str, folder: Path, model_key: Path | None, with_model: bool, force: bool
) -> None:
    """Write what is known of a version into the new FOLDER, signed: for `penstock model verify --documents`.

    That is SLSA provenance, the newest verdict as verification summary, a CycloneDX bill of materials and a model card.
    """
    from penstock.flows.models.documents import export_documents
    from penstock.workspace import open_workspace

    project = open_workspace(session.directory)
    done = export_documents(
        project,
        reference,
        session.directory / folder,
        private_key=model_key,
        with_model=with_model,
        force=force,
    )
    document = {"version": done.version.ref, "path": str(done.folder), "files": list(done.files)}
    session.emit(document, f"{done.version.ref}: {', '.join(done.files)} are in {done.folder}")
    for note in done.notes:
        session.note(f"note: {note}")


@click.command("verify")
@click.argument("reference", required=False)
@click.option("--documents", type=_PATH, help="Check a folder of `export-provenance` instead.")
@click.option("--model-key", type=_PATH, help="The public key of the OpenSSF signature there (PEM).")
@json_option
@pass_session
@click.pass_context
def model_verify(
    context: click.Context,
    session: Session,
    reference: str | None,
    documents: Path | None,
    model_key: Path | None,
) -> None:
    """Check files, origin and verdicts of a version, or of all, against what was registered and signed; exit 1 on damage.

    With --documents, the documents in that folder, and that they are of REFERENCE where one is given.
    """
    import msgspec

    if documents is not None:
        _verify_folder(context, session, reference, documents, model_key)
        return

    from penstock.flows.models.verifying import verify_versions
    from penstock.workspace import open_workspace

    reports = verify_versions(open_workspace(session.directory), reference)
    document = [{**msgspec.to_builtins(one), "intact": one.is_intact} for one in reports]
    broken = [one for one in reports if not one.is_intact]
    lines = [f"{one.version}: {damage.what}: {damage.sentence}" for one in reports for damage in one.damages]
    lines += [f"{one.version}: {one.origin}" for one in reports if one.origin is not None]
    lines += [
        f"{one.version}: verdict {state.id}: {state.sentence}"
        for one in reports
        for state in one.verdicts
        if state.state in {"unsigned", "untrusted"}
    ]
    intact = counted(len(reports), "version is", "versions are")
    told = f"{len(reports) - len(broken)} of {intact}" if broken else intact
    session.emit(document, "\n".join([*lines, f"{told} intact{_unproven(reports)}."]))
    if broken:
        context.exit(EXIT_FAILED)


def _unproven(reports: Sequence[VersionReport]) -> str:
    """Say how many origins and verdicts prove nothing here; empty where all do."""
    origins = sum(one.origin is not None for one in reports)
    verdicts = sum(state.state in {"unsigned", "untrusted"} for one in reports for state in one.verdicts)
    told = " and ".join(
        counted(count, name) for count, name in ((origins, "origin"), (verdicts, "verdict")) if count
    )
    return (
        f"; {told} {'is' if origins + verdicts == 1 else 'are'} unsigned or not trusted here" if told else ""
    )


def _verify_folder(
    context: click.Context, session: Session, reference: str | None, folder: Path, public_key: Path | None
) -> None:
    """Check a folder of documents and print what was found; exit 1 where one is not what was signed."""
    import msgspec

    from penstock.flows.models.documents import verify_documents
    from penstock.registry.references import resolve_version
    from penstock.workspace import open_workspace

    project = open_workspace(session.directory)
    version = None
    if reference is not None:
        with project.database.read() as connection:
            version = resolve_version(connection, reference)
    place = session.directory / folder
    found = verify_documents(project.keys.trusted, place, version, public_key=public_key)
    words = {True: "ok", False: "DAMAGED", None: "-"}
    lines = [f"{words[one.holds]:8}{one.what}: {one.sentence}" for one in found]
    session.emit([msgspec.to_builtins(one) for one in found], "\n".join(lines))
    if any(one.holds is False for one in found):
        context.exit(EXIT_FAILED)
