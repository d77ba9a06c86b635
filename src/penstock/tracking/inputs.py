"""Tracked data that a run read, as data sets on MLflow's wire and back.

A data set whose source is of type `dvc` says that the file or directory at a path had this digest; so a run
that any client logged is reached from its data.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping

from penstock.tracking.entities import Dataset, DatasetInput

SOURCE_TYPE = "dvc"


def as_datasets(inputs: Mapping[str, str]) -> list[DatasetInput]:
    """Return data digests by path (`md5:…`) as data sets."""
    return [
        DatasetInput(
            Dataset(
                name=path[-500:],
                digest=digest.removeprefix("md5:")[:36],
                source_type=SOURCE_TYPE,
                source=json.dumps({"path": path, "digest": digest}),
            ),
            (("mlflow.data.context", "input"),),
        )
        for path, digest in inputs.items()
    ]


def digests_of(inputs: Iterable[DatasetInput]) -> dict[str, str]:
    """Return the data digests by path that data sets tell of; others are passed over.

    Example:
        >>> digests_of(as_datasets({"data/x": "md5:1"}))
        {'data/x': 'md5:1'}
    """
    found: dict[str, str] = {}
    for one in inputs:
        if one.dataset.source_type != SOURCE_TYPE:
            continue
        try:
            source = json.loads(one.dataset.source)
        except ValueError:
            continue
        if (
            isinstance(source, dict)
            and isinstance(source.get("path"), str)
            and isinstance(source.get("digest"), str)
        ):
            found[source["path"][:1024]] = source["digest"][:80]
    return found
