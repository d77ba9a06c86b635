"""One route of the product's own API as a value, and the OpenAPI document made of all of them."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import msgspec
from starlette.requests import Request

import penstock

PREFIX = "/api/penstock/v1"


class ErrorView(msgspec.Struct, frozen=True, kw_only=True):
    """What went wrong: a sentence, a stable name, and what to try next."""

    error: str
    code: str
    hint: str = ""


@dataclass(frozen=True)
class Operation:
    """One route: its path, the work behind it, the type it answers, its parameters in the query."""

    path: str
    work: Callable[..., Any]
    answers: Any
    query: tuple[tuple[str, str], ...] = ()
    model: Callable[[Request], str] | None = None
    """The one model it is about, whose reader may call it; without one, who may read everything may."""
    method: str = "GET"
    takes: Any = None
    """The type of the body, for a POST."""


@dataclass(frozen=True)
class Telling(Operation):
    """A route for services of the user's own: `tell` gets the body too, and asks by itself who calls."""

    @property
    def tell(self) -> Callable[[Request, bytes], Any]:
        """The work behind it."""
        return self.work


def openapi(operations: tuple[Operation, ...]) -> dict[str, Any]:
    """Return the OpenAPI 3.1 document of the operations; numbers JSON has no word for are null."""
    taken = [operation.takes for operation in operations if operation.takes is not None]
    types = [*(operation.answers for operation in operations), *taken, ErrorView]
    schemas, components = msgspec.json.schema_components(types, ref_template="#/components/schemas/{name}")
    problem = {"application/json": {"schema": schemas[-1]}}
    bodies = iter(schemas[len(operations) :])
    paths = {}
    for operation, schema in zip(operations, schemas, strict=False):
        in_path = re.findall(r"{(\w+)(?::path)?}", operation.path)
        parameters = [
            {"name": name, "in": "path", "required": True, "schema": {"type": "string"}} for name in in_path
        ] + [
            {"name": name, "in": "query", "required": False, "description": text, "schema": _kind(name)}
            for name, text in operation.query
        ]
        responses: dict[str, Any] = {
            "200": {"description": "Done.", "content": {"application/json": {"schema": schema}}},
            "400": {"description": "A parameter or the body is wrong.", "content": problem},
        }
        if in_path or operation.method == "POST":
            responses["404"] = {"description": "There is no such thing.", "content": problem}
        described: dict[str, Any] = {
            "operationId": operation.work.__name__,
            "summary": (operation.work.__doc__ or "").strip().partition("\n")[0],
            "parameters": parameters,
            "responses": responses,
        }
        if operation.takes is not None:
            described["requestBody"] = {
                "required": True,
                "content": {"application/json": {"schema": next(bodies)}},
            }
        paths[f"{PREFIX}{operation.path.replace(':path', '')}"] = {operation.method.lower(): described}
    return {
        "openapi": "3.1.0",
        "info": {"title": "Penstock", "version": penstock.__version__},
        "paths": paths,
        "components": {"schemas": components},
    }


def _kind(name: str) -> dict[str, Any]:
    return {"type": "string"} if name == "experiment" else {"type": "integer", "minimum": 0}
