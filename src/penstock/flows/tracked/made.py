"""What pipelines track of a repository: the half of its tracked data that no pointer names.

Reading pipelines takes more to load than all of a small command, so what that takes is imported where there is one.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from penstock.data.formats.output import Output
from penstock.data.pointers.metafiles import definitions_above, find_definitions
from penstock.data.repository import DataRepository


def made_outputs(repo: DataRepository, above: Sequence[Path] | None = None) -> list[Output]:
    """Return the outputs of the repository's pipelines; with `above`, of those in directories around these paths.

    Raises:
        Invalid: a dvc.yaml or dvc.lock cannot be read.
    """
    definitions = find_definitions(repo) if above is None else definitions_above(repo, above)
    if not definitions:
        return []
    from penstock.pipeline.outputs import list_outputs

    return list_outputs(repo, definitions)
