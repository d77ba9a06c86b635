"""Webhooks on MLflow's wire. A secret goes in and never comes out."""

from __future__ import annotations

from typing import Any, ClassVar

import msgspec
import sqlalchemy as sa

from penstock.base.errors import PenstockError
from penstock.base.web.posting import check_target
from penstock.flows.models.webhooks import try_webhook
from penstock.http.caller import Caller
from penstock.http.mlflow.dispatch import Endpoint, Need
from penstock.http.mlflow.paging import page_of, start_of
from penstock.http.mlflow.wire import Int64, Request, given
from penstock.project.project import Project
from penstock.records.limits import invalid_value
from penstock.registry.webhooks import (
    EVENTS,
    Status,
    Webhook,
    add_webhook,
    change_webhook,
    delete_webhook,
    get_webhook,
    list_webhooks,
)
from penstock.tracking.search import check_max_results

MAX_RESULTS = 1000
STATUSES: tuple[Status, ...] = ("ACTIVE", "DISABLED")


class EventIn(msgspec.Struct, kw_only=True):
    """What a webhook is told of: `REGISTERED_MODEL` and `CREATED`."""

    entity: str = ""
    action: str = ""

    @property
    def name(self) -> str:
        """The event's name here: `registered_model.created`."""
        return f"{self.entity}.{self.action}".lower()


class Create(Request, kw_only=True):
    """POST webhooks."""

    name: str = ""
    url: str = ""
    events: list[EventIn] = msgspec.field(default_factory=list)
    description: str = ""
    secret: str = ""
    status: str = ""
    required: ClassVar[tuple[str, ...]] = ("name", "url", "events")


class List(Request, kw_only=True):
    """GET webhooks."""

    max_results: Int64 = 100
    page_token: str = ""


class One(Request, kw_only=True):
    """A request about one webhook."""

    webhook_id: str = ""


class Change(One, kw_only=True):
    """PATCH webhooks/{webhook_id}; what is absent stays."""

    name: str | None = None
    url: str | None = None
    events: list[EventIn] = msgspec.field(default_factory=list)
    description: str | None = None
    secret: str | None = None
    status: str | None = None


class Try(One, kw_only=True):
    """POST webhooks/{webhook_id}/test."""

    event: EventIn | None = None


def show(webhook: Webhook) -> dict[str, Any]:
    """Return a webhook as the wire has it, without its secret."""
    events = [name.upper().split(".") for name in webhook.events]
    return given(
        webhook_id=webhook.id,
        name=webhook.name,
        description=webhook.description,
        url=webhook.url,
        events=[{"entity": entity, "action": action} for entity, action in events],
        status=webhook.status,
        creation_timestamp=webhook.created_ms,
        last_updated_timestamp=webhook.updated_ms,
    )


def create(project: Project, request: Create, caller: Caller) -> dict[str, Any]:
    """Make a webhook."""
    check_target(request.url, allow_private=project.settings.webhooks.allow_private)
    made = Webhook(
        id="",
        name=request.name,
        url=request.url,
        events=_events(request.events),
        status=_status(request.status or "ACTIVE"),
        created_ms=0,
        updated_ms=0,
        description=request.description or None,
        secret=request.secret or None,
    )
    written = project.writer.submit(lambda connection: add_webhook(connection, made, caller.actor)).result()
    return {"webhook": show(written)}


def get(connection: sa.Connection, request: One, _caller: Caller) -> dict[str, Any]:
    """Show a webhook."""
    return {"webhook": show(get_webhook(connection, request.webhook_id))}


def listing(connection: sa.Connection, request: List, _caller: Caller) -> dict[str, Any]:
    """List webhooks."""
    limit = check_max_results(request.max_results, MAX_RESULTS)
    start = start_of(request.page_token)
    return page_of(
        "webhooks", [show(one) for one in list_webhooks(connection, limit + 1, start)], start, limit
    )


def change(project: Project, request: Change, caller: Caller) -> dict[str, Any]:
    """Change what is given of a webhook."""
    values: dict[str, Any] = given(
        name=request.name or None,
        url=request.url or None,
        description=request.description,
        secret=request.secret,
        events=_events(request.events) or None,
        status=_status(request.status) if request.status else None,
    )
    if "url" in values:
        check_target(values["url"], allow_private=project.settings.webhooks.allow_private)

    def write(connection: sa.Connection) -> Webhook:
        before = get_webhook(connection, request.webhook_id)
        return change_webhook(connection, msgspec.structs.replace(before, **values), caller.actor)

    return {"webhook": show(project.writer.submit(write).result())}


def delete(connection: sa.Connection, request: One, caller: Caller) -> dict[str, Any]:
    """Take a webhook away."""
    delete_webhook(connection, request.webhook_id, caller.actor)
    return {}


def attempt(project: Project, request: Try, _caller: Caller) -> dict[str, Any]:
    """Send an example and say what came back."""
    event = _events([request.event])[0] if request.event else None
    with project.database.read() as connection:
        webhook = get_webhook(connection, request.webhook_id)
    try:
        answer = try_webhook(webhook, event, project.settings.webhooks.allow_private)
    except PenstockError as error:
        return {"result": {"success": False, "error_message": f"Failed to test webhook: {error.message}"}}
    result = {"success": answer.is_taken, "response_status": answer.status, "response_body": answer.body}
    return {"result": result}


def _events(wanted: list[EventIn]) -> tuple[str, ...]:
    for one in wanted:
        if one.name not in EVENTS:
            raise invalid_value("events", one.name, f"one of {', '.join(sorted(EVENTS))}")
    return tuple(dict.fromkeys(one.name for one in wanted))


def _status(name: str) -> Status:
    found = next((status for status in STATUSES if status == name), None)
    if found is None:
        raise invalid_value("status", name, f"one of {', '.join(STATUSES)}")
    return found


_ADMIN = Need("server", "admin")
_ONE = "webhooks/{webhook_id}"
ENDPOINTS = (
    Endpoint("POST", "webhooks", Create, _ADMIN, "calls", create),
    Endpoint("GET", "webhooks", List, _ADMIN, "reads", listing),
    Endpoint("GET", _ONE, One, _ADMIN, "reads", get),
    Endpoint("PATCH", _ONE, Change, _ADMIN, "calls", change),
    Endpoint("DELETE", _ONE, One, _ADMIN, "writes", delete),
    Endpoint("POST", f"{_ONE}/test", Try, _ADMIN, "calls", attempt),
)
