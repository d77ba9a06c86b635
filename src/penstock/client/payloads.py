"""`penstock.payloads`: sampled requests and answers of an endpoint of the project here, as a frame."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

import polars as pl

from penstock.flows.production.payloads.reading import read_payloads
from penstock.workspace import open_workspace


def payloads(endpoint: str, since: datetime | None = None, until: datetime | None = None) -> pl.DataFrame:
    """Return what an endpoint was asked and answered, as far as its policy samples it, by time.

    A row for each row of a call: `prediction_id`, `row`, `time`, `version`, `revision`, `route`, `latency_s`, `error`,
    `inputs.NAME`, `outputs.NAME`, and `label` where it is known. Empty where nothing was sampled. The project is that
    of the working directory.

    Args:
        since: only calls from then on; UTC where it says nothing else.
        until: only calls before then.

    Raises:
        NotFound: there is no such endpoint.
        Unavailable: the store or the artifacts cannot be reached.
    """
    project = open_workspace(Path.cwd())
    try:
        return read_payloads(project, endpoint, since, until)
    finally:
        project.close()
