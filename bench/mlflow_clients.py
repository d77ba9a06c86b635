"""MLflow's clients of several years against one `penstock server`: the table of docs/reference/mlflow-clients.md.

    make test-clients                      # or: .venv/bin/python bench/mlflow_clients.py [VERSION …]

Each version has an environment of its own under `.venv-clients`, installed as `bench/clients/VERSION.txt` pins it
(`--pin` writes that file anew from what pip chooses). Each runs `client_story.py` against a server of its own.
With all versions the table is written; the run ends with 1 where a step failed that the table says works.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from tracking_servers import QUIET, run_server

ROOT = Path(__file__).parents[1]
ENVIRONMENTS = ROOT / ".venv-clients"
PINS = Path(__file__).parent / "clients"
PAGE = ROOT / "docs" / "reference" / "mlflow-clients.md"
BEGIN, END = "<!-- table: make test-clients -->", "<!-- end of table -->"
VERSIONS = ("2.9.2", "2.16.2", "2.22.2", "3.1.4", "3.17.2")
STEPS = ("log", "autolog", "log_model", "register", "alias", "load", "evaluate", "search")
TIMEOUT_S = 1200


def ensure_environment(version: str, *, pin: bool) -> Path:
    """Return the interpreter of an environment with one version of MLflow, made where it is not there."""
    folder, pins = ENVIRONMENTS / version, PINS / f"{version}.txt"
    python, mark = folder / "bin" / "python", folder / ".installed"
    if mark.exists() and not pin and mark.read_text() == pins.read_text():
        return python
    subprocess.run([str(ROOT / "bin" / "ensure-venv"), sys.executable, str(folder)], check=True)
    pip = [str(python), "-m", "pip", "--quiet", "--disable-pip-version-check"]
    wanted = [f"mlflow=={version}", "setuptools<81", "matplotlib"]
    constraint = [] if pin else ["--constraint", str(pins)]
    subprocess.run([*pip, "install", "--no-compile", *constraint, *wanted], check=True)
    if pin:
        frozen = subprocess.run([*pip, "freeze", "--all"], check=True, capture_output=True, text=True).stdout
        PINS.mkdir(exist_ok=True)
        kept = [line for line in frozen.splitlines() if "==" in line and not line.startswith("pip==")]
        pins.write_text("\n".join(kept) + "\n")
    mark.write_text(pins.read_text())
    return python


def run_story(version: str, python: Path) -> dict[str, Any]:
    """Return what happened to one client at each step, against a fresh server."""
    with tempfile.TemporaryDirectory(prefix="penstock-clients-") as scratch:
        work = Path(scratch) / "work"
        work.mkdir()
        with run_server("penstock", Path(scratch) / "server") as server:
            server.wait()
            done = subprocess.run(
                [str(python), str(Path(__file__).with_name("client_story.py"))],
                cwd=work,
                stdout=subprocess.PIPE,
                text=True,
                check=False,
                timeout=TIMEOUT_S,
                env={
                    **os.environ,
                    **QUIET,
                    "MLFLOW_TRACKING_URI": server.url,
                    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
                    "MLFLOW_REQUIREMENTS_INFERENCE_TIMEOUT": "20",
                    "GIT_PYTHON_REFRESH": "quiet",
                },
            )
    lines = done.stdout.strip().splitlines()
    if done.returncode != 0 or not lines:
        return {
            "version": version,
            "python": "?",
            "steps": dict.fromkeys(STEPS, f"ended with {done.returncode}"),
        }
    found: dict[str, Any] = json.loads(lines[-1])
    return found


def render_table(found: list[dict[str, Any]]) -> str:
    """Return the table: a line a client, a column a step; what failed is told below."""
    lines = ["| MLflow | Python | " + " | ".join(STEPS) + " |", "| --- | --- |" + " --- |" * len(STEPS)]
    notes = []
    for one in found:
        cells = []
        for step in STEPS:
            told = one["steps"].get(step, "not reached")
            cells.append("works" if told == "ok" else "fails")
            if told != "ok":
                notes.append(f"- {one['version']}, {step}: {told}")
        lines.append(f"| {one['version']} | {one['python']} | " + " | ".join(cells) + " |")
    return "\n".join([*lines, *(["", *notes] if notes else [])])


def write_page(table: str) -> None:
    """Put the table between its marks."""
    text = PAGE.read_text()
    head, _, rest = text.partition(BEGIN)
    _, _, tail = rest.partition(END)
    PAGE.write_text(f"{head}{BEGIN}\n{table}\n{END}{tail}")


def main() -> int:
    """Run the versions asked for; with all of them, write the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("versions", nargs="*", default=list(VERSIONS), help="by default all")
    parser.add_argument("--pin", action="store_true", help="write the pins anew from what pip chooses")
    options = parser.parse_args()
    found = []
    for version in options.versions:
        print(f"MLflow {version}", file=sys.stderr, flush=True)
        found.append(run_story(version, ensure_environment(version, pin=options.pin)))
    table = render_table(found)
    print(table)
    if options.versions == list(VERSIONS):
        write_page(table)
    return int(any(told != "ok" for one in found for told in one["steps"].values()))


if __name__ == "__main__":
    raise SystemExit(main())
