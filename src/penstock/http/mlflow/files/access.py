"""Who may reach a path of the artifact proxy: whoever may reach the experiment or version it belongs to."""

from __future__ import annotations

import sqlalchemy as sa
from starlette.requests import Request

from penstock.access.roles import Role
from penstock.http.caller import Caller, caller_of
from penstock.http.mlflow.dispatch import Services
from penstock.registry.versions import list_models_of_digest
from penstock.tracking.experiments import parse_experiment_id


async def check_artifact(services: Services, request: Request, path: str, role: Role) -> None:
    """Check the caller of the artifact proxy.

    `<experiment>/…` asks for the role on the experiment, `versions/<digest>` for reading any model that has a
    version of this content. Everything else, the list of all experiments' folders among it, is for admins.

    Raises:
        Denied: the caller may not.
    """
    caller = caller_of(request.scope)
    if caller.user is not None:
        await services.read(lambda connection: _check(connection, caller, path, role))


def _check(connection: sa.Connection, caller: Caller, path: str, role: Role) -> None:
    head, _, rest = path.partition("/")
    if head.isascii() and head.isdigit():
        caller.require(connection, "experiment", str(parse_experiment_id(head)), role)
        return
    if head == "versions" and rest and role == "reader":
        models = list_models_of_digest(connection, rest.partition("/")[0])
        if any(caller.may(connection, "model", model) for model in models):
            return
    caller.require_server("admin")
