"""Model folders in MLflow's format: an `MLmodel` file, the model's files, their digests.

A folder is described by its `Manifest`; the manifest's digest is the model's identity, so two folders with
the same files are the same model wherever they lie. Writing the files of one library is a flavour's job.
Source: MLflow 3 `mlflow/models/model.py` (format only).
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import msgspec
import yaml

from penstock.base.digest import digest_file, digest_value
from penstock.base.errors import Corrupt, Invalid, NotFound
from penstock.base.files import write_atomic
from penstock.base.yaml12 import load
from penstock.records.signature import Signature
from penstock.registry.entities import FileDigest, Manifest
from penstock.registry.signatures import (
    EXAMPLE_FILE,
    example_information,
    meanings_document,
    parse_signature,
    read_example,
    signature_document,
)

MODEL_FILE = "MLmodel"
ROWS_KEY = "penstock_rows"
"""In `metadata`: what the model is called with where that is not a frame of polars."""


class ModelDescription(msgspec.Struct, frozen=True):
    """What a model folder says of itself: flavours with their options, signature, inputs of a few rows.

    The signature has no inputs where the folder has none: MLflow's client wrote it without an example. `rows` is
    what the model was called with where it was saved.
    """

    flavours: dict[str, dict[str, Any]]
    signature: Signature
    example: dict[str, list[Any]] | None = None
    rows: str = "polars"
    is_mlflows: bool = False
    """Whether a client of MLflow wrote it; Penstock's own asks a model about its example before it writes that."""


def scan_model(folder: Path) -> Manifest:
    """Return the manifest of a model folder, reading every file once.

    Raises:
        NotFound: there is no folder with an `MLmodel` file.
        Invalid: the folder holds a symbolic link.
    """
    if not (folder / MODEL_FILE).is_file():
        raise NotFound(
            f"{folder} is not a model folder: it has no {MODEL_FILE} file",
            code="registry.no_model",
            hint="save the model with penstock.save_model, or mlflow's save_model",
            path=str(folder),
        )
    found = []
    for path in sorted(folder.rglob("*")):
        if path.is_symlink() and not path.resolve().is_file():
            raise Invalid(
                f"{path} is a broken link",
                code="registry.bad_model_file",
                hint="remove it and save the model again",
            )
        if path.is_file():
            relative = path.relative_to(folder).as_posix()
            found.append(FileDigest(relative, path.stat().st_size, digest_file(path)))
    return Manifest(tuple(sorted(found, key=lambda file: file.path)))


def digest_manifest(manifest: Manifest) -> str:
    """Return the model's digest: sha256 of the manifest's canonical JSON."""
    return digest_value(msgspec.to_builtins(manifest))


def verify_model(folder: Path, manifest: Manifest) -> None:
    """Check every file of a folder against a manifest.

    Raises:
        Corrupt: a file is missing, extra or different.
    """
    actual = {file.path: file for file in scan_model(folder).files}
    expected = {file.path: file for file in manifest.files}
    wrong = sorted(path for path in {*actual, *expected} if actual.get(path) != expected.get(path))
    if wrong:
        raise Corrupt(
            f"the model in {folder} is not the registered one: {', '.join(wrong[:5])}",
            code="registry.model_corrupt",
            hint="penstock model verify, then restore or register it again",
            path=str(folder),
            files=wrong,
        )


def describe_model(folder: Path) -> ModelDescription:
    """Read a folder's `MLmodel` file.

    Raises:
        Invalid: it cannot be read, names no flavour, or its signature has types that the wire does not know.
    """
    path = folder / MODEL_FILE
    try:
        document = load(path.read_text(encoding="utf-8"))
        flavours = {str(name): dict(options) for name, options in document["flavors"].items()}
        signature = parse_signature(document.get("signature") or {}, document.get("metadata") or {})
        example = read_example(folder, signature)
        rows = _rows(document, signature)
        is_mlflows = "mlflow_version" in document
    except (OSError, yaml.YAMLError, LookupError, TypeError, ValueError, AttributeError) as error:
        raise Invalid(
            f"{path} cannot be used: {_words(error)}",
            code="registry.bad_model",
            hint="save the model with penstock.save_model, or mlflow's save_model and an input_example",
            path=str(path),
        ) from None
    if not flavours:
        raise Invalid(
            f"{path} cannot be used: it names no flavour", code="registry.bad_model", path=str(path)
        )
    return ModelDescription(flavours, signature, example, rows, is_mlflows)


def parse_description(data: bytes) -> Signature:
    """Read the signature out of the bytes of an `MLmodel` file.

    Raises:
        Invalid: it cannot be read, or its signature has types that the wire does not know.
    """
    try:
        document = load(data.decode())
        return parse_signature(document.get("signature") or {}, document.get("metadata") or {})
    except (yaml.YAMLError, LookupError, TypeError, ValueError, AttributeError) as error:
        raise Invalid(
            f"the model's description cannot be used: {_words(error)}", code="registry.bad_model"
        ) from None


def _rows(document: dict[str, Any], signature: Signature) -> str:
    """Return what a model is called with; MLflow's own clients call one of columns with frames of pandas."""
    noted = (document.get("metadata") or {}).get(ROWS_KEY)
    if noted in {"polars", "pandas", "numpy"}:
        return str(noted)
    if any(column.is_tensor for column in signature.inputs):
        return "numpy"
    return "pandas" if "mlflow_version" in document and find_spec("pandas") else "polars"


def read_flavours(folder: Path) -> dict[str, dict[str, Any]]:
    """Return the flavours of a folder's `MLmodel` file with their options.

    Raises:
        Invalid: there is no such file, or it names no flavour.
    """
    path = folder / MODEL_FILE
    try:
        document = load(path.read_text(encoding="utf-8"))
        found = {str(name): dict(options) for name, options in document["flavors"].items()}
        if not found:
            raise ValueError("it names no flavour")
        return found
    except (OSError, yaml.YAMLError, LookupError, TypeError, ValueError, AttributeError) as error:
        raise Invalid(
            f"{path} cannot be used: {_words(error)}",
            code="registry.bad_model",
            hint="save the model with penstock.save_model, or mlflow's save_model",
            path=str(path),
        ) from None


def _words(error: Exception) -> str:
    if isinstance(error, KeyError):
        return f"it has no `{error.args[0]}`"
    return str(error) if isinstance(error, ValueError) else f"{type(error).__name__}: {error}"


def write_description(
    folder: Path, flavours: Mapping[str, Mapping[str, Any]], signature: Signature, rows: str = "polars"
) -> None:
    """Write a folder's `MLmodel` file; the same model gives the same bytes."""
    document: dict[str, Any] = {
        "flavors": {name: dict(options) for name, options in flavours.items()},
        "signature": signature_document(signature, rows),
    }
    if (folder / EXAMPLE_FILE).exists():
        document["saved_input_example_info"] = example_information(signature, rows)
    metadata = {**({ROWS_KEY: rows} if rows != "polars" else {}), **meanings_document(signature, rows)}
    if metadata:
        document["metadata"] = metadata
    write_atomic(folder / MODEL_FILE, yaml.safe_dump(document, sort_keys=True, allow_unicode=True).encode())
