"""`mlserver infer`, the batch client of MLServer, unchanged."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import httpx
import pytest

from penstock.processes.serve import ServeProcess
from servers.programs import missing
from serving.models import request_body

pytestmark = pytest.mark.slow


def mlserver() -> str:
    """Return the program; without it the test is skipped."""
    found = os.environ.get("PENSTOCK_MLSERVER")
    if not found or not Path(found).exists():
        missing("MLServer (set PENSTOCK_MLSERVER)", "python3-venv")
    return found


def infer(process: ServeProcess, folder: Path, lines: list[Any], *options: str) -> list[Any]:
    """Return the answers to lines of requests, in their order."""
    given, told = folder / "requests.jsonl", folder / "answers.jsonl"
    given.write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    host = process.url.partition("://")[2]
    places = ["-u", host, "-m", "delay", "-i", str(given), "-o", str(told)]
    subprocess.run([mlserver(), "infer", *places, *options], check=True, capture_output=True, timeout=300)
    answers = [json.loads(line) for line in told.read_text().splitlines()]
    return sorted(answers, key=lambda one: one["parameters"]["batch_index"])


def test_requests_of_a_file_are_answered_in_json_and_in_binary_alone_and_in_batches(
    plain: ServeProcess, tmp_path: Path
) -> None:
    lines = [
        {"id": f"request-{hour}", **request_body(rows, hour={"data": [hour] * rows})}
        for hour, rows in ((3, 1), (12, 2), (16, 1), (23, 3), (8, 1))
    ]
    expected = []
    for line in lines:
        answer = httpx.post(f"{plain.url}/v2/models/delay/infer", json=line).json()
        expected.append({one["name"]: one["data"] for one in answer["outputs"]})
    wrong = request_body(1)
    wrong["inputs"][0]["name"] = "minute"
    *alone, told = infer(plain, tmp_path, [*lines, wrong], "-w", "2", "-r", "1")
    assert "no input 'minute'" in told["error"]["msg"]
    for answers in (alone, infer(plain, tmp_path, lines, "-b", "-s", "2")):
        assert [one["id"] for one in answers] == [line["id"] for line in lines]
        for answer, known in zip(answers, expected, strict=True):
            assert (answer["model_name"], answer["model_version"]) == ("delay", "1")
            for output in answer["outputs"]:
                assert output["data"] == pytest.approx(known[output["name"]]), answer["id"]
