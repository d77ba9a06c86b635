"""`penstock serve` that records nothing, to tell what recording costs: python unrecorded.py ARGUMENTS."""

from __future__ import annotations

import sys
from typing import Any

from penstock.cli.entry import main
from penstock.processes.serve import ServeProcess
from penstock.serving.recorder import Exchange, RecorderState

_begin = ServeProcess.__init__


class NoRecorder:
    """Forgets everything."""

    state = RecorderState(used_bytes=0, max_bytes=0, dropped={})

    def record(self, exchange: Exchange) -> None:
        """Do nothing."""


def _begin_unrecorded(self: ServeProcess, *given: Any, **named: Any) -> None:
    _begin(self, *given, **named)
    self.dataplane.statistics._recorder = NoRecorder()


if __name__ == "__main__":
    ServeProcess.__init__ = _begin_unrecorded  # type: ignore[method-assign]
    sys.exit(main())
