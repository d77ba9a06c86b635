"""What a request asks for: which version answers it, which outputs, by when; and the answer made of its outputs.

It knows no queue and no transport; `dataplane` lets the engine predict what is asked.
"""

from __future__ import annotations

import shlex
from typing import NamedTuple

from penstock.base.errors import Invalid, Unavailable
from penstock.records.signature import Signature
from penstock.serving.call import Call
from penstock.serving.codecs import InferRequest, InferResponse
from penstock.serving.engine.job import Outputs
from penstock.serving.predictions.ids import Route
from penstock.serving.repository import LoadedModel, ServedRevision
from penstock.serving.tensors import Tensor
from penstock.serving.traffic import FindHeader, choose_route, route_key, ruled_version

TIMEOUT = "timeout"
"""Request parameter: microseconds that the client waits, as in Triton's scheduling policy."""


class Asked(NamedTuple):
    """One request on its way: the call of its model, what it wants of the outputs, and when it is given up.

    `limit_s` is the endpoint's limit and `asked_s` the caller's own, both on the performance clock; `id` is what the
    caller calls it.
    """

    call: Call
    names: frozenset[str] | None
    limit_s: float
    asked_s: float
    id: str | None

    def answer(self, outputs: Outputs) -> InferResponse:
        """Return the answer."""
        call, names = self.call, self.names
        model = call.model
        return InferResponse(
            model_name=call.served.revision.endpoint,
            model_version=str(model.version),
            id=self.id or call.id,
            parameters={
                "penstock-prediction-id": call.id,
                "penstock-revision": call.served.revision.number,
                "penstock-model-version": model.version,
                "penstock-route": call.route,
            },
            tensors=tuple(
                [
                    Tensor(column.name, column.datatype, outputs[column.name])
                    for column in model.signature.outputs
                    if names is None or column.name in names
                ]
            ),
        )


def choose(
    served: ServedRevision, counter: int, request: InferRequest, header: FindHeader
) -> tuple[Route, LoadedModel]:
    """Return who answers: the version of a rule, on the route it has in the revision, else a share's."""
    revision = served.revision
    if served.rules:
        version = ruled_version(served.rules, request.parameters, header)
        if version is not None and version not in served.left_out:
            return route_of(served, version), served.models[version]
    if revision.canary is None or revision.canary.version in served.left_out:
        return "stable", served.stable
    route = choose_route(revision, counter, route_key(request.parameters, header))
    return route, served.model_for(route)


def route_of(served: ServedRevision, version: int) -> Route:
    """Return the route of requests that a version was named for: its own in the revision, else `direct`."""
    revision = served.revision
    if version == revision.stable:
        return "stable"
    return "canary" if revision.canary and version == revision.canary.version else "direct"


def other_inputs(served: ServedRevision) -> dict[int, Signature]:
    """Return the signatures of versions that take other inputs than the stable one, by number."""
    if len(served.models) == 1:
        return {}
    stable = served.stable.signature.inputs
    return {
        version: model.signature
        for version, model in served.models.items()
        if model.signature.inputs != stable
    }


def left_out(served: ServedRevision, version: int) -> Unavailable:
    """Return what is said to who asks for a version that a revision is served without."""
    endpoint = served.revision.endpoint
    why = "it cannot be loaded" if version in served.lacking else "processes ended at it"
    return Unavailable(
        f"endpoint {endpoint} is served without version {version} now: {why}",
        code="serving.version_left_out",
        hint=f"penstock endpoint show {shlex.quote(endpoint)} tells when it is tried again",
    )


def wanted(model: LoadedModel, request: InferRequest) -> frozenset[str] | None:
    """Return the outputs that a request wants, None for all.

    Raises:
        Invalid: the model has no such output.
    """
    if request.outputs is None:
        return None
    known = [column.name for column in model.signature.outputs]
    for name in request.outputs:
        if name not in known:
            raise Invalid(
                f"the model has no output {name!r}",
                code="serving.unknown_output",
                hint=f"its outputs: {', '.join(known)}",
            )
    return frozenset(request.outputs)


def patience_s(request: InferRequest, limit_s: float) -> float:
    """Return how long a request may take: the endpoint's limit, or less where the client says so.

    Raises:
        Invalid: what the client says is no time.
    """
    asked = request.parameters.get(TIMEOUT)
    if asked is None:
        return limit_s
    if isinstance(asked, bool) or not isinstance(asked, int) or asked < 0:
        raise Invalid(
            f"parameter timeout is not a number of microseconds: {str(asked)[:64]!r}",
            code="serving.bad_request",
        )
    if not asked or asked >= limit_s * 1e6:  # compared before it is divided: no fraction holds any integer
        return limit_s
    return asked / 1e6
