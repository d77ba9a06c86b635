"""Whether OpenLineage's own classes say the same as a file of events; runs in an environment of their own.

python check_lineage.py FILE: a problem a line, then how many events there were.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any


def facets(found: dict[str, Any]) -> dict[str, Any]:
    """Return facets as objects of the library's classes."""
    from openlineage.client import facet_v2

    kinds = {
        "errorMessage": facet_v2.error_message_run.ErrorMessageRunFacet,
        "version": facet_v2.dataset_version_dataset.DatasetVersionDatasetFacet,
        "sourceCodeLocation": facet_v2.source_code_location_job.SourceCodeLocationJobFacet,
        "jobType": facet_v2.job_type_job.JobTypeJobFacet,
        "parent": facet_v2.parent_run.ParentRunFacet,
    }
    made = {}
    for name, facet in found.items():
        told = {key: value for key, value in facet.items() if not key.startswith("_")}
        if name == "parent":
            told = {
                "run": facet_v2.parent_run.Run(**told["run"]),
                "job": facet_v2.parent_run.Job(**told["job"]),
            }
        made[name] = kinds[name](producer=facet["_producer"], **told)
    return made


def rebuilt(event: dict[str, Any]) -> dict[str, Any]:
    """Return an event as the library writes it when it is made of its classes."""
    from openlineage.client.event_v2 import InputDataset, Job, OutputDataset, Run, RunEvent, RunState
    from openlineage.client.serde import Serde

    job = event["job"]
    sides = {
        side: [kind(one["namespace"], one["name"], facets=facets(one["facets"])) for one in event[side]]
        for side, kind in (("inputs", InputDataset), ("outputs", OutputDataset))
    }
    made = RunEvent(
        eventTime=event["eventTime"],
        producer=event["producer"],
        run=Run(event["run"]["runId"], facets(event["run"]["facets"])),
        job=Job(job["namespace"], job["name"], facets(job["facets"])),
        eventType=RunState[event["eventType"]],
        **sides,
    )
    written: dict[str, Any] = json.loads(Serde.to_json(made))
    return written


def bare(value: Any) -> Any:
    """Return a document without what is empty, which the classes leave out or put in."""
    if isinstance(value, dict):
        return {key: kept for key, one in value.items() if (kept := bare(one)) not in (None, {}, [])}
    return [bare(one) for one in value] if isinstance(value, list) else value


def main(file: Path) -> None:
    """Print every event that differs."""
    lines = file.read_text().splitlines()
    for line in lines:
        event = json.loads(line)
        again = rebuilt(event)
        if bare(again) != bare(event):
            print(json.dumps(bare(again)), json.dumps(bare(event)))
    print(len(lines))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
