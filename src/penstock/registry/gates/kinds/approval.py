"""`approval`: people other than the author approve the version before a door opens. It is asked at each door, not when judged."""

from __future__ import annotations

import msgspec

from penstock.base.numbers import counted
from penstock.registry.gates.asking import weigh
from penstock.registry.gates.check import Evidence, Gate, Outcome


class ApprovalGate(msgspec.Struct, frozen=True, kw_only=True):
    """So many `people` say yes; where `of` names some, only theirs count."""

    people: int = 1
    of: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Refuse what nobody can fulfil."""
        if self.people < 1 or (self.of and len(set(self.of)) < self.people):
            raise ValueError("`people` is at least 1, and at most as many as `of` names")

    @property
    def told(self) -> str:
        """What is asked, in words."""
        who = counted(self.people, "person", "people")
        return f"{who} other than the author{f', of {chr(44).join(self.of)}' if self.of else ''}"


def check_approval(gate: ApprovalGate, evidence: Evidence) -> Outcome:
    """Say that it waits: whoever approves does so after it was judged, and may take it back."""
    return Outcome(
        "waiting", f"no door opens before {gate.told} approved it", expected=f"approved by {gate.told}"
    )


GATE = Gate(
    settings=ApprovalGate,
    check=check_approval,
    title=lambda gate: gate.told,
    weighed=weigh(people="lower", of="any"),
)
