"""Whether the requests that an endpoint gets fit a version that is to answer all of them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from penstock.base.errors import Invalid, PenstockError
from penstock.flows.models.folders import RegistrySource, find_signature
from penstock.project.project import Project
from penstock.records.signature import Column, Signature
from penstock.registry.entities import ModelVersion
from penstock.registry.package import describe_model
from penstock.registry.versions import get_version
from penstock.serving.deployments import Revision, list_endpoints
from penstock.serving.loaders.model import numpy_dtype
from penstock.serving.matching import check_inputs

MISMATCH = "serving.signature_mismatch"
REFUSED = "what does not fit will be refused"


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
        _require_fit(ref, inputs, live)
    except Invalid as error:
        if not force:
            raise
        return (f"{error.message}: these requests will be refused",)
    return tuple(f"{one}: {REFUSED}" for one in misfits(ref, inputs, live))


def misfits(ref: str, inputs: Signature, live: Signature) -> list[str]:
    """Say which inputs a version takes in another shape or datatype than the live one, each in words.

    A wider datatype takes a narrower one, and -1 any size.
    """
    known = {column.name: column for column in live.inputs}
    return [
        f"{ref} takes {column.name} as {column.datatype} {list(column.shape)}, "
        f"requests for the stable version carry {sent.datatype} {list(sent.shape)}"
        for column in inputs.inputs
        if (sent := known.get(column.name)) is not None and not _takes(column, sent)
    ]


def _takes(column: Column, sent: Column) -> bool:
    if len(column.shape) != len(sent.shape):
        return False
    if any(size not in (-1, other) for size, other in zip(column.shape, sent.shape, strict=True)):
        return False
    if column.datatype == sent.datatype:
        return True
    is_text = "BYTES" in (column.datatype, sent.datatype)
    return not is_text and np.can_cast(numpy_dtype(sent.datatype), numpy_dtype(column.datatype), "safe")


@dataclass(frozen=True)
class Takeover:
    """Whether a version could take over an endpoint that serves its model: `refusal` is empty where it could."""

    endpoint: str
    refusal: str = ""
    hint: str = ""


def view_takeovers(project: Project, version: ModelVersion) -> tuple[Takeover, ...]:
    """Say of each endpoint that serves a version's model whether a deployment would refuse the version for its inputs.

    Asks what `check_takeover` asks, of the signatures that the store keeps: no model is fetched or loaded. What cannot be
    compared is not refused. Endpoints where the version is stable are left out.
    """
    with project.database.read() as connection:
        served = [one for one in list_endpoints(connection) if one.model == version.model]
    others = [one for one in served if one.stable != version.number]
    inputs = find_signature(project, version.model, version.number) if others else None
    signatures = {
        number: find_signature(project, version.model, number) for number in {one.stable for one in others}
    }
    found = []
    for one in others:
        live = signatures[one.stable]
        try:
            if inputs is not None and live is not None:
                _require_fit(version.ref, inputs, live)
            found.append(Takeover(one.endpoint))
        except Invalid as error:
            found.append(Takeover(one.endpoint, error.message, error.hint or ""))
    return tuple(found)


def _require_fit(ref: str, inputs: Signature, live: Signature) -> None:
    try:
        check_inputs(ref, inputs, live)
    except Invalid as error:
        hint = f"{error.hint}; --force --reason TEXT where clients change with it"
        raise Invalid(error.message, code=error.code, hint=hint) from error


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
