"""What is known of the controller itself: who shows it need not know the thread that runs it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from penstock.flows.production.looks import EndpointLook
from penstock.flows.production.watching import Observation


@dataclass(frozen=True)
class ControllerHealth:
    """When the controller last looked, at how many endpoints, and what went wrong last.

    `problem` is its own; `problems` are those of endpoints that could not be judged, by name, and of
    `penstock.yaml` when it is wrong. `looks` are what the last look at each endpoint found, by name: empty
    while another process is the controller that acts. Each look replaces it as a whole. `observations` are the
    same looks with their findings, for pages, which would else look again. `is_beginning` while the first look is under way.
    `took_s` is how long the last round of looks took, `lost_count` how many decisions were lost with the lease.
    """

    ticked_ms: int | None
    endpoint_count: int
    problem: str | None
    problems: Mapping[str, str] = field(default_factory=dict)
    looks: Mapping[str, EndpointLook] = field(default_factory=dict)
    is_leading: bool = False
    observations: Mapping[str, Observation] = field(default_factory=dict)
    is_beginning: bool = False
    took_s: float = 0.0
    lost_count: int = 0


class Watched(Protocol):
    """A controller that runs somewhere in this process."""

    @property
    def health(self) -> ControllerHealth:
        """How it was at its last look."""
        ...
