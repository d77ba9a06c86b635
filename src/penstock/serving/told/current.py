"""Which version an endpoint wants now, as a service is told it."""

from __future__ import annotations

import msgspec

from penstock.serving.deployments import Revision


class Current(msgspec.Struct, frozen=True, kw_only=True):
    """An endpoint's revision in force: `version` is to answer, beside it maybe a `canary` with a share of the calls.

    `kind` says what made the revision (`deployed`, `canary`, `advanced`, `promoted`, `rolled_back`, `shadowed`), `reason` why.
    """

    endpoint: str
    endpoint_id: int
    revision: int
    model: str
    version: int
    canary: int | None = None
    canary_percent: float = 0.0
    kind: str = "deployed"
    reason: str = ""

    @property
    def ref(self) -> str:
        """The version's name: `model/number`."""
        return f"{self.model}/{self.version}"

    @property
    def uri(self) -> str:
        """What `penstock.load_model` takes for it."""
        return f"models:/{self.model}/{self.version}"

    @staticmethod
    def of(revision: Revision) -> Current:
        """Return what a service is told of a revision."""
        canary = revision.canary
        return Current(
            endpoint=revision.endpoint,
            endpoint_id=revision.endpoint_id,
            revision=revision.number,
            model=revision.model,
            version=revision.stable,
            canary=canary.version if canary else None,
            canary_percent=canary.percent if canary else 0.0,
            kind=revision.kind,
            reason=revision.reason,
        )
