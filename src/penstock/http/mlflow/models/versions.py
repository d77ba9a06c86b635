"""Model versions on MLflow's wire."""

from __future__ import annotations

from typing import Any, ClassVar

import msgspec
import sqlalchemy as sa

from penstock.flows.models.aliases import AliasPolicy
from penstock.flows.models.removing import delete_version
from penstock.flows.models.uploaded import Registration, register_uploaded
from penstock.http.caller import Caller
from penstock.http.mlflow.absent import check_no_prompt
from penstock.http.mlflow.dispatch import Endpoint
from penstock.http.mlflow.models.models import MODEL_ADMIN, MODEL_LIST, MODEL_READ, MODEL_WRITE, One
from penstock.http.mlflow.models.sources import Asked, find_source
from penstock.http.mlflow.models.view import resolve_uri, show_version
from penstock.http.mlflow.paging import after_of, page_behind
from penstock.http.mlflow.tracking.experiments import Pair
from penstock.http.mlflow.wire import Int64, Request
from penstock.project.project import Project
from penstock.records.limits import invalid_value
from penstock.registry.cards import get_card
from penstock.registry.entities import VersionCard
from penstock.registry.models import get_model
from penstock.registry.names import parse_number
from penstock.registry.notes import delete_version_tag, describe_version, move_stage, set_version_tag
from penstock.registry.search import RegistrySearch, search_versions, version_cursor
from penstock.registry.tables import versions as version_rows
from penstock.tracking.search import check_max_results

MAX_RESULTS = 200_000
MAX_RUN_ID = 32


class Create(One, kw_only=True):
    """POST model-versions/create."""

    source: str = ""
    run_id: str = ""
    model_id: str = ""
    tags: list[Pair] = msgspec.field(default_factory=list)
    run_link: str | None = None
    description: str | None = None
    required: ClassVar[tuple[str, ...]] = ("name", "source")


class OneVersion(One, kw_only=True):
    """A request about one version."""

    version: str = ""
    required: ClassVar[tuple[str, ...]] = ("name", "version")


class Describe(OneVersion, kw_only=True):
    """PATCH model-versions/update."""

    description: str | None = None


class MoveStage(OneVersion, kw_only=True):
    """POST model-versions/transition-stage."""

    stage: str = ""
    archive_existing_versions: bool = False
    required: ClassVar[tuple[str, ...]] = ("name", "version", "stage")


class Search(Request, kw_only=True):
    """GET model-versions/search."""

    filter: str = ""
    max_results: Int64 = MAX_RESULTS
    order_by: list[str] = msgspec.field(default_factory=list)
    page_token: str = ""


class SetTag(OneVersion, kw_only=True):
    """POST model-versions/set-tag."""

    key: str = ""
    value: str = ""
    required: ClassVar[tuple[str, ...]] = ("name", "version", "key")


class DeleteTag(OneVersion, kw_only=True):
    """DELETE model-versions/delete-tag."""

    key: str = ""
    required: ClassVar[tuple[str, ...]] = ("name", "version", "key")


def create(project: Project, request: Create, caller: Caller) -> dict[str, Any]:
    """Register a version of what a client uploaded, or of a place it names."""
    if len(request.run_id) > MAX_RUN_ID:
        raise invalid_value("run_id", request.run_id, f"it may have {MAX_RUN_ID} characters")
    tags = {tag.key: tag.value for tag in request.tags}
    asked = Asked(request.source, request.run_id, request.model_id)
    with project.database.read() as connection:
        get_model(connection, request.name)
        source = find_source(connection, asked, caller)
    check_no_prompt(tags)  # after the source, so that no tag changes what is said of it
    version = register_uploaded(
        project,
        Registration(
            model=request.name,
            source=source.text,
            actor=caller.actor,
            folder=source.folder,
            origin=source.origin,
            run_id=source.run_id,
            logged_model_id=source.model_id,
            run_link=request.run_link,
            description=request.description,
            tags=tags,
        ),
    )
    with project.database.read() as connection:
        return _answer(get_card(connection, version.model, version.number))


def get(connection: sa.Connection, request: OneVersion, _caller: Caller) -> dict[str, Any]:
    """Show a version."""
    return _answer(_card(connection, request))


def download(connection: sa.Connection, request: OneVersion, _caller: Caller) -> dict[str, Any]:
    """Say where its files are fetched."""
    return {"artifact_uri": resolve_uri(connection, _card(connection, request))}


def describe(connection: sa.Connection, request: Describe, caller: Caller) -> dict[str, Any]:
    """Set the description."""
    card = _card(connection, request)
    return _answer(describe_version(connection, card.model, card.number, request.description, caller.actor))


def transition(connection: sa.Connection, request: MoveStage, caller: Caller) -> dict[str, Any]:
    """Put it into a stage."""
    card = _card(connection, request)
    archive = request.archive_existing_versions
    return _answer(move_stage(connection, card, request.stage, caller.actor, archive=archive))


def delete(project: Project, request: OneVersion, caller: Caller) -> dict[str, Any]:
    """Take away."""
    policy, number = AliasPolicy.of(project), parse_number(request.version)
    project.writer.submit(
        lambda connection: delete_version(connection, policy, request.name, number, caller.actor)
    ).result()
    return {}


def search(connection: sa.Connection, request: Search, caller: Caller) -> dict[str, Any]:
    """List versions that match."""
    limit = check_max_results(request.max_results, MAX_RESULTS)
    after = after_of(request.page_token, request.order_by)
    wanted = RegistrySearch(
        request.filter,
        request.order_by,
        limit + 1,
        after,
        caller.visible(connection, "model", version_rows.c.model),
    )
    page = page_behind(
        "model_versions",
        search_versions(connection, wanted),
        limit,
        request.order_by,
        lambda card: version_cursor(connection, wanted, card),
    )
    if page:
        page["model_versions"] = [show_version(card) for card in page["model_versions"]]
    return page


def set_tag(connection: sa.Connection, request: SetTag, caller: Caller) -> dict[str, Any]:
    """Set a tag."""
    set_version_tag(connection, _card(connection, request), request.key, request.value, caller.actor)
    return {}


def delete_tag(connection: sa.Connection, request: DeleteTag, caller: Caller) -> dict[str, Any]:
    """Take a tag away."""
    delete_version_tag(connection, _card(connection, request), request.key, caller.actor)
    return {}


def _card(connection: sa.Connection, request: OneVersion) -> VersionCard:
    return get_card(connection, request.name, parse_number(request.version))


def _answer(card: VersionCard) -> dict[str, Any]:
    return {"model_version": show_version(card)}


_AT = "model-versions"
ENDPOINTS = (
    Endpoint("POST", f"{_AT}/create", Create, MODEL_WRITE, "calls", create),
    Endpoint("GET", f"{_AT}/get", OneVersion, MODEL_READ, "reads", get),
    Endpoint("GET", f"{_AT}/get-download-uri", OneVersion, MODEL_READ, "reads", download),
    Endpoint("PATCH", f"{_AT}/update", Describe, MODEL_WRITE, "writes", describe),
    Endpoint("POST", f"{_AT}/transition-stage", MoveStage, MODEL_WRITE, "writes", transition),
    Endpoint("DELETE", f"{_AT}/delete", OneVersion, MODEL_ADMIN, "calls", delete),
    Endpoint("GET", f"{_AT}/search", Search, MODEL_LIST, "reads", search),
    Endpoint("POST", f"{_AT}/set-tag", SetTag, MODEL_WRITE, "writes", set_tag),
    Endpoint("DELETE", f"{_AT}/delete-tag", DeleteTag, MODEL_WRITE, "writes", delete_tag),
)
