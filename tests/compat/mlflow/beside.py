"""The same requests to two servers, and their answers made comparable."""

from __future__ import annotations

import http.client
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode

from patience import PATIENCE_S

PREFIX = "/api/2.0/mlflow/"
VOLATILE = {
    *("creation_time", "last_update_time", "creation_timestamp", "last_updated_timestamp"),
    *("creation_timestamp_ms", "last_updated_timestamp_ms", "sqlstate", "error_class", "hint", "user_id"),
}
"""Fields that differ from moment to moment, or that MLflow's clients do not read."""


@dataclass(frozen=True)
class Step:
    """One request. `{name}` in path and body stands for what an earlier step kept under that name.

    Args:
        keep: names for parts of the answer, each a path of keys and places such as `run.info.run_id`.
        differs: why the two answers may differ; then only the status classes are compared.
    """

    method: str
    path: str
    body: Any = None
    keep: Mapping[str, str] = field(default_factory=dict)
    raw: bytes | None = None
    headers: Mapping[str, str] = field(default_factory=lambda: {"Content-Type": "application/json"})
    differs: str = ""

    def __str__(self) -> str:
        return f"{self.method} {self.path} {json.dumps(self.body)[:150] if self.raw is None else self.raw[:150]!r}"


def post(path: str, body: Any = None, **options: Any) -> Step:
    """A POST with a JSON body."""
    return Step("POST", path, body if body is not None else {}, **options)


def read(path: str, differs: str = "", **query: Any) -> Step:
    """A GET with a query."""
    return Step(
        "GET", f"{path}?{urlencode(query, doseq=True, safe='{}')}" if query else path, differs=differs
    )


def ask(port: int, steps: Sequence[Step]) -> list[tuple[int, Any]]:
    """Send every step to one server; return statuses and comparable answers."""
    known: dict[str, str] = {}
    answers = []
    for step in steps:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE_S)
        data = step.raw if step.raw is not None else _fill(json.dumps(step.body), known).encode()
        if step.method == "GET":
            data = b""
        path = _fill(step.path, known)
        target = path if path.startswith("/") else f"{PREFIX}{path}"
        connection.request(step.method, target, data or None, dict(step.headers))
        answer = connection.getresponse()
        text = answer.read()
        connection.close()
        value: Any = json.loads(text) if text[:1] in b"{[" and text else text.decode(errors="replace")
        for name, place in step.keep.items():
            known[name] = str(_at(value, place))
        answers.append((answer.status, _comparable(value, known)))
    return answers


def difference(ours: Any, theirs: Any, place: str = "") -> str:
    """Say where two answers first differ."""
    if isinstance(ours, dict) and isinstance(theirs, dict):
        for name in sorted({*ours, *theirs}):
            if ours.get(name) != theirs.get(name):
                return difference(ours.get(name), theirs.get(name), f"{place}.{name}")
    if isinstance(ours, list | tuple) and isinstance(theirs, list | tuple) and len(ours) == len(theirs):
        for number, (mine, peer) in enumerate(zip(ours, theirs, strict=True)):
            if mine != peer:
                return difference(mine, peer, f"{place}[{number}]")
    return f"{place}\n    ours   {str(ours)[:400]}\n    theirs {str(theirs)[:400]}"


def _fill(text: str, known: Mapping[str, str]) -> str:
    for name, value in known.items():
        text = text.replace("{" + name + "}", value)
    return text


def _at(value: Any, place: str) -> Any:
    for part in place.split("."):
        value = value[int(part)] if isinstance(value, list) else value[part]
    return value


def _comparable(value: Any, known: Mapping[str, str], name: str = "") -> Any:
    """Put the kept names in place of what they stand for; an experiment's short id only where ids stand."""
    if isinstance(value, dict):
        kept = {key: item for key, item in value.items() if key not in VOLATILE}
        return {
            key: "a token" if key == "next_page_token" else _comparable(item, known, key)
            for key, item in kept.items()
        }
    if isinstance(value, list):
        items = [_comparable(item, known, name) for item in value]
        return (
            sorted(items, key=json.dumps)
            if all(isinstance(one, dict) and "key" in one for one in items)
            else items
        )
    if isinstance(value, str):
        for kept_name, text in sorted(known.items(), key=lambda pair: -len(pair[1])):
            mark = "{" + kept_name + "}"
            if len(text) > 3:
                value = value.replace(text, mark)
            elif name.endswith("_id") and value == text:
                value = mark
            elif value.startswith(f"mlflow-artifacts:/{text}/") or value == f"mlflow-artifacts:/{text}":
                value = value.replace(text, mark, 1)
    return value
