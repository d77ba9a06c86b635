"""What is known of the controller itself: who shows it need not know the thread that runs it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True)
class ControllerHealth:
    """When the controller last looked, at how many endpoints, and what went wrong last."""

    ticked_ms: int | None
    endpoint_count: int
    problem: str | None


class Watched(Protocol):
    """A controller that runs somewhere in this process."""

    @property
    def health(self) -> ControllerHealth:
        """How it was at its last look."""
        ...
