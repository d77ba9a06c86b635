"""The data verbs over everything that is tracked, in one place: pointers' outputs and the pipeline's together.

The verbs that need no remote are in `penstock.flows.data_workspace`, those that do in
`penstock.flows.transferring` and `cloud`, selection of targets and `status` in `penstock.flows.selection`, `diff` in
`penstock.flows.comparing`.
"""

from __future__ import annotations

from penstock.flows.cloud import cloud_status
from penstock.flows.data_workspace import add, checkout, commit, remove
from penstock.flows.selection import Chosen, no_outputs, select, status
from penstock.flows.transfer_report import TransferReport, raise_failures
from penstock.flows.transferring import (
    TransferOptions,
    bring_trees,
    fetch,
    pull,
    push,
)

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
    "no_outputs",
    "pull",
    "push",
    "raise_failures",
    "remove",
    "select",
    "status",
]
