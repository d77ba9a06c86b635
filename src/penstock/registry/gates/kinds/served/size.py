"""`size`: the model's files are small enough, in megabytes and beside the champion's."""

from __future__ import annotations

import msgspec

from penstock.registry.gates.asking import weigh
from penstock.registry.gates.check import Evidence, Gate, Outcome

MEGABYTE = 1_000_000


class SizeGate(msgspec.Struct, frozen=True, kw_only=True):
    """The size of all files of the model: at most `max_mb` (10^6 bytes), and `max_ratio` times the champion's."""

    max_mb: float | None = None
    max_ratio: float | None = None

    def __post_init__(self) -> None:
        """Refuse a check that cannot fail or cannot pass."""
        limits = [one for one in (self.max_mb, self.max_ratio) if one is not None]
        if not limits or min(limits) <= 0:
            raise ValueError("a size check needs `max_mb` or `max_ratio`, above 0")


def check_size(gate: SizeGate, evidence: Evidence) -> Outcome:
    """Compare the size with the limits; without a champion the ratio asks nothing, and says so."""
    size = evidence.require_candidate().size_bytes / MEGABYTE
    expected, within = [], True
    if gate.max_mb is not None:
        expected.append(f"at most {gate.max_mb:g} MB")
        within = size <= gate.max_mb
    champion = evidence.champion
    if gate.max_ratio is not None and champion is not None:
        most = gate.max_ratio * champion.size_bytes / MEGABYTE
        expected.append(f"at most {most:.3g} MB, {gate.max_ratio:g} times {champion.name}")
        within = within and size <= most
    words = " and ".join(expected) or "at most a share of the champion's"
    alone = "" if expected else "; there is no champion to compare with"
    return Outcome(
        "pass" if within else "fail", f"its files have {size:.3g} MB, must be {words}{alone}", size, words
    )


GATE = Gate(
    settings=SizeGate,
    check=check_size,
    title=lambda gate: "size",
    weighed=weigh(max_mb="higher", max_ratio="higher"),
)
