"""`provenance`: it is known of the model which code, pipeline and data it came from."""

from __future__ import annotations

import msgspec

from penstock.registry.documents.origins import WHAT, by_reason
from penstock.registry.gates.asking import weigh
from penstock.registry.gates.check import Evidence, Gate, Outcome


class ProvenanceGate(msgspec.Struct, frozen=True, kw_only=True):
    """What has to be known; by default all of it."""

    require: tuple[str, ...] = WHAT

    def __post_init__(self) -> None:
        """Refuse what nobody can tell."""
        unknown = [one for one in self.require if one not in WHAT]
        if unknown or not self.require:
            raise ValueError(
                f"`require` names some of {', '.join(WHAT)}, not {unknown[0] if unknown else 'nothing'}"
            )


def check_provenance(gate: ProvenanceGate, evidence: Evidence) -> Outcome:
    """Ask for each."""
    if evidence.facts is None:
        return Outcome("error", "nobody can say where the model came from", expected=", ".join(gate.require))
    missing = {key: why for key, why in evidence.facts.missing_provenance().items() if key in gate.require}
    sentence = "; ".join(by_reason(missing))
    return Outcome(
        "fail" if missing else "pass",
        sentence or f"known: {', '.join(gate.require)}",
        observed=f"{len(gate.require) - len(missing)} of {len(gate.require)} known",
        expected=", ".join(gate.require),
        evidence={"missing": missing},
    )


GATE = Gate(
    settings=ProvenanceGate,
    check=check_provenance,
    title=lambda gate: "origin",
    weighed=weigh(require="fewer"),
)
