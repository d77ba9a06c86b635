"""The data verbs over everything that is tracked, in one place: pointers' outputs and the pipeline's together.

The verbs that need no remote are in `penstock.flows.tracked.working_tree`, those that do in
`penstock.flows.tracked.remotes.transferring` and `cloud`, selection of targets and `status` in `penstock.flows.tracked.selection`, `diff` in
`penstock.flows.tracked.comparing`.
"""

from __future__ import annotations

from penstock.flows.tracked.remotes.cloud import cloud_status
from penstock.flows.tracked.remotes.report import TransferReport, raise_failures
from penstock.flows.tracked.remotes.transferring import (
    TransferOptions,
    bring_trees,
    fetch,
    pull,
    push,
)
from penstock.flows.tracked.selection import Chosen, select, status
from penstock.flows.tracked.working_tree import add, checkout, commit, remove

__all__ = [
    "Chosen",
    "TransferOptions",
    "TransferReport",
    "add",
    "bring_trees",
    "checkout",
    "cloud_status",
    "commit",
    "fetch",
    "pull",
    "push",
    "raise_failures",
    "remove",
    "select",
    "status",
]
