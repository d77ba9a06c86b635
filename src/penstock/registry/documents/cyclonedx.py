"""A version's bill of materials in CycloneDX 1.6: the model with its card, its data, and the packages it was made with.

**Source**: CycloneDX 1.6, `bom-1.6.schema.json` (`machine-learning-model`, `modelCard`, `data`).
"""

from __future__ import annotations

import uuid
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

from penstock.base.numbers import format_number
from penstock.records.signature import Signature
from penstock.registry.documents.facts import VersionFacts
from penstock.registry.entities import ModelVersion

SCHEMA = "http://cyclonedx.org/schema/bom-1.6.schema.json"
_SPACE = uuid.uuid5(uuid.NAMESPACE_URL, "urn:penstock:model")
_MACHINE = ("python", "platform")
_TREE = ".dir"


def bill_of_materials(facts: VersionFacts, made_by: str) -> dict[str, Any]:
    """Return the document; the same version gives the same one.

    Args:
        made_by: Penstock's version.
    """
    version = facts.version
    data = [_data(path, digest) for path, digest in sorted(version.provenance.data.items())]
    packages = [
        _package(name, number)
        for name, number in sorted(version.provenance.environment.items())
        if name not in _MACHINE
    ]
    files = [_file(version, file.path, file.sha256) for file in version.manifest.files]
    made_of = [one["bom-ref"] for one in (*files, *data, *packages)]
    return {
        "$schema": SCHEMA,
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "serialNumber": f"urn:uuid:{uuid.uuid5(_SPACE, f'{version.ref}:{version.digest}')}",
        "version": 1,
        "metadata": {
            "timestamp": datetime.fromtimestamp(version.created_ms // 1000, UTC).isoformat(),
            "tools": {"components": [{"type": "application", "name": "penstock", "version": made_by}]},
            "component": _model(facts, [one["bom-ref"] for one in data]),
        },
        "components": [*files, *data, *packages],
        "dependencies": [
            {"ref": "model", "dependsOn": made_of},
            *({"ref": reference} for reference in made_of),
        ],
    }


def _model(facts: VersionFacts, data: list[str]) -> dict[str, Any]:
    version, origin = facts.version, facts.version.provenance
    card: dict[str, Any] = {
        "modelParameters": {
            "datasets": [{"ref": reference} for reference in data],
            **_interface(facts.signature),
        }
    }
    if version.metrics:
        measured = [
            {"type": name, "value": format_number(value)} for name, value in sorted(version.metrics.items())
        ]
        card["quantitativeAnalysis"] = {"performanceMetrics": measured}
    properties = {
        "penstock:digest": version.digest,
        "penstock:commit": origin.commit,
        "penstock:run": origin.run_id,
        "penstock:lock": origin.lock_digest,
        "penstock:verdict": None
        if facts.verdict is None
        else f"{facts.verdict.id} {'passed' if facts.verdict.passed else 'refused'}",
        **{f"penstock:environment:{name}": origin.environment.get(name) for name in _MACHINE},
    }
    return {
        "type": "machine-learning-model",
        "bom-ref": "model",
        "name": version.model,
        "version": str(version.number),
        **({"description": version.description} if version.description else {}),
        "hashes": [{"alg": "SHA-256", "content": version.digest}],
        "modelCard": card,
        "properties": [{"name": name, "value": value} for name, value in properties.items() if value],
    }


def _interface(signature: Signature) -> dict[str, Any]:
    sides = {"inputs": signature.inputs, "outputs": signature.outputs}
    return {
        side: [{"format": f"{column.name}: {column.datatype}"} for column in columns]
        for side, columns in sides.items()
        if columns
    }


def _file(version: ModelVersion, path: str, sha256: str) -> dict[str, Any]:
    return {
        "type": "file",
        "bom-ref": f"file:{path}",
        "name": f"{version.model}/{path}",
        "hashes": [{"alg": "SHA-256", "content": sha256}],
    }


def _data(path: str, digest: str) -> dict[str, Any]:
    kind, _, value = digest.partition(":")
    named = {"md5": "MD5", "sha256": "SHA-256"}.get(kind)
    bare = value.removesuffix(_TREE)
    return {
        "type": "data",
        "bom-ref": f"data:{path}",
        "name": path,
        **({"hashes": [{"alg": named, "content": bare}]} if named else {}),
        "data": [{"type": "dataset", "name": path}],
        "properties": [{"name": "penstock:digest", "value": digest}],
    }


def _package(name: str, number: str) -> dict[str, Any]:
    address = f"pkg:pypi/{quote(name.lower().replace('_', '-'))}@{quote(number)}"
    return {"type": "library", "bom-ref": address, "name": name, "version": number, "purl": address}
