"""The `source` of a new model version: which files it means, and whether this request may mean them.

A place that the server keeps must lie inside the run or logged model that the request names; a local path,
and everything that hides a way out of its folder, is refused. Tags play no part in any of it. A place that
only clients open is passed on as text: the server never opens an address that a client named.

Source: mlflow/mlflow, mlflow/server/handlers.py, `_validate_source_run`, `_validate_source_model` and
`_resolve_registered_model_source_lineage` (rules and texts).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import NoReturn
from urllib.parse import SplitResult, unquote, urlsplit

import sqlalchemy as sa

from penstock.base.errors import Invalid, NotFound
from penstock.http.caller import Caller
from penstock.http.mlflow.files.places import PROXY, leaves_folder, model_root, proxied_path, run_root
from penstock.registry.entities import ModelVersion
from penstock.registry.references import resolve_version
from penstock.tracking.entities import LoggedModel, RunRow
from penstock.tracking.logged_models import READY, get_model
from penstock.tracking.runs import get_row
from penstock.tracking.tables import logged_models

MAX_SOURCE = 2048
_MODEL_ID = re.compile(r"m-[0-9a-f]{32}\Z")
_SCHEME = re.compile(r"[a-z][a-z0-9+.\-]+\Z")
_ROUTE = "/mlflow-artifacts/artifacts"


@dataclass(frozen=True)
class Asked:
    """What a request says of the new version's origin; empty texts mean it was not said."""

    source: str
    run_id: str = ""
    model_id: str = ""


@dataclass(frozen=True)
class VersionSource:
    """Where a version comes from.

    `folder` is its place in the artifact proxy, `origin` the version it copies; neither means a place that
    only clients open.
    """

    text: str
    run_id: str | None
    model_id: str | None
    folder: str | None = None
    origin: ModelVersion | None = None


def find_source(connection: sa.Connection, asked: Asked, caller: Caller) -> VersionSource:
    """Return what a request's source means.

    Raises:
        Invalid: it hides a way out, is a local path, is not inside what the request names, or is a logged
            model that was never finished.
        NotFound: there is no such version to copy.
    """
    parts = _check(asked.source)
    scheme = parts.scheme.lower()
    if scheme == "models":
        tail = parts.path.lstrip("/")
        if _MODEL_ID.match(tail) and not parts.netloc:
            return _logged_model(connection, asked, tail, caller)
        return _copy(connection, asked, parts, caller)
    if scheme == "runs":
        return _in_run(connection, asked, parts, caller)
    if scheme == PROXY.rstrip(":") or (scheme in {"http", "https"} and _ROUTE in parts.path):
        return _in_proxy(connection, asked, parts, caller)
    if scheme in {"", "file"} and not _is_own_place(connection, asked):
        raise Invalid(
            f"Invalid model version source: '{asked.source}'. To use a local path as a model version source, the "
            "run_id request parameter has to be specified and the local path has to be contained within the "
            "artifact directory of the run specified by the run_id.",
            code="registry.bad_source",
        )
    return VersionSource(asked.source, asked.run_id or None, asked.model_id or None)


def _check(source: str) -> SplitResult:
    try:
        parts = urlsplit(source)
        hides = len(source) > MAX_SOURCE or not source.isprintable()
        hides = hides or leaves_folder(source) or bool(set("?#;") & set(source)) or bool(parts.username)
    except ValueError:
        hides = True
    scheme = "" if hides else parts.scheme.lower()
    if hides or (scheme and not _SCHEME.match(scheme)) or (scheme == "file" and parts.netloc):
        raise Invalid(
            f"Invalid model version source: '{source[:500]}'. If supplying a source as an http, https, local file "
            "path, ftp, objectstore, or mlflow-artifacts uri, an absolute path must be provided without relative "
            "path references present. Please provide an absolute path.",
            code="registry.bad_source",
        )
    return parts


def _logged_model(connection: sa.Connection, asked: Asked, model_id: str, caller: Caller) -> VersionSource:
    if asked.model_id != model_id:
        _not_inside(asked, "model_id")
    model = _model(connection, asked, model_id, caller)
    if model.status != READY:
        raise Invalid(
            f"models:/{model_id} was never finished: its status is {model.status}",
            code="tracking.model_not_ready",
            hint="log it again, or say that it is ready",
        )
    folder = proxied_path(_model_uri(model))
    return VersionSource(asked.source, asked.run_id or model.source_run_id, model_id, folder)


def _in_run(connection: sa.Connection, asked: Asked, parts: SplitResult, caller: Caller) -> VersionSource:
    run_id, _, inner = parts.path.strip("/").partition("/")
    if parts.netloc or asked.model_id or not asked.run_id or run_id != asked.run_id or not inner:
        _not_inside(asked, "model_id" if asked.model_id else "run_id")
    row = _run(connection, asked, caller)
    named = _model_of_run(connection, run_id, inner)
    if named is not None:
        return VersionSource(asked.source, run_id, named.id, proxied_path(_model_uri(named)))
    root = proxied_path(_run_uri(row))
    return VersionSource(asked.source, run_id, None, None if root is None else f"{root}/{inner.strip('/')}")


def _in_proxy(connection: sa.Connection, asked: Asked, parts: SplitResult, caller: Caller) -> VersionSource:
    name = "model_id" if asked.model_id else "run_id"
    root = None
    run_id = asked.run_id or None
    if asked.model_id:
        model = _model(connection, asked, asked.model_id, caller)
        root, run_id = proxied_path(_model_uri(model)), run_id or model.source_run_id
    elif asked.run_id:
        root = proxied_path(_run_uri(_run(connection, asked, caller)))
    folder = "/".join(part for part in unquote(parts.path).split("/") if part not in {"", "."})
    if parts.netloc or parts.scheme.lower() in {"http", "https"} or root is None:
        _not_inside(asked, name)
    if folder != root and not folder.startswith(f"{root}/"):
        _not_inside(asked, name)
    return VersionSource(asked.source, run_id, asked.model_id or None, folder)


def _copy(connection: sa.Connection, asked: Asked, parts: SplitResult, caller: Caller) -> VersionSource:
    """Find the version that `models:/name/3`, `models:/name@alias` or `models:/name/latest` names."""
    if parts.netloc:
        _not_inside(asked, "model_id")
    text = parts.path.lstrip("/")
    name = re.split("[/@]", text)[0]
    if not caller.may(connection, "model", name):
        _not_inside(asked, "model_id")
    if "/" not in text and "@" not in text:
        _not_inside(asked, "model_id")
    origin = resolve_version(connection, text)
    run_id = origin.provenance.run_id
    if asked.run_id not in {"", run_id or ""} or asked.model_id not in {"", origin.logged_model_id or ""}:
        raise Invalid(
            f"Invalid model version source: '{asked.source}'. The run_id and model_id request parameters must match "
            "the referenced model version.",
            code="registry.bad_source",
        )
    return VersionSource(
        f"models:/{origin.model}/{origin.number}", run_id, origin.logged_model_id, origin=origin
    )


def _is_own_place(connection: sa.Connection, asked: Asked) -> bool:
    """Say whether a local path lies in the artifact folder that clients gave the named run or model."""
    try:
        if asked.model_id:
            root = _model_uri(get_model(connection, asked.model_id))
        elif asked.run_id:
            root = _run_uri(get_row(connection, asked.run_id))
        else:
            return False
    except NotFound:
        return False
    own, path = (urlsplit(uri) for uri in (root, asked.source))
    if own.scheme not in {"", "file"} or own.netloc or not own.path.strip("/"):
        return False
    return f"{path.path.rstrip('/')}/".startswith(f"{own.path.rstrip('/')}/")


def _run(connection: sa.Connection, asked: Asked, caller: Caller) -> RunRow:
    try:
        row = get_row(connection, asked.run_id)
    except NotFound:
        _not_inside(asked, "run_id")
    if not caller.may(connection, "experiment", str(row.experiment_id)):
        _not_inside(asked, "run_id")
    return row


def _model(connection: sa.Connection, asked: Asked, model_id: str, caller: Caller) -> LoggedModel:
    try:
        model = get_model(connection, model_id)
    except NotFound:
        _not_inside(asked, "model_id")
    if not caller.may(connection, "experiment", str(model.experiment_id)):
        _not_inside(asked, "model_id")
    return model


def _model_of_run(connection: sa.Connection, run_id: str, name: str) -> LoggedModel | None:
    """Return the newest ready model that a run logged under a name; its files lie beside the run's own."""
    columns = logged_models.c
    query = (
        sa.select(columns.id)
        .where(columns.source_run_id == run_id, columns.name == name, columns.status == READY)
        .where(columns.deleted_ms.is_(None))
        .order_by(columns.created_ms.desc())
        .limit(1)
    )
    found = connection.execute(query).scalar()
    return None if found is None else get_model(connection, found)


def _run_uri(row: RunRow) -> str:
    return run_root(row.experiment_id, row.experiment_artifact_uri, row.id, row.artifact_uri)


def _model_uri(model: LoggedModel) -> str:
    return model_root(model.experiment_id, model.experiment_artifact_uri, model.id, model.artifact_uri)


def _not_inside(asked: Asked, name: str) -> NoReturn:
    raise Invalid(
        f"Invalid model version source: '{asked.source}'. The {name} request parameter must identify the resource "
        "that contains the source.",
        code="registry.bad_source",
    )
