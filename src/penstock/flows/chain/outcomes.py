"""What became of the versions of a chain: each fact is asked of the store once for all of them, not once for each."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property

import sqlalchemy as sa

from penstock.flows.models.evidence.standing import went_out_ms
from penstock.registry.entities import ModelVersion, Verdict
from penstock.registry.states import VersionState, list_rolled_back, same_rolled_back
from penstock.registry.verdicts import Asked, glance_verdicts
from penstock.registry.versions import Deletion, find_deletions
from penstock.serving.deployments import Revision, list_revisions_of_versions


class Outcomes:
    """What became of some versions, as one transaction sees it. Nothing is asked before it is needed."""

    def __init__(self, connection: sa.Connection, versions: Sequence[ModelVersion]) -> None:
        self._connection = connection
        self._versions = versions
        self._rolled_back: dict[str, dict[tuple[str, int], VersionState]] = {}

    def revisions(self, version: ModelVersion) -> list[Revision]:
        """Return every revision that served a version, by endpoint, newest first."""
        return self._revisions[version.model, version.number]

    def verdict(self, version: ModelVersion) -> Verdict | None:
        """Return the verdict that a version went out on; of what is not out the newest on its content."""
        return self._verdicts.get(self._asked(version))

    def rolled_back(self, version: ModelVersion) -> VersionState | None:
        """Return why a version is rolled back now, or None."""
        if version.model not in self._rolled_back:
            self._rolled_back[version.model] = list_rolled_back(self._connection, version.model)
        return same_rolled_back(self._rolled_back[version.model], version)

    def deleted(self, version: ModelVersion) -> str:
        """Say that a version was deleted, when and by whom; empty where it was not."""
        found = self._deletions.get((version.model, version.number))
        return found.sentence if found is not None else ""

    @cached_property
    def _deletions(self) -> dict[tuple[str, int], Deletion]:
        return find_deletions(self._connection, [(one.model, one.number) for one in self._versions])

    @cached_property
    def _revisions(self) -> dict[tuple[str, int], list[Revision]]:
        return list_revisions_of_versions(
            self._connection, [(one.model, one.number) for one in self._versions]
        )

    @cached_property
    def _out(self) -> dict[tuple[str, int], int]:
        return went_out_ms(self._connection, list({one.model for one in self._versions}))

    @cached_property
    def _verdicts(self) -> dict[Asked, Verdict]:
        return glance_verdicts(self._connection, {self._asked(one) for one in self._versions})

    def _asked(self, version: ModelVersion) -> Asked:
        return version.model, version.digest, self._out.get((version.model, version.number))
