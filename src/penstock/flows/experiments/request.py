"""What one experiment is to do, as it can be kept until it runs."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

import msgspec

from penstock.pipeline.graph import Extent


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """What is reproduced and how; `base` is a directory relative to the project's root.

    `copies` are paths that git does not have and the experiment needs; `message` is its commit's. `sweep` is what
    experiments that were asked for together share, `place` where one of them stands.
    """

    targets: tuple[str, ...] = ()
    base: str = ""
    recursive: bool = False
    everything: bool = False
    extent: Extent = "upstream"
    force: bool = False
    force_downstream: bool = False
    pull: bool = False
    allow_missing: bool = False
    on_error: Literal["stop", "keep going", "ignore"] = "stop"
    copies: tuple[str, ...] = ()
    message: str = ""
    sweep: str = ""
    place: int = 0


@dataclass(frozen=True)
class Job:
    """An experiment to be run: `start` is a commit of what it begins with, its parent is the baseline."""

    name: str
    baseline: str
    start: str
    request: Request = field(default_factory=Request)
