"""What a run and its stages read and made, as OpenLineage's run events. Builds documents; sends nothing.

**Source**: OpenLineage 2-0-2, `OpenLineage.json`, with the facets `ParentRunFacet`, `DatasetVersionDatasetFacet`,
`ErrorMessageRunFacet`, `SourceCodeLocationJobFacet` and `JobTypeJobFacet`.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal

from penstock.pipeline.lockfile import LockEntry
from penstock.pipeline.stage import Stage

EventType = Literal["START", "COMPLETE", "FAIL"]
PRODUCER = "urn:penstock"
SCHEMA = "https://openlineage.io/spec/2-0-2/OpenLineage.json#/$defs/RunEvent"
_FACETS = "https://openlineage.io/spec/facets/"


@dataclass(frozen=True)
class Pipeline:
    """The run that is told of: its id (32 hexadecimal digits), where its names belong, its project and commit."""

    run_id: str
    namespace: str
    project: str
    commit: str | None = None
    repository: str | None = None


def pipeline_event(
    pipeline: Pipeline,
    kind: EventType,
    time_ms: int,
    *,
    inputs: Mapping[str, str] | None = None,
    problem: str = "",
) -> dict[str, Any]:
    """Return an event of the whole run.

    Args:
        inputs: the digests of the tracked data that it reads, by path.
        problem: why it failed.
    """
    source = {"type": "git", "url": pipeline.repository or PRODUCER, "version": pipeline.commit}
    facets = {
        "jobType": _job_type("PIPELINE"),
        **(
            {"sourceCodeLocation": _facet("1-1-0/SourceCodeLocationJobFacet", source)}
            if pipeline.commit
            else {}
        ),
    }
    return {
        "eventType": kind,
        "eventTime": _time(time_ms),
        "run": {"runId": str(uuid.UUID(pipeline.run_id)), "facets": _error(problem)},
        "job": {"namespace": pipeline.namespace, "name": pipeline.project, "facets": facets},
        "inputs": _datasets(pipeline, (inputs or {}).items()),
        "outputs": [],
        "producer": PRODUCER,
        "schemaURL": SCHEMA,
    }


def stage_event(
    pipeline: Pipeline,
    stage: Stage,
    kind: EventType,
    time_ms: int,
    *,
    entry: LockEntry | None = None,
    problem: str = "",
) -> dict[str, Any]:
    """Return an event of one stage of the run; with its lock `entry`, datasets have their digests."""
    run = str(uuid.UUID(pipeline.run_id))
    parent = {"run": {"runId": run}, "job": {"namespace": pipeline.namespace, "name": pipeline.project}}
    locked = (
        {stage.place(one.path): f"md5:{one.hash.md5}" for one in (*entry.dependencies, *entry.outputs)}
        if entry
        else {}
    )
    return {
        "eventType": kind,
        "eventTime": _time(time_ms),
        "run": {
            "runId": str(uuid.uuid5(uuid.UUID(pipeline.run_id), stage.address)),
            "facets": {"parent": _facet("1-2-0/ParentRunFacet", parent), **_error(problem)},
        },
        "job": {
            "namespace": pipeline.namespace,
            "name": f"{pipeline.project}.{stage.address}",
            "facets": {"jobType": _job_type("STAGE")},
        },
        "inputs": _datasets(pipeline, ((path, locked.get(path)) for path in stage.reads)),
        "outputs": _datasets(pipeline, ((path, locked.get(path)) for path in stage.makes)),
        "producer": PRODUCER,
        "schemaURL": SCHEMA,
    }


def _datasets(pipeline: Pipeline, found: Iterable[tuple[str, str | None]]) -> list[dict[str, Any]]:
    return [
        {
            "namespace": pipeline.namespace,
            "name": path,
            "facets": {"version": _facet("1-0-1/DatasetVersionDatasetFacet", {"datasetVersion": digest})}
            if digest
            else {},
        }
        for path, digest in found
    ]


def _error(problem: str) -> dict[str, Any]:
    if not problem:
        return {}
    told = {"message": problem, "programmingLanguage": "SHELL"}
    return {"errorMessage": _facet("1-0-1/ErrorMessageRunFacet", told)}


def _job_type(kind: str) -> dict[str, Any]:
    told = {"processingType": "BATCH", "integration": "PENSTOCK", "jobType": kind}
    return _facet("2-0-4/JobTypeJobFacet", told)


def _facet(schema: str, told: Mapping[str, Any]) -> dict[str, Any]:
    name = schema.partition("/")[2]
    return {"_producer": PRODUCER, "_schemaURL": f"{_FACETS}{schema}.json#/$defs/{name}", **told}


def _time(time_ms: int) -> str:
    return datetime.fromtimestamp(time_ms / 1000, UTC).isoformat(timespec="milliseconds")
