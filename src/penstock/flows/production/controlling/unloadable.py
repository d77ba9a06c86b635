"""What no serve process can load: whether that is held against the version that came last, or is the hosts' fault.

A version is taken back only where every process says that it fails by itself, and none has ever loaded it: what was
loaded before has not changed since; its hosts have. Or where every process says that it ends processes: what is served
beside it, or was before, loads and answers on the same host, so that the host is not at fault, however often it was loaded.
Who says which is in `penstock.serving.faults` and `penstock.serving.ending.suspicion`.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence

import sqlalchemy as sa

from penstock.base.errors import PenstockError
from penstock.base.store.database import Database
from penstock.monitoring.findings import Finding
from penstock.monitoring.windows import WindowKey, windows
from penstock.serving.deployments import Revision, endpoints, list_revisions, revisions
from penstock.serving.ending.suspicion import ENDS_MIN, Suspicion
from penstock.serving.faults import ENDED, fails_afresh, may_be_own, needs_proof, try_afresh
from penstock.serving.loaders.model import ModelFiles
from penstock.serving.workers import NOT_LOADED_STATES, OWN_STATES, State, Worker, WorkerRevision, has_loaded


def load_findings(
    connection: sa.Connection, revision: Revision, key: WindowKey, workers: Sequence[Worker]
) -> list[Finding]:
    """Return the finding that no serve process that tried can load a revision; nothing where one can, or is at it.

    What was served before is served further. Its action is to alert only, unless what came last is at fault itself: the
    canary where there is one.

    Args:
        key: of the window of what came last.
    """
    states = [one.state_of(revision.endpoint, revision.number) for one in workers]
    told = [one for one in states if one is not None]
    if not told or any(one.state not in NOT_LOADED_STATES for one in told):
        return []
    are_proofs = all(one.state in OWN_STATES for one in told)
    is_fatal = are_proofs and any(one.state == "fatal" for one in told)
    is_own = is_fatal or (are_proofs and not was_loaded(connection, revision.model, key.version))
    return [
        Finding(
            kind="load",
            endpoint=key.endpoint,
            revision=revision.number,
            version=key.version,
            route=key.route,
            start_s=key.start_s,
            end_s=key.start_s,
            name="model",
            observed=float(len(told)),
            limit=0.0,
            count=len(told),
            statistic="processes",
            statistic_value=float(len(told)),
            breached=True,
            action=None if is_own else "alert",
            sentence=_sentence(revision, key, told, is_own=is_own, are_proofs=are_proofs),
        )
    ]


class Proofs:
    """What this process has proven of versions that fail by themselves. Thread-safe.

    Args:
        fetch: returns a version's files; raises PenstockError.
    """

    def __init__(self, database: Database, fetch: Callable[[str, int], ModelFiles]) -> None:
        self._database, self._fetch = database, fetch
        self._proven: dict[tuple[str, int], str] = {}

    def state_of(self, revision: Revision, error: PenstockError) -> State:
        """Say what a revision is in that could not be served: `failed` where what came last in it is proven to be at fault.

        Blocks while it is tried again in a fresh process, which is done once for the same words.
        """
        version = _newest(revision)
        if not may_be_own(error) or error.fields.get("version", version) != version:
            return "hindered"
        key = (revision.model, version)
        try:
            if self._was_loaded(revision):
                return "hindered"
            is_proven = not needs_proof(error) or self._proven.get(key) == error.message
            if not is_proven and not fails_afresh(self._fetch(*key)):
                return "hindered"
        except PenstockError:
            return "hindered"
        self._proven[key] = error.message
        return "failed"

    def state_of_left(
        self, revision: Revision, left: Collection[int], suspicions: Mapping[int, Suspicion]
    ) -> State:
        """Say what a revision is of which versions are left out, since processes ended at them.

        What is killed says nothing of a version that was loaded before, and what ended beside another suspect nothing of either.
        Blocks while the version that was stable before
        is tried in a fresh process: where it ends too, it is the host.
        """
        newest = _newest(revision)
        suspicion = suspicions.get(newest)
        if newest not in left or suspicion is None:
            return "hindered"
        try:
            if suspicion.is_proven:
                return "hindered" if revision.canary is None and self._ends_before(revision) else "fatal"
            return "hindered" if suspicion.sole_count < ENDS_MIN or self._was_loaded(revision) else "failed"
        except PenstockError:
            return "hindered"

    def _ends_before(self, revision: Revision) -> bool:
        """Whether the version that was stable before ends a fresh process as well."""
        with self._database.read() as connection:
            earlier = list_revisions(connection, revision.endpoint)
        now = (revision.model, revision.stable)
        before = next((one for one in earlier if (one.model, one.stable) != now), None)
        return before is not None and try_afresh(self._fetch(before.model, before.stable)).end in ENDED

    def _was_loaded(self, revision: Revision) -> bool:
        with self._database.read() as connection:
            return was_loaded(connection, revision.model, _newest(revision))


def _newest(revision: Revision) -> int:
    """Return what came last into a revision: the canary where there is one."""
    return revision.stable if revision.canary is None else revision.canary.version


def was_loaded(connection: sa.Connection, model: str, version: int) -> bool:
    """Say whether any serve process ever loaded a version: one said so, or its answers are known."""
    if has_loaded(connection, model, version):
        return True
    answered = (
        sa.select(windows.c.version)
        .join(endpoints, endpoints.c.name == windows.c.endpoint)
        .join(
            revisions,
            sa.and_(revisions.c.endpoint_id == endpoints.c.id, revisions.c.number == windows.c.revision),
        )
        .where(
            revisions.c.model == model,
            windows.c.version == version,
            windows.c.request_count > windows.c.error_count,
        )
    )
    return connection.execute(answered.limit(1)).first() is not None


def _sentence(
    revision: Revision, key: WindowKey, told: Sequence[WorkerRevision], *, is_own: bool, are_proofs: bool
) -> str:
    if is_own:
        what = "ends its processes" if any(one.state == "fatal" for one in told) else "cannot be loaded"
        return f"{key.route} version {key.version} {what}: {told[0].message}"
    why = next((one.message for one in told if one.state == "hindered"), told[0].message)
    held = f"version {key.version} was loaded before, so it is not held against it" if are_proofs else ""
    tried = "it is tried again" if not held else f"{held} and tried again"
    return f"no serve process can load revision {revision.number} now: {why}; {tried}"
