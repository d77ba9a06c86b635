"""Where a version came from, as a signed in-toto statement: SLSA's provenance, with what was recorded beside it.

A row of the store that differs from what was signed is noticed, as with verdicts (`registry/proof.py`).
**Source**: in-toto attestation framework, Statement v1; SLSA v1.0, provenance.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

import msgspec

from penstock.base.signing import PublicKey, SigningKey, seal
from penstock.registry.entities import ModelVersion, Provenance
from penstock.registry.proof import STATEMENT, Difference, Proof, examine

PREDICATE = "https://slsa.dev/provenance/v1"
BUILD_TYPE = "urn:penstock:pipeline:v1"
VERSION = "penstock_version"
LATER = ("tree", "stale", "unseen")
"""What statements said of an origin only later: left out where there is nothing to say, as the older ones have it."""


def seal_provenance(version: ModelVersion, project: str, time_ms: int, key: SigningKey) -> str:
    """Return the statement of where a version came from, as a signed envelope; its number is not part of it.

    Args:
        time_ms: when it is signed.
    """
    return seal(provenance_statement(version, project, time_ms), key)


def provenance_statement(version: ModelVersion, project: str, time_ms: int) -> dict[str, Any]:
    """Return SLSA's provenance of a version: model and files as subjects, code, lock and data as dependencies."""
    origin = version.provenance
    subjects = [{"name": version.model, "digest": {"sha256": version.digest}}]
    subjects += [
        {"name": f"{version.model}/{file.path}", "digest": {"sha256": file.sha256}}
        for file in version.manifest.files
    ]
    profile = version.profile_digest
    return {
        "_type": STATEMENT,
        "subject": subjects,
        "predicateType": PREDICATE,
        "predicate": {
            "buildDefinition": {
                "buildType": BUILD_TYPE,
                "externalParameters": {"project": project, "model": version.model, "path": version.path},
                "internalParameters": {"environment": origin.environment},
                "resolvedDependencies": dependencies(origin),
            },
            "runDetails": {
                "builder": {"id": f"urn:penstock:actor:{version.actor}"},
                "metadata": {
                    **({"invocationId": f"urn:penstock:run:{origin.run_id}"} if origin.run_id else {}),
                    "finishedOn": datetime.fromtimestamp(time_ms // 1000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
                },
                "byproducts": [{"name": "reference profile", "digest": {"sha256": profile}}]
                if profile
                else [],
            },
            VERSION: _signed(version),
        },
    }


def dependencies(origin: Provenance) -> list[dict[str, Any]]:
    """Return what a version was made from, as SLSA's resource descriptors."""
    found: list[dict[str, Any]] = []
    if origin.commit:
        commit = {"name": "commit", "uri": "urn:penstock:repository", "digest": {"gitCommit": origin.commit}}
        told = {"madeBefore": list(origin.stale)} if origin.stale else {}
        found.append({**commit, **({"annotations": told} if told else {})})
    if origin.dirty_digest:
        found.append({"name": "uncommitted changes", "digest": {"sha256": origin.dirty_digest}})
    if origin.lock_digest:
        found.append({"name": "dvc.lock", "digest": {"sha256": origin.lock_digest}})
    for path, digest in sorted(origin.data.items()):
        kind, _, value = digest.partition(":")
        found.append({"name": path, "uri": f"urn:penstock:data:{digest}", "digest": {kind: value}})
    return found


def examine_provenance(
    envelope: str | None,
    version: ModelVersion,
    keys: Mapping[str, PublicKey],
    was_called: Callable[[str, str], bool],
) -> Proof:
    """Say whether what is recorded of a version's origin is what one of the keys signed.

    Args:
        keys: the trusted keys, by their ids.
        was_called: whether a model (the second name) had the first name before.
    """
    if envelope is None:
        return Proof("unsigned", "where it came from is not signed")
    proof, _ = examine(
        envelope, keys, "its origin", lambda statement: _difference(statement, version, was_called)
    )
    return proof


def _difference(
    statement: dict[str, Any], version: ModelVersion, was_called: Callable[[str, str], bool]
) -> Difference | None:
    try:
        signed = dict(statement["predicate"][VERSION])
        name = str(signed.pop("model"))
        subjects = {one["name"]: one["digest"]["sha256"] for one in statement["subject"]}
        kinds = (statement["_type"], statement["predicateType"])
    except (KeyError, TypeError, ValueError):
        return Difference("its statement is none of a version")
    row = _signed(version)
    if name != row.pop("model") and not was_called(name, version.model):
        return Difference(f"it is of {name}")
    if kinds != (STATEMENT, PREDICATE):
        return Difference("its statement is none of provenance")
    files = {f"{name}/{file.path}": file.sha256 for file in version.manifest.files}
    if subjects != {name: version.digest, **files}:
        return Difference("it is of other files")
    return next((Difference(key, is_field=True) for key in row if signed.get(key) != row[key]), None)


def _signed(version: ModelVersion) -> dict[str, Any]:
    """Return what of a version never changes, but its number and times, which are given after it is signed."""
    origin = msgspec.to_builtins(version.provenance)
    del origin["statement"]
    for name in LATER:
        value = origin.pop(name)
        if value:
            origin[name] = list(value) if isinstance(value, tuple) else value
    return {
        "model": version.model,
        "digest": version.digest,
        "actor": version.actor,
        "path": version.path,
        "provenance": origin,
        "metrics": {name: repr(value) for name, value in sorted(version.metrics.items())},
        "profile_digest": version.profile_digest,
    }
