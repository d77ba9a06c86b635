"""ServerCatalogue: a tracking server is asked over MLflow's REST API, Penstock's or MLflow's own.

Penstock names a version's digest in the place where its files are fetched; for a model of an MLflow server it
is what `log_model` noted.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import quote

from penstock.base.errors import Corrupt, Invalid, NotFound, Refused
from penstock.client.catalogue import (
    DIGEST_TAG,
    Located,
    RunQuery,
    Version,
    parse_number,
    parse_uri,
)
from penstock.client.context import DIRTY_TAG, LOCK_TAG
from penstock.client.rest import API, PROXY, Address, Rest, proxied
from penstock.client.sink import COMMIT_TAG
from penstock.registry.names import is_latest
from penstock.tracking.entities import Dataset, DatasetInput, Run
from penstock.tracking.inputs import digests_of

OWN_API = "/api/penstock/v1"
READY = "LOGGED_MODEL_READY"
_VERSION_PLACE = re.compile(r"versions/([0-9a-f]{64})\Z")
PAGE, PAGE_VERSIONS = 1000, 10_000


class ServerCatalogue:
    """A `Catalogue` over a server's REST API."""

    def __init__(self, address: Address) -> None:
        self._rest = Rest(address)
        self._place = address.url

    def get_run(self, run_id: str) -> Run:
        """Return a run."""
        return self._run(self._rest.get(f"{API}/runs/get", run_id=run_id)["run"], {})

    def search_runs(self, query: RunQuery) -> list[Run]:
        """Return runs that match."""
        names = self._experiments(query)
        asked = {
            "experiment_ids": list(names),
            "filter": query.filter,
            "order_by": list(query.order_by),
        }
        found = self._pages(f"{API}/runs/search", "runs", asked, query.limit) if names else []
        return [self._run(one, names) for one in found]

    def get_version(self, reference: str) -> Version:
        """Return the version that a reference means."""
        return self._version(self._find(reference))

    def list_versions(self, name: str) -> list[Version]:
        """Return a model's versions."""
        answer = self._rest.get(
            f"{API}/model-versions/search", filter=_named(name), max_results=str(PAGE_VERSIONS)
        )
        found = answer.get("model_versions", [])
        if not found:
            return []
        called: dict[str, list[str]] = {}  # MLflow's searches leave the aliases out
        model = self._rest.get(f"{API}/registered-models/get", name=name)["registered_model"]
        for alias in model.get("aliases", ()):
            called.setdefault(str(alias["version"]), []).append(str(alias["alias"]))
        versions = [
            self._version({**one, "aliases": sorted(called.get(str(one["version"]), ()))}) for one in found
        ]
        return sorted(versions, key=lambda version: -version.number)

    def register(self, name: str, uri: str, tags: Mapping[str, str], description: str | None) -> Version:
        """Register a model."""
        kind, what = parse_uri(uri)
        body: dict[str, Any] = {"name": name, "source": uri, "tags": _pairs(tags)}
        if description is not None:
            body["description"] = description
        if kind == "model":
            body |= {"model_id": what, "run_id": self._model(what)["info"].get("source_run_id", "")}
        elif kind == "run":
            run_id, _, path = what.partition("/")
            self._rest.get(f"{API}/runs/get", run_id=run_id)
            model = self._model_of_run(run_id, path)
            body["run_id"] = run_id
            if model is not None:
                model_id = model["info"]["model_id"]
                body |= {"source": f"models:/{model_id}", "model_id": model_id}
            elif not self._children(self.locate(uri).place):
                raise _no_files(uri)
        try:
            self._rest.get(f"{API}/registered-models/get", name=name)
        except NotFound:
            self._make(name)
        made = self._rest.post(f"{API}/model-versions/create", body)["model_version"]
        return self._version(made)

    def set_alias(self, name: str, alias: str, number: int) -> None:
        """Point an alias at a version."""
        self._rest.post(
            f"{API}/registered-models/alias", {"name": name, "alias": alias, "version": str(number)}
        )

    def delete_alias(self, name: str, alias: str) -> None:
        """Take an alias away."""
        self._rest.post(f"{API}/registered-models/alias", {"name": name, "alias": alias}, "DELETE")

    def locate(self, uri: str) -> Located:
        """Return where a model's files are."""
        kind, what = parse_uri(uri)
        if kind == "version":
            return self._locate_version(uri, self._find(what))
        if kind == "model":
            return self._located(uri, self._model(what))
        run_id, _, path = what.partition("/")
        run = self._rest.get(f"{API}/runs/get", run_id=run_id)["run"]
        model = self._model_of_run(run_id, path)
        if model is not None:
            return self._located(uri, model)
        return Located(uri, f"{proxied(str(run['info']['artifact_uri']))}/{path}")

    def download(self, located: Located, folder: Path) -> None:
        """Write a model's files into a new folder."""
        count = 0
        for path in self._walk(located.place, ""):
            target = folder / path
            target.parent.mkdir(parents=True, exist_ok=True)
            self._rest.download(f"{PROXY}/{quote(f'{located.place}/{path}')}", target)
            count += 1
        if not count:
            raise _no_files(located.uri)

    def close(self) -> None:
        """Close this thread's connection."""
        self._rest.forget()

    def _make(self, name: str) -> None:
        try:
            self._rest.post(f"{API}/registered-models/create", {"name": name})
        except Invalid as error:
            if error.fields.get("server_code") != "RESOURCE_ALREADY_EXISTS":
                raise

    def _find(self, reference: str) -> dict[str, Any]:
        """Return the version that a reference means as the wire has it."""
        if "/" in reference:
            name, number = parse_number(reference)
            if number is None:
                return self._newest(name)
        else:
            name, _, tail = reference.partition("@")
            alias, _, time = tail.partition("@")
            if not time and is_latest(alias):
                return self._newest(name)
            if not time:
                return self._of_alias(name, alias or "champion")
            name, number = self._at_time(reference)
        answer = self._rest.get(f"{API}/model-versions/get", name=name, version=str(number))
        return dict(answer["model_version"])

    def _newest(self, name: str) -> dict[str, Any]:
        answer = self._rest.get(
            f"{API}/model-versions/search",
            filter=_named(name),
            order_by="version_number DESC",
            max_results="1",
        )
        found = answer.get("model_versions", [])
        if not found:
            raise NotFound(f"{name!r} has no version", code="registry.no_version", model=name)
        return dict(found[0])

    def _of_alias(self, name: str, alias: str) -> dict[str, Any]:
        try:
            answer = self._rest.get(f"{API}/registered-models/alias", name=name, alias=alias)
        except Invalid as error:
            if "alias" not in error.message or "not found" not in error.message:
                raise
            raise NotFound(error.message, code="registry.no_alias", model=name, alias=alias) from None
        return dict(answer["model_version"])

    def _at_time(self, reference: str) -> tuple[str, int]:
        try:
            answer = self._rest.get(f"{OWN_API}/references/{quote(reference, safe='@')}")
        except NotFound as error:
            if error.fields.get("is_foreign"):
                raise Refused(
                    f"{self._place} keeps no history of aliases, so {reference!r} means nothing there",
                    code="client.not_penstock",
                    hint="name the alias without a time, or a version's number",
                ) from None
            raise
        return str(answer["model"]), int(answer["number"])

    def _version(self, wire: Mapping[str, Any]) -> Version:
        name, number = str(wire["name"]), int(wire["version"])
        uri = self._rest.get(f"{API}/model-versions/get-download-uri", name=name, version=str(number))
        match = _VERSION_PLACE.search(str(uri.get("artifact_uri", "")))
        return Version(
            name=name,
            number=number,
            digest=match[1] if match else "",
            source=str(wire.get("source", "")),
            created_ms=int(wire["creation_timestamp"]),
            run_id=wire.get("run_id") or None,
            model_id=wire.get("model_id") or _model_in(str(wire.get("source", ""))),
            description=wire.get("description") or None,
            stage=str(wire.get("current_stage") or "None"),
            tags=_as_map(wire.get("tags")),
            aliases=tuple(wire.get("aliases", ())),
        )

    def _locate_version(self, uri: str, wire: Mapping[str, Any]) -> Located:
        version = self._version(wire)
        answer = self._rest.get(
            f"{API}/model-versions/get-download-uri", name=version.name, version=str(version.number)
        )
        place, digest = str(answer["artifact_uri"]), version.digest
        if place.startswith("models:/m-"):
            model = self._model(place.removeprefix("models:/"))
            place = str(model["info"]["artifact_uri"])
        if not digest and version.model_id is not None:
            digest = _as_map(self._model(version.model_id)["info"].get("tags")).get(DIGEST_TAG, "")
        return Located(uri, proxied(place), digest, version)

    def _model(self, model_id: str) -> dict[str, Any]:
        return dict(self._rest.get(f"{API}/logged-models/{quote(model_id)}")["model"])

    def _located(self, uri: str, model: Mapping[str, Any]) -> Located:
        info = model["info"]
        if info["status"] not in {READY, 2}:
            raise Invalid(
                f"{uri} was never finished: its status is {info['status']}",
                code="tracking.model_not_ready",
                hint="log it again",
            )
        return Located(uri, proxied(str(info["artifact_uri"])), _as_map(info.get("tags")).get(DIGEST_TAG, ""))

    def _model_of_run(self, run_id: str, name: str) -> dict[str, Any] | None:
        """Return the newest ready model that a run logged under a name."""
        if "/" in name or "'" in name:
            return None
        run = self._rest.get(f"{API}/runs/get", run_id=run_id)["run"]["info"]
        body = {
            "experiment_ids": [run["experiment_id"]],
            "filter": f"name = '{name}' AND source_run_id = '{run_id}'",
        }
        found = self._rest.post(f"{API}/logged-models/search", body).get("models", [])
        return next((dict(one) for one in found if one["info"]["status"] in {READY, 2}), None)

    def _children(self, place: str) -> list[dict[str, Any]]:
        return list(self._rest.get(PROXY, path=place).get("files", []))

    def _walk(self, place: str, folder: str) -> Iterator[str]:
        for child in self._children(f"{place}/{folder}".rstrip("/")):
            name = PurePosixPath(str(child["path"])).name
            path = f"{folder}/{name}".lstrip("/")
            if not name or name == "..":
                raise Corrupt(
                    f"{self._place} names a file {child['path']!r}", code="client.bad_listing", place=place
                )
            if child.get("is_dir"):
                yield from self._walk(place, path)
            else:
                yield path

    def _experiments(self, query: RunQuery) -> dict[str, str]:
        if query.experiments:
            found = [
                self._rest.get(f"{API}/experiments/get-by-name", experiment_name=name)["experiment"]
                for name in query.experiments
            ]
        else:
            found = self._pages(f"{API}/experiments/search", "experiments", {}, None)
        return {str(one["experiment_id"]): str(one["name"]) for one in found}

    def _pages(self, path: str, name: str, asked: Mapping[str, Any], limit: int | None) -> list[Any]:
        found: list[Any] = []
        token = ""
        while limit is None or len(found) < limit:
            page = PAGE if limit is None else min(PAGE, limit - len(found))
            answer = self._rest.post(path, {**asked, "max_results": page, "page_token": token})
            found += answer.get(name, [])
            token = answer.get("next_page_token", "")
            if not token:
                break
        return found

    def _run(self, wire: Mapping[str, Any], names: dict[str, str]) -> Run:
        info, data = wire["info"], wire.get("data", {})
        number = str(info["experiment_id"])
        if number not in names:
            answer = self._rest.get(f"{API}/experiments/get", experiment_id=number)
            names[number] = str(answer["experiment"]["name"])
        tags = _as_map(data.get("tags"))
        return Run(
            id=str(info["run_id"]),
            experiment=names[number],
            name=str(info.get("run_name", "")),
            status=info["status"],
            start_ms=int(info.get("start_time", 0)),
            end_ms=info.get("end_time"),
            commit=tags.get(COMMIT_TAG) or None,
            dirty_digest=tags.get(DIRTY_TAG) or None,
            lock_digest=tags.get(LOCK_TAG) or None,
            user=str(info.get("user_id", "")),
            params=_as_map(data.get("params")),
            metrics={str(one["key"]): float(one["value"]) for one in data.get("metrics", ())},
            tags=tags,
            inputs=digests_of(_dataset(one) for one in wire.get("inputs", {}).get("dataset_inputs", ())),
        )


def _model_in(source: str) -> str | None:
    """Return the logged model that a version's source names; MLflow's store keeps no other trace of it."""
    return source.removeprefix("models:/") if source.startswith("models:/m-") else None


def _named(name: str) -> str:
    mark = '"' if "'" in name else "'"
    return f"name = {mark}{name}{mark}"


def _pairs(values: Mapping[str, str]) -> list[dict[str, str]]:
    return [{"key": key, "value": value} for key, value in values.items()]


def _as_map(pairs: list[dict[str, str]] | None) -> dict[str, str]:
    return {pair["key"]: pair.get("value", "") for pair in pairs or ()}


def _dataset(wire: Mapping[str, Any]) -> DatasetInput:
    data = wire["dataset"]
    named = {name: str(data.get(name, "")) for name in ("name", "digest", "source_type", "source")}
    return DatasetInput(Dataset(**named))


def _no_files(uri: str) -> NotFound:
    return NotFound(f"there are no files at {uri}", code="artifacts.missing", uri=uri)
