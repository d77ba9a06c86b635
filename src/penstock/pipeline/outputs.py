"""What pipelines own of the workspace, as the data layer's `Output`s."""

from __future__ import annotations

from pathlib import Path

from penstock.data.output import Output
from penstock.pipeline.definition import DEFINITION_FILE, load_stages
from penstock.pipeline.lockfile import load_lock


def list_outputs(root: Path) -> list[Output]:
    """Return every output of the pipeline at `root` with what the lock says of it.

    An output whose stage never ran has no hash. There are none where there is no dvc.yaml.

    Raises:
        Invalid: dvc.yaml or dvc.lock cannot be read.
    """
    if not (root / DEFINITION_FILE).is_file():
        return []
    locked = load_lock(root)
    found = []
    for stage in load_stages(root):
        entry = locked.get(stage.name)
        hashes = {item.path: item.hash for item in entry.outputs} if entry else {}
        found += [
            Output(
                path=root / stage.place(output.path),
                hash=hashes.get(output.path),
                cached=output.is_cached,
                push=output.is_pushed,
                remote=output.remote,
                source=f"{DEFINITION_FILE}:{stage.name}",
            )
            for output in stage.outputs
        ]
    return found
