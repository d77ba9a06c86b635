"""Registered models and their aliases on MLflow's wire."""

from __future__ import annotations

from typing import Any, ClassVar

import msgspec
import sqlalchemy as sa

from penstock.base.errors import Invalid
from penstock.flows.models.aliases import AliasPolicy, apply_move, check_files, drop_alias, plan_move
from penstock.flows.models.removing import delete_model, rename_model
from penstock.http.caller import Caller
from penstock.http.mlflow.absent import check_no_prompt
from penstock.http.mlflow.dispatch import Endpoint, Need
from penstock.http.mlflow.models.view import show_models, show_version
from penstock.http.mlflow.paging import after_of, page_behind
from penstock.http.mlflow.tracking.experiments import Pair
from penstock.http.mlflow.wire import Int64, Request
from penstock.project.project import Project
from penstock.registry import models
from penstock.registry.aliases import find_alias
from penstock.registry.cards import get_card, latest_cards
from penstock.registry.names import check_alias, is_latest, parse_number
from penstock.registry.notes import STAGES, parse_stage
from penstock.registry.references import resolve_version
from penstock.registry.search import RegistrySearch, model_cursor, search_models
from penstock.registry.tables import models as model_rows
from penstock.registry.versions import get_version
from penstock.tracking.search import check_max_results

MAX_RESULTS = 1000


class Create(Request, kw_only=True):
    """POST registered-models/create."""

    name: str = ""
    tags: list[Pair] = msgspec.field(default_factory=list)
    description: str | None = None
    required: ClassVar[tuple[str, ...]] = ("name",)


class One(Request, kw_only=True):
    """A request about one model."""

    name: str = ""
    required: ClassVar[tuple[str, ...]] = ("name",)


class Rename(One, kw_only=True):
    """POST registered-models/rename."""

    new_name: str = ""
    required: ClassVar[tuple[str, ...]] = ("name", "new_name")


class Describe(One, kw_only=True):
    """PATCH registered-models/update."""

    description: str = ""


class Search(Request, kw_only=True):
    """GET registered-models/search."""

    filter: str = ""
    max_results: Int64 = 100
    order_by: list[str] = msgspec.field(default_factory=list)
    page_token: str = ""


class Latest(One, kw_only=True):
    """GET or POST registered-models/get-latest-versions."""

    stages: list[str] = msgspec.field(default_factory=list)


class SetTag(One, kw_only=True):
    """POST registered-models/set-tag."""

    key: str = ""
    value: str = ""
    required: ClassVar[tuple[str, ...]] = ("name", "key")


class DeleteTag(One, kw_only=True):
    """DELETE registered-models/delete-tag."""

    key: str = ""
    required: ClassVar[tuple[str, ...]] = ("name", "key")


class OfAlias(One, kw_only=True):
    """GET or DELETE registered-models/alias."""

    alias: str = ""
    required: ClassVar[tuple[str, ...]] = ("name", "alias")


class SetAlias(OfAlias, kw_only=True):
    """POST registered-models/alias."""

    version: str = ""
    required: ClassVar[tuple[str, ...]] = ("name", "alias", "version")


def create(connection: sa.Connection, request: Create, caller: Caller) -> dict[str, Any]:
    """Make a model."""
    tags = {tag.key: tag.value for tag in request.tags}
    check_no_prompt(tags)
    models.create_model(connection, request.name, caller.actor, tags=tags, description=request.description)
    caller.own(connection, "model", request.name)
    return _answer(connection, request.name)


def get(connection: sa.Connection, request: One, _caller: Caller) -> dict[str, Any]:
    """Show a model."""
    return _answer(connection, request.name)


def rename(project: Project, request: Rename, caller: Caller) -> dict[str, Any]:
    """Give another name."""
    policy = AliasPolicy.of(project)

    def write(connection: sa.Connection) -> dict[str, Any]:
        rename_model(connection, policy, request.name, request.new_name, caller.actor)
        return _answer(connection, request.new_name)

    return project.writer.submit(write).result()


def describe(connection: sa.Connection, request: Describe, caller: Caller) -> dict[str, Any]:
    """Set the description."""
    models.describe_registered(connection, request.name, request.description, caller.actor)
    return _answer(connection, request.name)


def delete(project: Project, request: One, caller: Caller) -> dict[str, Any]:
    """Take away."""
    policy = AliasPolicy.of(project)
    project.writer.submit(
        lambda connection: delete_model(connection, policy, request.name, caller.actor)
    ).result()
    return {}


def search(connection: sa.Connection, request: Search, caller: Caller) -> dict[str, Any]:
    """List models that match."""
    limit = check_max_results(request.max_results, MAX_RESULTS)
    after = after_of(request.page_token, request.order_by)
    only = caller.visible(connection, "model", model_rows.c.name)
    wanted = RegistrySearch(request.filter, request.order_by, limit + 1, after, only)
    page = page_behind(
        "registered_models",
        search_models(connection, wanted),
        limit,
        request.order_by,
        lambda name: model_cursor(connection, wanted, name),
    )
    if not page:
        return {}
    shown = show_models(connection, models.list_models(connection, page["registered_models"]))
    return {**page, "registered_models": shown}


def latest(connection: sa.Connection, request: Latest, _caller: Caller) -> dict[str, Any]:
    """Show the newest version of each stage."""
    wanted = {parse_stage(stage) for stage in request.stages} or set(STAGES)
    models.get_model(connection, request.name)
    cards = latest_cards(connection, [request.name]).get(request.name, [])
    return {"model_versions": [show_version(card) for card in cards if card.stage in wanted]}


def set_tag(connection: sa.Connection, request: SetTag, caller: Caller) -> dict[str, Any]:
    """Set a tag."""
    check_no_prompt({request.key: request.value})
    models.set_model_tag(connection, request.name, request.key, request.value, caller.actor)
    return {}


def delete_tag(connection: sa.Connection, request: DeleteTag, caller: Caller) -> dict[str, Any]:
    """Take a tag away."""
    models.delete_model_tag(connection, request.name, request.key, caller.actor)
    return {}


def get_alias(connection: sa.Connection, request: OfAlias, _caller: Caller) -> dict[str, Any]:
    """Show the version that an alias points at."""
    models.get_model(connection, request.name)
    if is_latest(request.alias):
        newest = resolve_version(connection, f"{request.name}/latest")
        return {"model_version": show_version(get_card(connection, request.name, newest.number))}
    check_alias(request.alias)
    found = find_alias(connection, request.name, request.alias)
    if found is None:
        raise Invalid(f"Registered model alias {request.alias} not found.", code="registry.no_alias")
    return {"model_version": show_version(get_card(connection, request.name, found.version))}


def set_alias(project: Project, request: SetAlias, caller: Caller) -> dict[str, Any]:
    """Point an alias at a version, as the project's policy allows."""
    policy = AliasPolicy.of(project)
    number = parse_number(request.version)
    check_files(project, policy, request.name, number, request.alias)

    def write(connection: sa.Connection) -> None:
        get_card(connection, request.name, number)
        version = get_version(connection, request.name, number)
        plan = plan_move(connection, policy, version, request.alias)
        if not plan.changes_nothing:
            apply_move(connection, plan, caller.actor)

    project.writer.submit(write).result()
    return {}


def delete_alias(project: Project, request: OfAlias, caller: Caller) -> dict[str, Any]:
    """Take an alias away; one that is not there is away already."""
    policy = AliasPolicy.of(project)
    check_alias(request.alias)

    def write(connection: sa.Connection) -> None:
        models.get_model(connection, request.name)
        drop_alias(connection, policy, (request.name, request.alias), caller.actor)

    project.writer.submit(write).result()
    return {}


def _answer(connection: sa.Connection, name: str) -> dict[str, Any]:
    return {"registered_model": show_models(connection, [models.get_model(connection, name)])[0]}


def of_model(_connection: sa.Connection, request: One) -> list[str]:
    """Return the model that a request names."""
    return [request.name]


MODEL_READ, MODEL_WRITE = Need("model", "reader", of_model), Need("model", "writer", of_model)
MODEL_LIST = Need("model", "reader")
_MAKE, MODEL_ADMIN = Need("server", "writer"), Need("model", "admin", of_model)
_AT = "registered-models"
ENDPOINTS = (
    Endpoint("POST", f"{_AT}/create", Create, _MAKE, "writes", create),
    Endpoint("GET", f"{_AT}/get", One, MODEL_READ, "reads", get),
    Endpoint("POST", f"{_AT}/rename", Rename, MODEL_ADMIN, "calls", rename),
    Endpoint("PATCH", f"{_AT}/update", Describe, MODEL_WRITE, "writes", describe),
    Endpoint("DELETE", f"{_AT}/delete", One, MODEL_ADMIN, "calls", delete),
    Endpoint("GET", f"{_AT}/search", Search, MODEL_LIST, "reads", search),
    Endpoint("GET", f"{_AT}/get-latest-versions", Latest, MODEL_READ, "reads", latest),
    Endpoint("POST", f"{_AT}/get-latest-versions", Latest, MODEL_READ, "reads", latest),
    Endpoint("POST", f"{_AT}/set-tag", SetTag, MODEL_WRITE, "writes", set_tag),
    Endpoint("DELETE", f"{_AT}/delete-tag", DeleteTag, MODEL_WRITE, "writes", delete_tag),
    Endpoint("GET", f"{_AT}/alias", OfAlias, MODEL_READ, "reads", get_alias),
    Endpoint("POST", f"{_AT}/alias", SetAlias, MODEL_WRITE, "calls", set_alias),
    Endpoint("DELETE", f"{_AT}/alias", OfAlias, MODEL_WRITE, "calls", delete_alias),
)
