"""A real `penstock server` process on a free port, and the real MLflow client as its caller."""

from __future__ import annotations

import functools
import json
import os
import textwrap
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from patience import PATIENCE_S
from penstock.data.verbs.creation import init_repository
from servers.forking import ForkServer, start_penstock
from servers.ports import reserve
from servers.programs import missing
from stories.live import get, wait_until

QUIET = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "DO_NOT_TRACK": "true",
    "GIT_PYTHON_REFRESH": "quiet",
    # the client looks for what a model imports in an interpreter of its own, before it sends anything: three seconds
    # that the server does not see; so it takes the requirements of the library
    "MLFLOW_REQUIREMENTS_INFERENCE_TIMEOUT": "0",
}
MLFLOW_IMPORTS = (
    "mlflow",
    "mlflow.cli",
    "mlflow.data.pandas_dataset",
    "mlflow.lightgbm",
    "mlflow.models.evaluation",
    "mlflow.models.evaluation.evaluators.classifier",
    "mlflow.pyfunc",
    "mlflow.sklearn",
    "mlflow.xgboost",
    "matplotlib.pyplot",
    "pandas",
    "sklearn.datasets",
    "sklearn.ensemble",
    "sklearn.linear_model",
    "sklearn.metrics",
    "skops.io",
)
PREAMBLE = """
import json, os, sys, warnings
warnings.filterwarnings("ignore")
import logging; logging.disable(logging.WARNING)
given = json.loads(sys.stdin.read())
import mlflow
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException
client = MlflowClient()
def answer(value):
    with open(os.environ["ANSWER"], "w") as file:
        json.dump(value, file)
def refused(work, *arguments, **options):
    try:
        value = work(*arguments, **options)
    except MlflowException as error:
        return [error.error_code, error.message]
    return ["accepted", repr(value)]
"""


def mlflow_python() -> str:
    """Return the interpreter of an environment with MLflow 3.17.2; without one the test is skipped."""
    found = os.environ.get("PENSTOCK_MLFLOW_PYTHON")
    if not found:
        missing("MLflow 3.17.2 (set PENSTOCK_MLFLOW_PYTHON)", "python3-venv")
    return found


@functools.cache
def mlflow_client() -> ForkServer:
    """Return the one server of this process for `mlflow` and for scripts that use its client."""
    python = mlflow_python()
    run = "import sys\nsys.argv[0] = 'mlflow'\nfrom mlflow.cli import cli\ncli()\n"
    return ForkServer(python, (str(Path(python).with_name("mlflow")),), run, MLFLOW_IMPORTS, QUIET)


@dataclass(frozen=True)
class Tracking:
    """A running server over a folder."""

    url: str
    port: int
    root: Path
    store: str
    scratch: Path

    def drive(self, script: str, given: Any = None, **variables: str) -> Any:
        """Run a script with the real client and return what it hands to `answer(…)`.

        The script finds `mlflow`, a `client`, the JSON value `given`, and `refused(work, *arguments)`, which
        returns the code and message of the error that a call raises.
        """
        self.scratch.mkdir(exist_ok=True)
        answers = self.scratch / f"answer-{len(list(self.scratch.iterdir()))}.json"
        done = mlflow_client().run(
            (),
            program=PREAMBLE + textwrap.dedent(script),
            stdin=json.dumps(given),
            cwd=self.scratch,
            env={
                **os.environ,
                **QUIET,
                "MLFLOW_TRACKING_URI": self.url,
                "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
                "GIT_PYTHON_REFRESH": "quiet",
                "ANSWER": str(answers),
                **variables,
            },
        )
        assert done.returncode == 0, done.stderr[-4000:]
        return json.loads(answers.read_text()) if answers.exists() else None

    def get(self, path: str) -> tuple[int, Any]:
        """Return status and body of a plain GET."""
        return get(self.port, path)


@contextmanager
def run_tracking(
    folder: Path,
    store: str | None = None,
    settings: str = "",
    arguments: Sequence[str] = (),
    before: Callable[[Path], None] | None = None,
) -> Iterator[Tracking]:
    """Run `penstock server` over a new repository in `folder`.

    Args:
        store: the store's URL; by default SQLite in the folder.
        settings: penstock.yaml; by default there is none.
        arguments: further arguments of the command.
        before: what to do to the repository's root before the server starts.
    """
    root = folder / "server"
    root.mkdir(parents=True)
    init_repository(root, no_scm=True, subdir=False, force=False)
    if settings:
        (root / "penstock.yaml").write_text(settings)
    store = store or f"sqlite:///{root}/.penstock/penstock.db"
    if before is not None:
        before(root)
    port = reserve()
    command = ["-C", str(root), "server", "--port", str(port), *arguments]
    with (folder / "server.log").open("wb") as log:
        process = start_penstock(command, Path.cwd(), log.fileno(), PENSTOCK_STORE=store)
    try:

        def is_ready() -> bool:
            assert process.poll() is None, (folder / "server.log").read_text()
            try:
                return get(port, "/health")[0] == 200
            except OSError:
                return False

        wait_until(is_ready)
        yield Tracking(f"http://127.0.0.1:{port}", port, root, store, folder / "client")
    finally:
        process.terminate()
        process.wait(PATIENCE_S)
