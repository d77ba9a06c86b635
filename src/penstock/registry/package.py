"""Model folders in MLflow's format: an `MLmodel` file, the model's files, their digests.

A folder is described by its `Manifest`; the manifest's digest is the model's identity, so two folders with
the same files are the same model wherever they lie. Writing the files of one library is a flavour's job.
Source: MLflow 3 `mlflow/models/model.py`, `mlflow/models/signature.py` (formats only).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec
import yaml

from penstock.base.digest import digest_file, digest_value
from penstock.base.errors import Corrupt, Invalid, NotFound
from penstock.base.files import write_atomic
from penstock.base.yaml12 import load
from penstock.records.signature import Column, Datatype, Signature
from penstock.registry.entities import FileDigest, Manifest

MODEL_FILE = "MLmodel"
EXAMPLE_FILE = "input_example.json"

TYPE_OF_DATATYPE: dict[Datatype, str] = {
    "BOOL": "boolean",
    "INT32": "integer",
    "INT64": "long",
    "FP32": "float",
    "FP64": "double",
    "BYTES": "string",
}
DATATYPE_OF_TYPE: dict[str, Datatype] = {name: datatype for datatype, name in TYPE_OF_DATATYPE.items()}


class ModelDescription(msgspec.Struct, frozen=True):
    """What a model folder says of itself: flavours with their options, signature, columns of a few rows."""

    flavours: dict[str, dict[str, Any]]
    signature: Signature
    example: dict[str, list[Any]] | None = None


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
        Invalid: it cannot be read, names no flavour, or has no signature of named columns.
    """
    path = folder / MODEL_FILE
    try:
        document = load(path.read_text(encoding="utf-8"))
        flavours = {str(name): dict(options) for name, options in document["flavors"].items()}
        signature = document["signature"]
        inputs = _columns(json.loads(signature["inputs"]))
        outputs = _columns(json.loads(signature["outputs"])) if signature.get("outputs") else ()
        example = _read_example(folder)
    except (OSError, yaml.YAMLError, LookupError, TypeError, ValueError, AttributeError) as error:
        raise Invalid(
            f"{path} cannot be used: {_words(error)}",
            code="registry.bad_model",
            hint="save the model with a signature of named columns",
            path=str(path),
        ) from None
    return ModelDescription(flavours, Signature(inputs, outputs), example)


def read_flavours(folder: Path) -> dict[str, dict[str, Any]]:
    """Return the flavours of a folder's `MLmodel` file with their options.

    Raises:
        Invalid: there is no such file, or it names no flavour.
    """
    path = folder / MODEL_FILE
    try:
        document = load(path.read_text(encoding="utf-8"))
        return {str(name): dict(options) for name, options in document["flavors"].items()}
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


def write_example(folder: Path, columns: Mapping[str, list[Any]]) -> None:
    """Write a few input rows beside the model, in MLflow's `split` orientation."""
    names = list(columns)
    rows = [list(row) for row in zip(*columns.values(), strict=True)]
    write_atomic(folder / EXAMPLE_FILE, json.dumps({"columns": names, "data": rows}).encode())


def _read_example(folder: Path) -> dict[str, list[Any]] | None:
    path = folder / EXAMPLE_FILE
    if not path.is_file():
        return None
    document = json.loads(path.read_text(encoding="utf-8"))
    if not isinstance(document, dict) or not {"columns", "data"} <= set(document):
        return None
    return {name: [row[index] for row in document["data"]] for index, name in enumerate(document["columns"])}


def write_description(folder: Path, flavours: Mapping[str, Mapping[str, Any]], signature: Signature) -> None:
    """Write a folder's `MLmodel` file; the same model gives the same bytes."""
    document = {
        "saved_input_example_info": {
            "artifact_path": EXAMPLE_FILE,
            "pandas_orient": "split",
            "type": "dataframe",
        },
        "flavors": {name: dict(options) for name, options in flavours.items()},
        "signature": {
            "inputs": json.dumps([_column_document(column) for column in signature.inputs]),
            "outputs": json.dumps([_column_document(column) for column in signature.outputs]),
            "params": None,
        },
    }
    write_atomic(folder / MODEL_FILE, yaml.safe_dump(document, sort_keys=True, allow_unicode=True).encode())


def _columns(items: list[dict[str, Any]]) -> tuple[Column, ...]:
    return tuple(
        Column(str(item["name"]), DATATYPE_OF_TYPE[item["type"]], bool(item.get("required", True)))
        for item in items
    )


def _column_document(column: Column) -> dict[str, Any]:
    return {"type": TYPE_OF_DATATYPE[column.datatype], "name": column.name, "required": column.required}
