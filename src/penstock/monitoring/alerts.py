"""Tell people: post an alert as JSON to a webhook, in Alertmanager's words.

Delivery is tried a few times and never blocks the caller for longer than that; receivers must accept
the same alert twice (it carries a fingerprint).
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from penstock.base.digest import digest_value
from penstock.base.errors import PenstockError, Unavailable
from penstock.base.jsontext import render_json
from penstock.base.web.posting import post_bytes

ATTEMPTS = 3


def make_alert(name: str, labels: Mapping[str, str], summary: str, started: str) -> dict[str, Any]:
    """Return the body of one firing alert (Alertmanager webhook, version 4)."""
    all_labels = {"alertname": name, **labels}
    alert = {
        "status": "firing",
        "labels": all_labels,
        "annotations": {"summary": summary},
        "startsAt": started,
        "endsAt": "0001-01-01T00:00:00Z",
        "fingerprint": digest_value(all_labels)[:16],
    }
    return {
        "version": "4",
        "status": "firing",
        "receiver": "penstock",
        "groupLabels": {"alertname": name},
        "commonLabels": all_labels,
        "commonAnnotations": {"summary": summary},
        "alerts": [alert],
    }


def post_alert(url: str, body: Mapping[str, Any]) -> None:
    """Post an alert and wait for a 2xx answer.

    Raises:
        Unavailable: no such answer after `ATTEMPTS` tries.
    """
    data = render_json(body).encode()
    problem = ""
    for attempt in range(ATTEMPTS):
        try:
            # whoever writes penstock.yaml may name any address
            answer = post_bytes(url, data, {"Content-Type": "application/json"}, allow_private=True)
            if answer.is_taken:
                return
            problem = f"it answered {answer.status}"
        except PenstockError as error:
            problem = error.message
        time.sleep(0.2 * 2**attempt)
    raise Unavailable(
        f"the alert was not taken by {url}: {problem}",
        code="alert.not_delivered",
        hint="check alerts.webhooks in penstock.yaml",
    )
