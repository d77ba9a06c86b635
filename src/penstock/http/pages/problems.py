"""Errors as pages for people; addresses that programs call keep their JSON."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from http import HTTPStatus
from typing import Any

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from penstock.base.errors import NotFound, PenstockError
from penstock.base.store.outside import told_outside
from penstock.http.errors import (
    answer_defect,
    answer_http_exception,
    answer_penstock_error,
    status_of,
    waiting_of,
)
from penstock.http.hosts import PROTECTION
from penstock.http.mlflow.errors import PATHS, mlflow_error_response
from penstock.http.pages.queries import address_without
from penstock.http.pages.render import Renderer

PROGRAM_PATHS = ("/api", "/ajax-api", "/health", "/version", "/metrics")
TITLES = {
    400: "That cannot be looked up",
    403: "That is not allowed",
    404: "There is nothing here",
    503: "Not reachable just now",
}

SECTIONS = frozenset({"models", "runs", "endpoints", "experiments", "data"})
"""Addresses of lists, below which their parts are."""

Answer = Callable[[Request, Exception], Awaitable[Response]]


def page_exception_handlers(project_name: str, base: str = "") -> dict[Any, Answer]:
    """Return the handlers of a server that has pages and an API."""
    renderer = Renderer(project_name, base)

    def show(
        request: Request, status: int, sentence: str, hint: str | None, place: str | None = None
    ) -> Response:
        title = TITLES.get(status, "Something went wrong")
        place, words = (place, "Open the page without it") if place else section_of(request.url.path)
        page = renderer.page(
            "problem.html", status, title=title, sentence=sentence, hint=hint, place=place, words=words
        )
        page.headers.update(PROTECTION)
        return page

    async def penstock_error(request: Request, error: Exception) -> Response:
        if _is_for_mlflow(request) and isinstance(error, PenstockError):
            return mlflow_error_response(error)
        if _is_for_programs(request) or not isinstance(error, PenstockError):
            return await answer_penstock_error(request, error)
        told = told_outside(error)
        page = show(request, status_of(told), told.message, told.hint, address_without(request, told))
        page.headers.update(waiting_of(told))
        return page

    async def http_exception(request: Request, error: Exception) -> Response:
        if _is_for_mlflow(request) and isinstance(error, HTTPException):
            refused = mlflow_error_response(_as_cause(request, error))
            refused.headers.update(error.headers or {})
            return refused
        if _is_for_programs(request) or not isinstance(error, HTTPException):
            return await answer_http_exception(request, error)
        if error.status_code == HTTPStatus.NOT_FOUND:
            return show(request, 404, "There is no page at this address.", None)
        page = show(request, error.status_code, error.detail, None)
        page.headers.update(error.headers or {})
        return page

    async def defect(request: Request, error: Exception) -> Response:
        answer = await answer_defect(request, error)
        if _is_for_mlflow(request):
            return mlflow_error_response(
                PenstockError("the server failed on this request; its log says why", code="http.defect")
            )
        if _is_for_programs(request):
            return answer
        return show(request, 500, "The server failed on this request. Its log says why.", None)

    return {PenstockError: penstock_error, HTTPException: http_exception, Exception: defect}


def section_of(path: str) -> tuple[str, str]:
    """Return where somebody can go on who came to an address that shows nothing: the list that it belongs to.

    Example:
        >>> section_of("/models/late/9"), section_of("/none")
        (('/models', 'All models'), ('/', 'The overview'))
    """
    first = path.split("/")[1] if path.count("/") > 1 else ""
    return (f"/{first}", f"All {first}") if first in SECTIONS else ("/", "The overview")


def _is_for_mlflow(request: Request) -> bool:
    return request.url.path.startswith(PATHS)


def _as_cause(request: Request, error: HTTPException) -> PenstockError:
    is_wrong_method = error.status_code == HTTPStatus.METHOD_NOT_ALLOWED
    return NotFound(
        f"there is no endpoint {request.method} {request.url.path[:200]}",
        code="http.wrong_method" if is_wrong_method else "http.no_endpoint",
    )


def _is_for_programs(request: Request) -> bool:
    path = request.url.path
    return any(path == known or path.startswith(f"{known}/") for known in PROGRAM_PATHS)
