"""Record what stages' dependencies, parameters and outputs are now in `dvc.lock`, without running anything.

Source: dvc/repo/commit.py (3.67). Differs in that a stage that never ran and whose outputs are not all there is left
out, unless it is named, and in what the run cache is told: DVC tells it of everything.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from penstock.data.lock import repository_lock
from penstock.data.repository import DataRepository
from penstock.data.rwlock import check_writable
from penstock.flows.pipelines.status import meant_stages, shown_address
from penstock.pipeline.definition import load_all_stages
from penstock.pipeline.lockfile import load_entries
from penstock.pipeline.lockwriting import save_lock
from penstock.pipeline.making import IsSeen, begin, record
from penstock.pipeline.runcache import is_remembered, save_run
from penstock.pipeline.status import stage_status


def commit_stages(
    repo: DataRepository, targets: Sequence[str], base: Path, is_seen: IsSeen
) -> tuple[list[str], set[str]]:
    """Return which stages were recorded, named as seen from `base`, and which of the targets meant stages.

    Args:
        is_seen: says of a result whether it was seen to be made by running, as by `repro --no-commit`: only that enters
            the run cache.

    Raises:
        NotFound, Invalid: a dependency or an output is missing.
        Conflict: a running DVC stage uses an output.
    """
    stages = load_all_stages(repo)
    chosen, known = (list(stages), set[str]()) if not targets else meant_stages(repo, stages, targets, base)
    done = []
    with repository_lock(repo):
        locked = load_entries(repo.root, stages)
        for stage in chosen:
            entry = locked.get(stage.address)
            places = [repo.root / path for path in stage.makes]
            if entry is None and not targets and not all(place.exists() for place in places):
                continue
            if entry is not None and not stage_status(repo, repo.root, stage, entry).is_changed:
                if not is_remembered(repo, entry) and is_seen(entry):
                    save_run(repo, repo.root, stage, entry)
                continue
            check_writable(repo, places)
            made = record(begin(repo, stage))
            if is_seen(made):
                save_run(repo, repo.root, stage, made)
            save_lock(repo.root / stage.home, {stage.name: made})
            done.append(shown_address(repo, stage, base))
    return done, known
