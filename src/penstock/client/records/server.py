"""ServerRecords: a tracking server is asked over MLflow's REST API, Penstock's or MLflow's own."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote

from penstock.base.errors import NotFound, Refused
from penstock.client.records.contract import Artifact, Endpoint, Model
from penstock.client.rest import API, PROXY, Address, Rest, proxied
from penstock.tracking.entities import Experiment, MetricPoint

OWN_API = "/api/penstock/v1"
PAGE, PAGE_MODELS, PAGE_POINTS = 1000, 1000, 25_000


class ServerRecords:
    """`Records` of a server."""

    def __init__(self, address: Address) -> None:
        self._rest = Rest(address)
        self._place = address.url

    def list_experiments(self) -> list[Experiment]:
        """Return the experiments."""
        found: list[Experiment] = []
        token = ""
        while True:
            body = {"max_results": PAGE, "page_token": token}
            answer = self._rest.post(f"{API}/experiments/search", body)
            found += [_experiment(one) for one in answer.get("experiments", ())]
            token = answer.get("next_page_token", "")
            if not token:
                return found

    def list_history(self, run_id: str, key: str) -> list[MetricPoint]:
        """Return a metric's points."""
        asked = {"run_id": run_id, "metric_key": key, "max_results": str(PAGE_POINTS)}
        return [
            MetricPoint(str(one["key"]), float(one["value"]), int(one["timestamp"]), int(one.get("step", 0)))
            for one in self._pages(f"{API}/metrics/get-history", "metrics", asked)
        ]

    def list_artifacts(self, run_id: str, folder: str = "") -> list[Artifact]:
        """Return what lies in a folder."""
        head = f"{folder.strip('/')}/" if folder.strip("/") else ""
        answer = self._rest.get(PROXY, path=f"{self._root(run_id)}/{head}".rstrip("/"))
        return [
            Artifact(
                f"{head}{str(one['path']).rpartition('/')[2]}",
                None if one.get("is_dir") else int(one.get("file_size", 0)),
            )
            for one in answer.get("files", ())
        ]

    def download_artifact(self, run_id: str, path: str, target: Path) -> None:
        """Write one file."""
        self._rest.download(f"{PROXY}/{quote(f'{self._root(run_id)}/{path}')}", target)

    def set_tags(self, run_id: str, tags: Mapping[str, str]) -> None:
        """Set tags."""
        for key, value in tags.items():
            self._rest.post(f"{API}/runs/set-tag", {"run_id": run_id, "key": key, "value": value})

    def delete_run(self, run_id: str) -> None:
        """Take a run away."""
        self._rest.post(f"{API}/runs/delete", {"run_id": run_id})

    def restore_run(self, run_id: str) -> None:
        """Bring a run back."""
        self._rest.post(f"{API}/runs/restore", {"run_id": run_id})

    def list_models(self) -> list[Model]:
        """Return the registered models."""
        asked = {"max_results": str(PAGE_MODELS)}
        found = self._pages(f"{API}/registered-models/search", "registered_models", asked)
        return [self._model(one) for one in found]

    def list_endpoints(self) -> list[Endpoint]:
        """Return the endpoints."""
        try:
            found = self._rest.get(f"{OWN_API}/endpoints")
        except NotFound:
            raise Refused(
                f"{self._place} is not Penstock's and has no endpoints", code="client.not_penstock"
            ) from None
        return [
            Endpoint(
                name=one["name"],
                model=one["model"],
                revision=one["revision"],
                health=one["health"],
                reason=one["reason"],
                versions={one["route"]: one["version"] for one in one["routes"] if one["route"] != "batch"},
            )
            for one in found
        ]

    def _model(self, wire: Mapping[str, Any]) -> Model:
        numbers = [int(one["version"]) for one in wire.get("latest_versions", ())]
        aliases = wire.get("aliases")
        if aliases is None and numbers:  # MLflow's searches leave the aliases out
            answer = self._rest.get(f"{API}/registered-models/get", name=str(wire["name"]))
            aliases = answer["registered_model"].get("aliases")
        return Model(
            name=str(wire["name"]),
            created_ms=int(wire["creation_timestamp"]),
            updated_ms=int(wire["last_updated_timestamp"]),
            newest=max(numbers, default=0),
            description=wire.get("description") or None,
            tags=_as_map(wire.get("tags")),
            aliases={str(one["alias"]): int(one["version"]) for one in aliases or ()},
        )

    def _root(self, run_id: str) -> str:
        run = self._rest.get(f"{API}/runs/get", run_id=run_id)["run"]
        return proxied(str(run["info"]["artifact_uri"]))

    def _pages(self, path: str, name: str, asked: Mapping[str, str]) -> list[Any]:
        found: list[Any] = []
        token = ""
        while True:
            answer = self._rest.get(path, **asked, **({"page_token": token} if token else {}))
            found += answer.get(name, [])
            token = answer.get("next_page_token", "")
            if not token:
                return found


def _experiment(wire: Mapping[str, Any]) -> Experiment:
    return Experiment(
        id=int(wire["experiment_id"]),
        name=str(wire["name"]),
        created_ms=int(wire.get("creation_time", 0)),
        updated_ms=int(wire.get("last_update_time", 0)),
        tags=_as_map(wire.get("tags")),
    )


def _as_map(pairs: list[dict[str, str]] | None) -> dict[str, str]:
    return {pair["key"]: pair.get("value", "") for pair in pairs or ()}
