"""Where artifacts are, in the words of MLflow's clients.

What the server keeps itself is named `mlflow-artifacts:/<experiment>/…`, and clients move it through the
artifact proxy. Any other place an experiment was made with is only told to clients; the server never opens it.
"""

from __future__ import annotations

import re
from urllib.parse import unquote, urlsplit

from penstock.base.errors import Invalid

PROXY = "mlflow-artifacts:"
MAX_LOCATION = 2048
CLIENT_SIDE = {"s3", "s3a", "gs", "wasb", "wasbs", "abfss", "az", "hdfs", "dbfs", "ftp", "sftp", "file"}
"""Places that clients open themselves."""


def experiment_root(number: int, own: str | None = None) -> str:
    """Return the artifact location of an experiment."""
    return own or f"{PROXY}/{number}"


def run_root(number: int, experiment_uri: str | None, run_id: str, own: str | None = None) -> str:
    """Return the artifact location of a run."""
    return own or f"{experiment_root(number, experiment_uri)}/{run_id}/artifacts"


def model_root(number: int, experiment_uri: str | None, model_id: str, own: str | None = None) -> str:
    """Return the artifact location of a logged model."""
    return own or f"{experiment_root(number, experiment_uri)}/models/{model_id}/artifacts"


def proxied_path(uri: str) -> str | None:
    """Return the path in the artifact proxy of a place the server keeps, or None for another place."""
    parts = urlsplit(uri)
    return unquote(parts.path).strip("/") if parts.scheme == PROXY.rstrip(":") else None


def parse_location(uri: str | None) -> str | None:
    """Return the artifact location that a client wants for an experiment; None for the server's own.

    Raises:
        Invalid: it hides a way out of its folder, has a query or fragment, or is a local path of the server.
    """
    if not uri:
        return None
    if len(uri) > MAX_LOCATION:
        raise Invalid(
            f"Invalid artifact path length. The length of the artifact path cannot be greater than {MAX_LOCATION} "
            "characters.",
            code="artifacts.bad_location",
        )
    if uri.startswith("runs:"):
        raise Invalid(
            f"Artifact location cannot be a runs:/ URI. Given: '{uri}'", code="artifacts.bad_location"
        )
    if "#" in uri or "?" in uri or ";" in uri:
        raise Invalid(
            f"Invalid artifact location {uri!r}: URL can't include fragments or params",
            code="artifacts.bad_location",
        )
    if leaves_folder(uri):
        raise Invalid(f"Invalid artifact location {uri!r}: Invalid path", code="artifacts.bad_location")
    if urlsplit(uri).scheme not in CLIENT_SIDE and not uri.startswith("/"):
        raise Invalid(
            f"Invalid artifact location {uri!r}: clients could not open it",
            code="artifacts.bad_location",
            hint="leave artifact_location out, or name a place such as s3://bucket/path or file:///path",
        )
    return uri.rstrip("/")


def leaves_folder(uri: str) -> bool:
    """Say whether a path or URI holds, however encoded, `..`, a backslash, a NUL or a drive letter."""
    text = uri
    for _ in range(5):
        if "\\" in text or "\0" in text or ".." in re.split(r"[/;]", text.partition(":")[2] or text):
            return True
        decoded = unquote(text)
        if decoded == text:
            break
        text = decoded
    return bool(re.match(r"[A-Za-z]:", uri)) or "%" in text or ".." in re.split(r"[/;]", text)
