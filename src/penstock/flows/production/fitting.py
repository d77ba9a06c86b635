"""Whether the requests that an endpoint gets fit a version that is to answer all of them."""

from __future__ import annotations

from penstock.base.errors import Invalid, PenstockError
from penstock.flows.models.folders import RegistrySource
from penstock.project.project import Project
from penstock.records.signature import Signature
from penstock.registry.package import describe_model
from penstock.registry.versions import get_version
from penstock.serving.deployments import Revision
from penstock.serving.repository import check_inputs

MISMATCH = "serving.signature_mismatch"


def check_takeover(
    project: Project, before: Revision | None, ref: str, inputs: Signature, *, force: bool = False
) -> tuple[str, ...]:
    """Check that a version can answer what clients send to the one that it replaces.

    Args:
        before: what the endpoint serves now; None: nothing.
        force: let it through all the same.

    Returns: in words, what was let through or could not be compared.

    Raises:
        Invalid: it requires what requests for the live version do not carry.
    """
    if before is None or f"{before.model}/{before.stable}" == ref:
        return ()
    try:
        live = RegistrySource(project).fetch(before.model, before.stable).signature
    except PenstockError as error:
        told = f"{before.model}/{before.stable}, which is live, cannot be read"
        return (f"the inputs of {ref} were not compared with what clients send: {told}: {error.message}",)
    try:
        check_inputs(ref, inputs, live)
    except Invalid as error:
        if not force:
            hint = f"{error.hint}; --force --reason TEXT where clients change with it"
            raise Invalid(error.message, code=error.code, hint=hint) from error
        return (f"{error.message}: these requests will be refused",)
    return ()


def takeover_warnings(project: Project, before: Revision, model: str, number: int) -> tuple[str, ...]:
    """Say what requests a version that an endpoint goes back to will refuse.

    A rollback is not held up for it: only what is on this host is read, and nothing is fetched or verified.
    """
    if (before.model, before.stable) == (model, number):
        return ()
    try:
        live, inputs = _here(project, before.model, before.stable), _here(project, model, number)
        if live is not None and inputs is not None:
            check_inputs(f"{model}/{number}", inputs, live)
    except Invalid as error:
        return (f"{error.message}: these requests will be refused",) if error.code == MISMATCH else ()
    except PenstockError:
        return ()
    return ()


def _here(project: Project, model: str, number: int) -> Signature | None:
    with project.database.read() as connection:
        version = get_version(connection, model, number, deleted=True)
    folder = project.home / "models" / version.digest
    return describe_model(folder).signature if folder.exists() else None
