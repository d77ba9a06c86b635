"""ServerSink: records go to a tracking server over MLflow's REST API, Penstock's or MLflow's own."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote

from penstock.base.errors import Invalid, NotFound
from penstock.client.rest import API, PROXY, Address, Rest, proxied
from penstock.client.sink import CLIENT_MODEL_TAG, CLIENT_TAG, Batch, ModelDraft, RunDraft, check_experiment
from penstock.tracking.entities import NAME_TAG, RunStatus
from penstock.tracking.inputs import as_datasets

MAX_METRICS, MAX_PAIRS = 1000, 100


class ServerSink:
    """A `Sink` over a server's REST API."""

    def __init__(self, address: Address) -> None:
        self.rest = Rest(address)
        self.place = address.url

    def after_fork(self) -> None:
        """Make connections of its own."""
        self.rest.after_fork()

    def start(self, draft: RunDraft) -> str:
        """Start a run, or find the one that an earlier try started."""
        experiment = self._experiment(draft.experiment)
        known = self.rest.post(
            f"{API}/runs/search",
            {
                "experiment_ids": [experiment],
                "filter": f"tags.`{CLIENT_TAG}` = '{draft.client_id}'",
                "max_results": 1,
            },
        ).get("runs", [])
        run_id = str(known[0]["info"]["run_id"]) if known else self._create(draft, experiment)
        if (
            draft.inputs
        ):  # for a run that is there too: an earlier try may have come no further; twice changes nothing
            self.rest.post(f"{API}/runs/log-inputs", {"run_id": run_id, "datasets": _datasets(draft.inputs)})
        return run_id

    def _create(self, draft: RunDraft, experiment: str) -> str:
        tags = {**draft.tags, NAME_TAG: draft.name, CLIENT_TAG: draft.client_id}
        made = self.rest.post(
            f"{API}/runs/create",
            {
                "experiment_id": experiment,
                "run_name": draft.name,
                "user_id": draft.user,
                "start_time": draft.start_ms,
                "tags": _pairs(tags),
            },
        )
        return str(made["run"]["info"]["run_id"])

    def reopen(
        self,
        run_id: str,
        *,
        experiment: str | None = None,
        name: str | None = None,
        tags: Mapping[str, str] | None = None,
    ) -> dict[str, int]:
        """Let an ended run go on."""
        run = self.rest.get(f"{API}/runs/get", run_id=run_id)["run"]
        if experiment is not None:
            asked = {"experiment_id": str(run["info"]["experiment_id"])}
            found = self.rest.get(f"{API}/experiments/get", **asked)["experiment"]
            check_experiment(run_id, str(found["name"]), experiment)
        changed = {"run_name": name} if name else {}
        self.rest.post(f"{API}/runs/update", {"run_id": run_id, "status": "RUNNING", **changed})
        self.log(run_id, Batch(tags=dict(tags or {})))
        return {str(one["key"]): int(one.get("step", 0)) for one in run["data"].get("metrics", [])}

    def log(self, run_id: str, batch: Batch) -> None:
        """Send a batch, in as many requests as the protocol's limits need."""
        metrics = [
            {"key": point.key, "value": _number(point.value), "timestamp": point.time_ms, "step": point.step}
            for point in batch.metrics
        ]
        params, tags = _pairs(batch.params), _pairs(batch.tags)
        while metrics or params or tags:
            pairs = {"params": params[:MAX_PAIRS], "tags": tags[:MAX_PAIRS]}
            room = MAX_METRICS - len(pairs["params"]) - len(pairs["tags"])
            self.rest.post(f"{API}/runs/log-batch", {"run_id": run_id, "metrics": metrics[:room], **pairs})
            metrics, params, tags = metrics[room:], params[MAX_PAIRS:], tags[MAX_PAIRS:]

    def upload(self, run_id: str, source: Path, path: str) -> None:
        """Send a file through the artifact proxy."""
        uri = str(self.rest.get(f"{API}/runs/get", run_id=run_id)["run"]["info"]["artifact_uri"])
        self.rest.send("PUT", f"{PROXY}/{quote(proxied(uri))}/{quote(path)}", source)

    def log_model(self, run_id: str, draft: ModelDraft, folder: Path) -> str:
        """Send a model folder, continuing what an earlier try began."""
        experiment = str(self.rest.get(f"{API}/runs/get", run_id=run_id)["run"]["info"]["experiment_id"])
        model = self._announce(experiment, run_id, draft)
        model_id, uri = str(model["model_id"]), str(model["artifact_uri"])
        self.rest.post(
            f"{API}/runs/outputs", {"run_id": run_id, "models": [{"model_id": model_id, "step": 0}]}
        )
        place = quote(proxied(uri))
        for path in sorted(path for path in folder.rglob("*") if path.is_file()):
            self.rest.send("PUT", f"{PROXY}/{place}/{quote(path.relative_to(folder).as_posix())}", path)
        ready = {"model_id": model_id, "status": "LOGGED_MODEL_READY"}
        self.rest.post(f"{API}/logged-models/{model_id}", ready, "PATCH")
        return model_id

    def _announce(self, experiment: str, run_id: str, draft: ModelDraft) -> dict[str, Any]:
        known = self.rest.post(
            f"{API}/logged-models/search",
            {
                "experiment_ids": [experiment],
                "filter": f"tags.`{CLIENT_MODEL_TAG}` = '{draft.client_id}'",
                "max_results": 1,
            },
        ).get("models", [])
        made = known[0] if known else None
        if made is None:
            made = self.rest.post(
                f"{API}/logged-models",
                {
                    "experiment_id": experiment,
                    "name": draft.name,
                    "source_run_id": run_id,
                    "params": _pairs(draft.params),
                    "tags": _pairs({**draft.tags, CLIENT_MODEL_TAG: draft.client_id}),
                },
            )["model"]
        return dict(made["info"])

    def finish(self, run_id: str, status: RunStatus, end_ms: int) -> None:
        """End a run."""
        self.rest.post(f"{API}/runs/update", {"run_id": run_id, "status": status, "end_time": end_ms})

    def close(self) -> None:
        """Leave the connections to their threads' end."""

    def _experiment(self, name: str) -> str:
        try:
            found = self.rest.get(f"{API}/experiments/get-by-name", experiment_name=name)
            return str(found["experiment"]["experiment_id"])
        except NotFound:
            try:
                return str(self.rest.post(f"{API}/experiments/create", {"name": name})["experiment_id"])
            except Invalid:  # another process has just made it
                found = self.rest.get(f"{API}/experiments/get-by-name", experiment_name=name)
                return str(found["experiment"]["experiment_id"])


def _pairs(values: Mapping[str, str]) -> list[dict[str, str]]:
    return [{"key": key, "value": value} for key, value in values.items()]


def _datasets(inputs: Mapping[str, str]) -> list[dict[str, Any]]:
    return [
        {
            "dataset": {
                "name": one.dataset.name,
                "digest": one.dataset.digest,
                "source_type": one.dataset.source_type,
                "source": one.dataset.source,
            },
            "tags": _pairs(dict(one.tags)),
        }
        for one in as_datasets(inputs)
    ]


def _number(value: float) -> float | str:
    if math.isnan(value):
        return "NaN"
    return value if not math.isinf(value) else ("Infinity" if value > 0 else "-Infinity")
