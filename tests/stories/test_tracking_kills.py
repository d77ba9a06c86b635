"""The tracking server is killed again and again under load; what it acknowledged is there afterwards."""

from __future__ import annotations

import http.client
import json
import os
import random
import threading
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from patience import PATIENCE_S
from penstock.data.verbs.creation import init_repository
from penstock.tracking.metrics import list_history
from penstock.tracking.runs import get_run, list_rows
from penstock.workspace import open_workspace
from servers.forking import Forked, start_penstock
from servers.ports import reserve
from stories.live import get, wait_until

KILLS = 100
CLIENTS = 4


@dataclass
class Acknowledged:
    """What the server said it had kept, by run."""

    runs: list[str] = field(default_factory=list)
    steps: dict[str, list[int]] = field(default_factory=dict)
    params: dict[str, list[str]] = field(default_factory=dict)


class Writer(threading.Thread):
    """Starts runs and logs to them until the server goes away."""

    def __init__(self, port: int, kept: Acknowledged) -> None:
        super().__init__()
        self._port, self._kept = port, kept

    def run(self) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=PATIENCE_S)

        def post(path: str, body: Any) -> Any:
            headers = {"Content-Type": "application/json"}
            connection.request("POST", f"/api/2.0/mlflow/runs/{path}", json.dumps(body), headers)
            answer = connection.getresponse()
            text = answer.read()
            assert answer.status == 200, text
            return json.loads(text)

        try:
            while True:
                run = post("create", {"experiment_id": "0", "start_time": 1})["run"]["info"]["run_id"]
                self._kept.runs.append(run)
                for step in range(20):
                    post(
                        "log-metric", {"run_id": run, "key": "m", "value": step, "timestamp": 1, "step": step}
                    )
                    self._kept.steps.setdefault(run, []).append(step)
                    if step % 5 == 0:
                        post("log-parameter", {"run_id": run, "key": f"p{step}", "value": str(step)})
                        self._kept.params.setdefault(run, []).append(f"p{step}")
        except (OSError, http.client.HTTPException):
            return


def count_steps(kept: Acknowledged) -> int:
    return sum(map(len, list(kept.steps.values())))


@pytest.mark.slow
def test_a_hundred_kills_lose_no_acknowledged_write(tmp_path: Path) -> None:
    root = tmp_path / "server"
    root.mkdir()
    init_repository(root, no_scm=True, subdir=False, force=False)
    port, pick, kept = reserve(), random.Random(5), Acknowledged()
    command = ["-q", "-C", str(root), "server", "--port", str(port)]
    for _ in range(KILLS):
        with open(os.devnull, "wb") as nowhere:
            process = start_penstock(command, root, nowhere.fileno())

        def is_ready(process: Forked = process) -> bool:
            assert process.poll() is None
            try:
                return get(port, "/health")[0] == 200
            except OSError:
                return False

        wait_until(is_ready)
        writers = [Writer(port, kept) for _ in range(CLIENTS)]
        for writer in writers:
            writer.start()
        seen = count_steps(kept) + pick.randint(1, 30)
        wait_until(lambda seen=seen: count_steps(kept) >= seen)  # type: ignore[misc]
        process.kill()
        for writer in writers:
            writer.join()
    assert sum(map(len, kept.steps.values())) > KILLS
    project = open_workspace(root, {})
    with project.database.read() as connection:
        assert connection.exec_driver_sql("PRAGMA integrity_check").scalar() == "ok"
        assert {row.id for row in list_rows(connection, kept.runs)} == set(kept.runs)
        for run, steps in kept.steps.items():
            found = {step for _, _, _, step, _ in list_history(connection, run, "m")}
            assert set(steps) <= found
            assert get_run(connection, run).metrics["m"] == max(found)
        for run, names in kept.params.items():
            assert set(names) <= set(get_run(connection, run).params)
    project.close()
