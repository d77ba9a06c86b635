"""MLflow's own webhook client, and a receiver that checks the signature as MLflow's documentation does."""

from __future__ import annotations

import json
from pathlib import Path

from servers.receiver import run_receiver
from servers.tracking import Tracking, run_tracking
from stories.live import wait_until


def test_the_client_makes_tries_changes_and_deletes_a_webhook_that_is_told(tmp_path: Path) -> None:
    with (
        run_receiver() as receiver,
        run_tracking(tmp_path, settings="project: p\nwebhooks: {allow_private: true}\n") as server,
    ):
        found = server.drive(
            """
            made = client.create_webhook(name="h", url=given, events=["registered_model.created"], secret="hush")
            out = [made.name, str(made.status), [str(event) for event in made.events], made.secret]
            out.append([one.webhook_id == made.webhook_id for one in client.list_webhooks()])
            result = client.test_webhook(made.webhook_id)
            out.append([result.success, result.response_status])
            client.create_registered_model("told", {"a": "b"}, "words")
            changed = client.update_webhook(made.webhook_id, events=["model_version.created"], description="d")
            out.append([changed.description, [str(event) for event in changed.events]])
            answer(out)
            """,
            receiver.url,
        )
        wait_until(lambda: len(receiver.requests) == 2)
        checked = server.drive(
            """
            from mlflow.webhooks.delivery import _generate_hmac_signature
            headers, body = given
            expected = _generate_hmac_signature(
                "hush", headers["X-MLflow-Delivery-Id"], headers["X-MLflow-Timestamp"], body)
            client.delete_webhook(client.list_webhooks()[0].webhook_id)
            answer([expected == headers["X-MLflow-Signature"], len(client.list_webhooks())])
            """,
            [receiver.requests[1].headers, receiver.requests[1].body.decode()],
        )
    assert found == [
        "h",
        "ACTIVE",
        ["registered_model.created"],
        None,
        [True],
        [True, 200],
        ["d", ["model_version.created"]],
    ]
    told = json.loads(receiver.requests[1].body)
    assert told["data"] == {"name": "told", "tags": {"a": "b"}, "description": "words"}
    assert checked == [True, 0]


def test_an_inner_address_is_refused_to_the_client(tracking: Tracking) -> None:
    found = tracking.drive(
        """
        answer(refused(client.create_webhook, name="h", url="https://169.254.169.254/x", events=["registered_model.created"]))
        """
    )
    assert found[0] == "INVALID_PARAMETER_VALUE"
