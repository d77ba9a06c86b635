"""Run with the Python of MLflow: answer scoring requests as `mlflow models serve` does, through its own application.

python score_with_mlflow.py FOLDER: requests as JSON on standard input, answers as JSON on standard output.
"""

from __future__ import annotations

import asyncio
import json
import sys
import warnings
from pathlib import Path
from typing import Any


def main(folder: str) -> None:
    """Train a model, answer the requests with it."""
    warnings.simplefilter("ignore")
    import mlflow
    import pandas as pd
    from mlflow.pyfunc import scoring_server
    from sklearn.linear_model import LogisticRegression

    table = pd.DataFrame({"hour": [float(hour) for hour in range(24)], "wind": [5.0, 9.0] * 12})
    model = LogisticRegression().fit(table, [int(hour > 14) for hour in range(24)])
    path = Path(folder) / "theirs"
    mlflow.sklearn.save_model(model, path, input_example=table.head(2), pip_requirements=["scikit-learn"])
    application = scoring_server.init(mlflow.pyfunc.load_model(str(path)))
    answers = [asyncio.run(ask(application, *request)) for request in json.load(sys.stdin)]
    print("answers", json.dumps(answers))


async def ask(application: Any, method: str, route: str, content_type: str, body: str) -> list[Any]:
    """Return status, content type and body of an answer."""
    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": method,
        "path": route,
    }
    scope |= {"raw_path": route.encode(), "query_string": b"", "scheme": "http", "root_path": ""}
    scope |= {"headers": [(b"content-type", content_type.encode())] if content_type else []}
    told: list[dict[str, Any]] = []

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": body.encode(), "more_body": False}

    async def send(message: dict[str, Any]) -> None:
        told.append(message)

    await application(scope, receive, send)
    headers = {name.decode(): value.decode() for name, value in told[0]["headers"]}
    content = b"".join(message.get("body", b"") for message in told[1:])
    return [told[0]["status"], headers.get("content-type", ""), content.decode()]


if __name__ == "__main__":
    main(sys.argv[1])
