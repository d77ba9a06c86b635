"""Send what the registry noted for its webhooks, signed, until it is taken or given up.

A delivery keeps its id over all attempts, so a receiver can drop what it has. Several servers over one store
share the work: what one has claimed, another leaves alone until the claim runs out. The loop that calls this is
`penstock.processes.webhooks`.

Source: the wire of mlflow/mlflow, mlflow/webhooks/delivery.py (headers, signature, body).
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import time
import uuid
from collections.abc import Callable, Mapping
from typing import Any

from penstock.base.clock import find_moment, now_ms
from penstock.base.errors import PenstockError
from penstock.base.jsontext import render_json
from penstock.base.web.deliveries import Deliveries, Outcome
from penstock.base.web.posting import Answer, post_bytes
from penstock.project.project import Project
from penstock.registry.webhooks import (
    Delivery,
    Webhook,
    claim_deliveries,
    find_oldest_ms,
    finish_delivery,
    has_due,
    put_off_delivery,
)

CLAIM_MS = 300_000
BACKOFF_S = (1, 5, 30, 120, 600, 3600)
"""How long each next attempt waits; after the last one the delivery is given up."""
EXAMPLES: dict[str, dict[str, Any]] = {
    "registered_model.created": {
        "name": "example_model",
        "tags": {"example_key": "example_value"},
        "description": "An example registered model",
    },
    "model_version.created": {
        "name": "example_model",
        "version": "1",
        "source": "models:/123",
        "run_id": "abcd1234abcd5678",
        "tags": {"example_key": "example_value"},
        "description": "An example model version",
    },
    "model_version_tag.set": {
        "name": "example_model",
        "version": "1",
        "key": "example_key",
        "value": "example_value",
    },
    "model_version_tag.deleted": {"name": "example_model", "version": "1", "key": "example_key"},
    "model_version_alias.created": {"name": "example_model", "alias": "example_alias", "version": "1"},
    "model_version_alias.deleted": {"name": "example_model", "alias": "example_alias"},
}


def send_due(
    project: Project,
    is_stopping: Callable[[], bool] = lambda: False,
    deliveries: Deliveries | None = None,
) -> int:
    """Send what is due now, until `is_stopping`, and return how much was due.

    Args:
        deliveries: where what becomes of them is counted.

    Raises:
        Unavailable: the store cannot be reached.
    """
    time_ms, counted = now_ms(), deliveries or Deliveries()
    with project.database.read() as connection:
        counted.look(lambda: find_oldest_ms(connection))
        if not has_due(connection, time_ms):
            return 0
    with project.database.write() as connection:
        due = claim_deliveries(connection, time_ms, time_ms + CLAIM_MS)
    for delivery in due:
        if is_stopping():
            break
        counted.count(_send(project, delivery))
    return len(due)


def _send(project: Project, delivery: Delivery) -> Outcome:
    problem, is_told = "", delivery.webhook.status == "ACTIVE"
    if is_told:
        allow = project.settings.webhooks.allow_private
        try:
            answer = send_event(delivery.webhook, _body_of(delivery), _id_of(delivery), allow)
            problem = "" if answer.is_taken else f"it answered {answer.status}"
        except PenstockError as error:
            problem = error.message
    with project.database.write() as connection:
        if not problem:
            finish_delivery(connection, delivery, is_taken=is_told)
            return "taken" if is_told else "dropped"
        tries = delivery.attempt_count
        next_ms = now_ms() + 1000 * BACKOFF_S[tries] if tries < len(BACKOFF_S) else None
        put_off_delivery(connection, delivery, problem, next_ms, project.actor)
        return "given_up" if next_ms is None else "failed"


def send_event(webhook: Webhook, body: Mapping[str, Any], delivery_id: str, allow_private: bool) -> Answer:
    """Post one event to a webhook, signed where it has a secret.

    Raises:
        Invalid: its address may not be posted to.
        Unavailable: nobody answered.
    """
    text = render_json(body)
    sent = str(int(time.time()))
    headers = {
        "Content-Type": "application/json",
        "X-MLflow-Delivery-Id": delivery_id,
        "X-MLflow-Timestamp": sent,
    }
    if webhook.secret:
        headers["X-MLflow-Signature"] = sign(webhook.secret, delivery_id, sent, text)
    return post_bytes(webhook.url, text.encode(), headers, allow_private=allow_private)


def sign(secret: str, delivery_id: str, sent: str, text: str) -> str:
    """Return the signature of a delivery: `v1,` and the base64 of HMAC-SHA256 over `id.timestamp.body`."""
    signed = f"{delivery_id}.{sent}.{text}".encode()
    return f"v1,{base64.b64encode(hmac.new(secret.encode(), signed, hashlib.sha256).digest()).decode()}"


def try_webhook(webhook: Webhook, event: str | None, allow_private: bool) -> Answer:
    """Send an example of an event (by default of its first one) and return the answer.

    Raises:
        Invalid, Unavailable: as `send_event`.
    """
    name = event or webhook.events[0]
    body = make_body(name, EXAMPLES[name], now_ms())
    return send_event(webhook, body, str(uuid.uuid4()), allow_private)


def make_body(event: str, data: Mapping[str, Any], time_ms: int) -> dict[str, Any]:
    """Return what is posted of an event."""
    entity, _, action = event.partition(".")
    moment = find_moment(time_ms)
    when = str(time_ms) if moment is None else moment.isoformat()
    return {"entity": entity, "action": action, "timestamp": when, "data": dict(data)}


def _body_of(delivery: Delivery) -> dict[str, Any]:
    return make_body(f"{delivery.entity}.{delivery.action}", delivery.payload, delivery.created_ms)


def _id_of(delivery: Delivery) -> str:
    return str(uuid.uuid5(uuid.UUID(delivery.webhook.id), str(delivery.id)))
