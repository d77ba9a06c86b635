"""What is known of an endpoint's live traffic: its windows, judged against its policy. Writes nothing."""

from __future__ import annotations

from dataclasses import dataclass

import msgspec
import sqlalchemy as sa

from penstock.base.clock import now_ms
from penstock.base.errors import PenstockError
from penstock.flows.production.awaiting import WORKER_ALIVE_MS
from penstock.flows.production.deciding import History, Look
from penstock.flows.production.progress import Progress, Tally, progress_of
from penstock.monitoring.alerts import list_open_alerts
from penstock.monitoring.findings import Finding
from penstock.monitoring.guardrails.blocks import Block
from penstock.monitoring.guardrails.judging import Traffic, judge
from penstock.monitoring.guardrails.measured import MIN_REQUESTS, Reference
from penstock.monitoring.policies import Policy, policy_or_none_yet
from penstock.monitoring.profile import Profile
from penstock.monitoring.settings import EndpointSettings
from penstock.monitoring.windows import (
    Window,
    WindowKey,
    count_traffic,
    labelled,
    last_traffic_s,
    list_timings,
    list_windows,
    merge_windows,
    recent,
)
from penstock.project.project import Project
from penstock.registry.entities import ModelVersion
from penstock.registry.states import list_rolled_back
from penstock.registry.verdicts import find_verdict
from penstock.registry.versions import get_version
from penstock.serving.deployments import Revision, get_revision, list_revisions
from penstock.serving.workers import Worker, list_workers

SLACK_S = 5
"""How much later than its end a window may be written."""
MAX_STARTS = 640
"""How many windows are read at most to find enough traffic of a slow canary."""


@dataclass(frozen=True)
class Observation:
    """An endpoint now: revision, policy, one merged window a route, findings, and what came before.

    `problems` are what keeps a part of it from being judged and is nobody's intention.
    """

    endpoint: str
    policy: Policy
    revision: Revision
    version: ModelVersion
    stable: Traffic
    canary: Traffic | None
    findings: tuple[Finding, ...]
    step: dict[str, Tally]
    history: History
    time_ms: int
    problems: tuple[str, ...]

    @property
    def settings(self) -> EndpointSettings:
        """How the endpoint is rolled out, watched and answered for."""
        return self.policy.settings

    @property
    def breaches(self) -> tuple[Finding, ...]:
        """The findings that are over their limit."""
        return tuple(finding for finding in self.findings if finding.breached)

    @property
    def look(self) -> Look:
        """What is decided on."""
        return Look(self.revision, self.findings, self.step.get("canary", Tally()), self.time_ms)

    @property
    def progress(self) -> Progress | None:
        """How far the canary is; None without one."""
        step = self.step.get("canary", Tally())
        return progress_of(self.revision, step, self.findings, self.settings, self.time_ms)


def observe(project: Project, endpoint: str, time_ms: int | None = None) -> Observation:
    """Judge the recent traffic of what an endpoint serves now.

    Raises:
        NotFound: no such endpoint.
        Corrupt: a window cannot be read.
    """
    time_ms = now_ms() if time_ms is None else time_ms
    with project.database.read() as connection:
        revision = get_revision(connection, endpoint)
        policy = policy_or_none_yet(connection, endpoint, revision.model)
        version = get_version(connection, revision.model, revision.stable, deleted=True)
        rival = (
            get_version(connection, revision.model, revision.canary.version, deleted=True)
            if revision.canary
            else None
        )
        revisions = tuple(list_revisions(connection, endpoint))
        history = History(
            revisions=revisions,
            rolled_back=frozenset(list_rolled_back(connection, revision.model)),
            alerts=tuple(list_open_alerts(connection, endpoint)),
        )
        reading = _Reading(
            connection,
            revision,
            policy.settings,
            _rollout(revision, revisions),
            _stable_since_ms(revision, revisions),
            time_ms,
        )
        workers = list_workers(connection, time_ms - WORKER_ALIVE_MS)
        stable, canary, beside, step = reading.stable(), reading.canary(), reading.beside(), reading.step()
    problems: list[str] = []
    stable = _refer(project, stable, version, problems)
    if canary is not None and rival is not None:
        canary = _refer(project, canary, rival, problems)
    for one in (stable, canary):
        if one is not None and one.recent is not None and one.recent.dropped_count:
            problems.append(_dropped(one.recent))
    borne = policy.settings.monitor.nonfinite_max_ratio
    findings = judge(policy.settings.guardrails, stable, canary, beside, nonfinite_max_ratio=borne)
    findings += _load_failures(revision, (canary or stable).key, workers)
    return Observation(
        endpoint, policy, revision, version, stable, canary, tuple(findings), step, history, time_ms,
        tuple(problems),
    )  # fmt: skip


def _dropped(window: Window) -> str:
    return (
        f"of {window.dropped_count} of the last {window.request_count} requests on {window.key.route} only the "
        "counts are known: a serve process had no room for them until they were written (recording.max_bytes)"
    )


def _load_failures(revision: Revision, key: WindowKey, workers: list[Worker]) -> list[Finding]:
    """Return the finding that what is deployed cannot be loaded: every process that tried says so.

    What was served before is served further. What came last is to blame: the canary where there is one.
    """
    states = [one.state_of(revision.endpoint, revision.number) for one in workers]
    told = [one for one in states if one is not None]
    if not told or any(one.state != "failed" for one in told):
        return []
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
            sentence=f"{key.route} version {key.version} cannot be loaded: {told[0].message}",
        )
    ]


def _rollout(revision: Revision, revisions: tuple[Revision, ...]) -> tuple[int, ...]:
    """Return the revisions in which the same canary stood beside the same stable version without a break."""
    if revision.canary is None:
        return (revision.number,)
    numbers = [revision.number]
    for old in (one for one in revisions if one.number < revision.number):
        same = (old.model, old.stable) == (revision.model, revision.stable) and old.canary is not None
        if not same or old.canary is None or old.canary.version != revision.canary.version:
            break
        numbers.append(old.number)
    return tuple(numbers)


def _stable_since_ms(revision: Revision, revisions: tuple[Revision, ...]) -> int:
    """Return when the stable version became it, without a break since."""
    since_ms = revision.created_ms
    for old in (one for one in revisions if one.number < revision.number):
        if (old.model, old.stable) != (revision.model, revision.stable):
            break
        since_ms = old.created_ms
    return since_ms


@dataclass(frozen=True)
class _Reading:
    """One look at the store."""

    connection: sa.Connection
    revision: Revision
    settings: EndpointSettings
    rollout: tuple[int, ...]
    stable_since_ms: int
    time_ms: int

    def stable(self) -> Traffic:
        """Return the stable version's recent traffic, and the newest predictions with labels."""
        monitor, version = self.settings.monitor, self.revision.stable
        fresh_s = self.time_ms // 1000 - (monitor.windows + 1) * monitor.window_s - SLACK_S
        listed = [
            one
            for one in list_windows(self.connection, self.revision.endpoint, since_s=fresh_s)
            if one.key.version == version
        ]
        needed = max((one.quality.min_labels for one in self.settings.guardrails if one.quality), default=0)
        return Traffic(
            key=self._key(version, "stable"),
            recent=recent(listed, "stable", monitor.windows),
            labelled=self._labelled(version, "stable", None, (monitor.windows, needed)),
            blocks=self._blocks(version, "stable", since_s=fresh_s)[-monitor.windows :],
            earlier=max(0, fresh_s - self.stable_since_ms // 1000) // monitor.window_s,
            last_s=last_traffic_s(self.connection, self.revision.endpoint, version, "stable"),
        )

    def canary(self) -> Traffic | None:
        """Return the canary's newest traffic, as much as the guardrails need, and all its labels."""
        if self.revision.canary is None:
            return None
        version = self.revision.canary.version
        return Traffic(
            key=self._key(version, "canary"),
            recent=self._enough(),
            labelled=self._labelled(version, "canary", self.rollout),
            blocks=self._blocks(version, "canary", self.rollout),
            last_s=last_traffic_s(self.connection, self.revision.endpoint, version, "canary"),
        )

    def beside(self) -> Traffic | None:
        """Return the stable route since the canary came."""
        if self.revision.canary is None:
            return None
        version = self.revision.stable
        return Traffic(
            key=self._key(version, "stable"),
            labelled=self._labelled(version, "stable", self.rollout),
            blocks=self._blocks(version, "stable", self.rollout),
        )

    def step(self) -> dict[str, Tally]:
        """Return the traffic of each route since the current revision began."""
        found: dict[str, Tally] = {}
        for one in count_traffic(self.connection, self.revision.endpoint, [self.revision.number]):
            before = found.get(one.route, Tally())
            found[one.route] = Tally(
                request_count=before.request_count + one.request_count,
                error_count=before.error_count + one.error_count,
                row_count=before.row_count + one.row_count,
                label_count=before.label_count + one.label_count,
            )
        return found

    def _enough(self) -> Window | None:
        """Merge the canary's newest windows: as many as are judged together, more while they hold too little."""
        rows = max((one.drift.min_rows for one in self.settings.guardrails if one.drift), default=0)
        count = self.settings.monitor.windows
        limit = 2 * count
        while True:
            listed = list_windows(
                self.connection, self.revision.endpoint, revisions=self.rollout, limit=limit
            )
            mine = [one for one in listed if one.key.route == "canary" and one.request_count]
            chosen = mine[-count:]
            while len(chosen) < len(mine) and not _holds_enough(chosen, rows):
                chosen = mine[-(2 * len(chosen)) :]
            starts = len({one.key.start_s for one in listed})
            if _holds_enough(chosen, rows) or starts < limit or limit >= MAX_STARTS:
                return merge_windows(chosen) if chosen else None
            limit *= 4

    def _blocks(
        self, version: int, route: str, revisions: tuple[int, ...] | None = None, since_s: int = 0
    ) -> tuple[Block, ...]:
        timings = list_timings(
            self.connection,
            self.revision.endpoint,
            version=version,
            route=route,
            revisions=revisions,
            since_s=since_s,
        )
        return tuple(Block.of(one, one.error_run_count) for one in timings)

    def _labelled(
        self,
        version: int,
        route: str,
        revisions: tuple[int, ...] | None,
        enough: tuple[int, int] | None = None,
    ) -> Window | None:
        """Merge a version's labelled predictions, told as of the route it is on now."""
        found = labelled(
            self.connection,
            self.revision.endpoint,
            version,
            since_s=self._horizon_s(),
            revisions=revisions,
            enough=enough,
        )
        if found is None:
            return None
        key = msgspec.structs.replace(self._key(version, route), start_s=found.key.start_s)
        return msgspec.structs.replace(found, key=key)

    def _horizon_s(self) -> int:
        spans = [one.quality.horizon_s for one in self.settings.guardrails if one.quality is not None]
        return int(self.time_ms / 1000 - max(spans, default=604_800.0))

    def _key(self, version: int, route: str) -> WindowKey:
        return WindowKey(self.revision.endpoint, self.time_ms // 1000, self.revision.number, version, route)


def _holds_enough(chosen: list[Window], rows: int) -> bool:
    requests = sum(one.request_count for one in chosen)
    return requests >= MIN_REQUESTS and sum(one.features.row_count for one in chosen) >= rows


def _refer(project: Project, traffic: Traffic, version: ModelVersion, problems: list[str]) -> Traffic:
    """Add what the version was like when it passed its gate; a profile that is lost is a problem."""
    profile, problem = None, ""
    try:
        profile = _profile(project, version.profile_digest)
    except PenstockError as error:
        problem = f"the reference profile of {version.ref} cannot be read: {error.message}"
        problems.append(problem)
    answered = traffic.recent.outputs if traffic.recent else None
    reference = Reference(
        profile=profile,
        metrics=version.metrics,
        row_count=_held_out_rows(project, version),
        outputs=frozenset(answered.column_names) if answered and answered.row_count else None,
        problem=problem,
    )
    return msgspec.structs.replace(traffic, reference=reference)


def _held_out_rows(project: Project, version: ModelVersion) -> int | None:
    """Return how many held-out rows its verdict compared it on; None where no champion was there."""
    with project.database.read() as connection:
        verdict = find_verdict(connection, version.model, version.digest)
    counts = [check.evidence.get("row_count") for check in verdict.checks] if verdict else []
    return next((count for count in counts if isinstance(count, int) and count > 0), None)


def _profile(project: Project, digest: str | None) -> Profile | None:
    return None if digest is None else project.artifacts.load(digest, Profile.from_bytes)
