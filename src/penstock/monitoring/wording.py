"""An alert in the words of who receives it: Alertmanager's webhook (version 4), Slack's, or plain JSON."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from penstock.monitoring.alerts import Alert, Delivery
from penstock.monitoring.settings import AlertFormat

NEVER = "0001-01-01T00:00:00Z"
ONCE_MS = 300_000
"""How long what happened once counts as going on, for receivers that show what is firing."""


def body_of(delivery: Delivery) -> dict[str, Any]:
    """Return what is posted. The same delivery gives the same body at every attempt."""
    return BODIES.get(delivery.format, _alertmanager)(delivery)


def _alertmanager(delivery: Delivery) -> dict[str, Any]:
    """Speak as Alertmanager does to its webhook receivers.

    Source: prometheus/alertmanager, `notify/webhook` and `template.Data`, version 4.
    """
    alert = delivery.alert
    labels = alert.subject.all_labels
    summary = {"summary": alert.summary}
    one = {
        "status": delivery.status,
        "labels": labels,
        "annotations": summary,
        "startsAt": _iso(alert.starts_ms),
        "endsAt": _end(delivery),
        "generatorURL": "",
        "fingerprint": alert.fingerprint,
    }
    return {
        "version": "4",
        "groupKey": f'{{}}:{{alertname="{alert.name}", endpoint="{alert.endpoint}"}}',
        "truncatedAlerts": 0,
        "status": delivery.status,
        "receiver": "penstock",
        "groupLabels": {"alertname": alert.name, "endpoint": alert.endpoint},
        "commonLabels": labels,
        "commonAnnotations": summary,
        "externalURL": "",
        "alerts": [one],
    }


def _plain(delivery: Delivery) -> dict[str, Any]:
    alert = delivery.alert
    return {
        "id": f"{alert.id}-{delivery.status}",
        "status": delivery.status,
        "name": alert.name,
        "endpoint": alert.endpoint,
        "labels": alert.labels,
        "summary": alert.summary,
        "starts_ms": alert.starts_ms,
        "ends_ms": alert.ends_ms if delivery.status == "resolved" else None,
        "event": alert.event_id,
    }


def _slack(delivery: Delivery) -> dict[str, Any]:
    """Speak to an incoming webhook; `&`, `<` and `>` are what Slack's text must escape."""
    alert = delivery.alert
    mark = ":white_check_mark: resolved" if delivery.status == "resolved" else ":rotating_light:"
    text = alert.summary.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return {"text": f"{mark} *{alert.name}* {text}"}


def _end(delivery: Delivery) -> str:
    alert: Alert = delivery.alert
    if delivery.status == "resolved":
        return _iso(alert.ends_ms or alert.starts_ms)
    return _iso(alert.starts_ms + ONCE_MS) if alert.ends_ms == alert.starts_ms else NEVER


def _iso(time_ms: int) -> str:
    return datetime.fromtimestamp(time_ms / 1000, UTC).isoformat().replace("+00:00", "Z")


BODIES: dict[AlertFormat, Callable[[Delivery], dict[str, Any]]] = {
    "alertmanager": _alertmanager,
    "json": _plain,
    "slack": _slack,
}
"""What writes each format. One that a newer program wrote into the store goes as Alertmanager's."""
