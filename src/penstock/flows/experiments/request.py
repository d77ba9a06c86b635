"""What one experiment is to do, as it can be kept until it runs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import msgspec

from penstock.pipeline.graph import Extent
from penstock.pipeline.making import Bring
from penstock.pipeline.runner import ReproduceOptions
from penstock.pipeline.targets import Selection


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

    def options(
        self, bring: Bring | None = None, confirm: Callable[[str], bool] | None = None
    ) -> ReproduceOptions:
        """Return it as the reproduction takes it."""
        selection = Selection(self.targets, self.base, self.recursive)
        return ReproduceOptions(
            None if self.everything else selection,
            self.extent,
            force=self.force,
            force_downstream=self.force_downstream,
            allow_missing=self.allow_missing,
            bring=bring,
            on_error=self.on_error,
            confirm=confirm,
        )
