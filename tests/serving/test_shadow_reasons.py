"""Why shadows fail: rows that do not fit them, what their models raise, and those that were left out."""

from __future__ import annotations

from pathlib import Path

import httpx
import pytest

from patience import PATIENCE_S
from penstock.base.clock import now_ms
from penstock.base.store.database import Database
from penstock.http.inference.app import build_inference_app
from penstock.monitoring.policies import PolicyBody, put_policy
from penstock.monitoring.settings import AlertSettings, EndpointSettings, MonitorSettings, PayloadSettings
from penstock.monitoring.windows import list_windows
from penstock.processes.serve import ServeProcess
from penstock.processes.serve_options import ServeOptions
from penstock.records.signature import Column, Signature
from penstock.serving.loaders import ModelFiles
from penstock.serving.workers import list_workers
from serving.models import SIGNATURE, FolderSource, deploy, request_body
from stories.live import wait_until

PICKY = """
class Picky:
    def predict(self, rows):
        if max(rows["hour"]) >= 18:
            raise ValueError("no rows after six")
        return {"prediction": [0 for _ in rows["hour"]], "probability": [0.5 for _ in rows["hour"]]}
"""


@pytest.mark.slow
def test_each_kind_of_failure_is_counted_and_the_last_reason_kept(
    database: Database, source: FolderSource, tmp_path: Path
) -> None:
    folder = tmp_path / "picky"
    (folder / "code").mkdir(parents=True)
    (folder / "code" / "picky.py").write_text(PICKY)
    inputs = tuple(Column(one.name, one.datatype) for one in SIGNATURE.inputs)  # wind is required here
    source.add(
        ModelFiles(
            path=folder,
            name="flight-delay",
            version=3,
            digest="picky",
            flavour="penstock_python",
            options={"code": "code", "class": "Picky", "file": "picky.py"},
            signature=Signature(inputs, SIGNATURE.outputs),
            example={"hour": [5], "distance": [900.0], "carrier": ["AA"], "wind": [1.0]},
        )
    )
    deploy(database, "delay", 1, shadows=(3,))
    process = ServeProcess(
        database, source, build_inference_app, ServeOptions(port=0, poll_s=0.02, beat_s=0.02, flush_s=0.05)
    )
    process.start()
    windy = {"datatype": "FP64", "data": [3.0]}

    def told() -> list[str]:
        with database.read() as connection:
            [worker] = list_workers(connection, now_ms() - 60_000)
        return [one.message for one in worker.revisions]

    try:
        with httpx.Client(base_url=process.url, timeout=PATIENCE_S) as client:

            def ask(body: object) -> None:
                assert client.post("/v2/models/delay/infer", json=body).json()["model_version"] == "1"

            ask(request_body(wind=windy, hour={"data": [3]}))
            ask(request_body(wind=windy))
            wait_until(
                lambda: (
                    told()
                    == [
                        "shadow version 3: of the requests it saw 1 failed; the last: ValueError: no rows after six"
                    ]
                )
            )
            ask(request_body())
            wait_until(lambda: "1 failed, 1 did not fit it; the last: " in told()[0] and "wind" in told()[0])

        def counts() -> list[tuple[int, int, int]]:
            with database.read() as connection:
                found = list_windows(connection, "delay")
            shadows = [one for one in found if one.key.route == "shadow"]
            return [(one.request_count, one.error_count, one.features.row_count) for one in shadows]

        wait_until(lambda: [sum(one) for one in zip(*counts(), strict=True)] == [3, 2, 2])
        # where a column must not be kept, an error's words may hold its values
        monitor = MonitorSettings(payloads=PayloadSettings(redact=("wind",)))
        body = PolicyBody(
            endpoint=EndpointSettings(model="late@champion", monitor=monitor), alerts=AlertSettings()
        )
        with database.write() as connection:
            put_policy(connection, "delay", body, "person:ada")
        wait_until(lambda: told()[0].endswith("1 failed, 1 did not fit it; the last: serving.missing_input"))
    finally:
        process.stop()
