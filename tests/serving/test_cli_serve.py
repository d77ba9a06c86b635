from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
from pathlib import Path

import httpx
import pytest
from click.testing import CliRunner, Result

from patience import PATIENCE_S, wait_until
from penstock.cli.output import Session
from penstock.cli.production.feedback import feedback
from penstock.processes.serve import ServeProcess
from serving.models import request_body

pytestmark = pytest.mark.slow


def send(server: ServeProcess, *arguments: str, text: str | None = None) -> Result:
    session = Session(Path(), as_json=True, quiet=False, verbose=False)
    return CliRunner().invoke(feedback, ["delay", "--url", server.url, *arguments], obj=session, input=text)


def predict(server: ServeProcess) -> str:
    response = httpx.post(f"{server.url}/v2/models/delay/infer", json=request_body())
    return response.headers["penstock-prediction-id"]


def test_labels_are_sent_one_by_one_as_a_list_and_as_lines(server: ServeProcess) -> None:
    ids = [predict(server) for _ in range(3)]
    one = send(server, "--prediction", ids[0], "--label", "1")
    assert json.loads(one.stdout)["accepted"] == 1
    both = json.dumps([{"prediction_id": made, "label": 0} for made in ids[:2]])
    counts = json.loads(send(server, "--file", "-", text=both).stdout)
    assert (counts["accepted"], counts["corrected"], counts["duplicate"]) == (1, 1, 0)
    again = send(server, "--file", "-", "--by", "ada", text=both)
    assert (again.exit_code, json.loads(again.stdout)["duplicate"]) == (0, 2)
    line = json.dumps({"prediction_id": ids[2], "label": True}) + "\n"
    assert json.loads(send(server, "--file", "-", text=line).stdout)["accepted"] == 1


@pytest.mark.parametrize(
    ("arguments", "text", "cause"),
    [
        (["--prediction", "nonsense", "--label", "1"], None, "Invalid"),
        (["--file", "-"], "[", "Invalid"),
        (["--file", "-", "--url", "http://127.0.0.1:9"], "[1]", "Unavailable"),
        (["--file", "-", "--url", "nonsense"], "[1]", "Invalid"),
    ],
)
def test_what_cannot_be_sent_is_told_with_the_next_step(
    server: ServeProcess, arguments: list[str], text: str | None, cause: str
) -> None:
    done = send(server, *arguments, text=text)
    assert type(done.exception).__name__ == cause
    assert getattr(done.exception, "hint", None)


def test_a_line_that_is_no_json_is_told_by_its_place_and_the_others_are_sent(server: ServeProcess) -> None:
    line = json.dumps({"prediction_id": predict(server), "label": 1})
    done = send(server, "--file", "-", text=f"{line}\n{{\n")
    counts = json.loads(done.stdout)
    assert (done.exit_code, counts["accepted"], counts["rejected"]) == (1, 1, 1)


def test_half_a_label_is_a_usage_error(server: ServeProcess) -> None:
    assert send(server, "--prediction", "x").exit_code == 2


def run(folder: Path, *arguments: str) -> subprocess.Popen[str]:
    command = [str(Path(sys.executable).with_name("penstock")), *arguments]
    return subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    subprocess.run(["git", "init", "-q", str(tmp_path)], check=True)
    (tmp_path / ".dvc").mkdir()
    (tmp_path / ".dvc" / "config").touch()
    (tmp_path / "penstock.yaml").write_text("project: test\n")
    return tmp_path


def test_serve_starts_in_a_repository_and_ends_cleanly_when_interrupted(repository: Path) -> None:
    process = run(repository, "serve", "--port", "0")
    assert process.stderr is not None
    line = process.stderr.readline()
    found = re.search(r"http://\S+:\d+", line)
    if found is None:
        process.kill()
    assert found, line
    url = found.group()

    def is_live() -> bool:
        try:
            return bool(httpx.get(f"{url}/v2/health/live").json() == {"live": True})
        except httpx.TransportError:
            return False

    wait_until(is_live)
    process.send_signal(signal.SIGINT)
    _, rest = process.communicate(timeout=PATIENCE_S)
    assert (process.returncode, "Traceback" in rest) == (0, False)


def test_serve_on_a_port_in_use_fails_at_once_with_a_sentence(repository: Path, server: ServeProcess) -> None:
    port = server.url.rsplit(":", 1)[1]
    process = run(repository, "serve", "--port", port)
    _, told = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 4
    assert f"port {port}" in told
    assert "--port" in told
    assert "Traceback" not in told
