"""What is known of an endpoint's live traffic: its windows, judged against its policy. Writes nothing."""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import msgspec
import sqlalchemy as sa

from penstock.base.clock import now_ms
from penstock.base.errors import Corrupt
from penstock.base.numbers import counted
from penstock.flows.production.controlling.deciding import History, Look
from penstock.flows.production.controlling.unloadable import load_findings
from penstock.flows.production.live.failures import find_failure
from penstock.flows.production.measuring import Measures, compared, measure
from penstock.flows.production.progress import Progress, Tally, progress_of
from penstock.flows.production.reading import Reading
from penstock.flows.production.referring import refer
from penstock.flows.production.refusing import why_all_refused
from penstock.flows.production.service import rollout, stable_since_ms
from penstock.monitoring.alerts import Alert, list_open_alerts
from penstock.monitoring.findings import Finding
from penstock.monitoring.guardrails.judging import judge, judge_batch
from penstock.monitoring.guardrails.measured import Reference
from penstock.monitoring.guardrails.traffic import Traffic
from penstock.monitoring.policies import Policy, list_policies, policy_or_none_yet
from penstock.monitoring.rowwise.causes import Cause, Untold
from penstock.monitoring.settings import EndpointSettings
from penstock.monitoring.timings import count_failures
from penstock.monitoring.windows import Window
from penstock.project.project import Project
from penstock.registry.entities import ModelVersion
from penstock.registry.states import list_barred
from penstock.registry.versions import get_version
from penstock.serving.deployments import Revision, get_revision, list_endpoints, list_revisions
from penstock.serving.predictions.waiting import Waiting
from penstock.serving.workers import Worker, list_alive

SLOWEST_S = 30.0
"""How old what features and labels say may be where a memory is kept; half of a window at most."""


FAILURES_S = 3_600
"""Failures in windows that began before that are no reason for a look at once."""
STEADY_S = 2.0
"""How long an endpoint without anything new to be judged at once waits; a quarter of a window at most."""


@dataclass(frozen=True)
class Shared:
    """What all endpoints' looks of one tick go by; `labels` where there is one to look at.

    `unreadable` says why an endpoint's policy could not be read, by name: such an endpoint cannot be judged.
    """

    revisions: Mapping[str, Revision]
    policies: Mapping[str, Policy]
    rolled_back: frozenset[tuple[str, int]]
    alerts: Mapping[str, tuple[Alert, ...]]
    workers: list[Worker]
    failures: Mapping[str, int] = field(default_factory=dict)
    labels: Mapping[str, Waiting] = field(default_factory=dict)
    unreadable: Mapping[str, Corrupt] = field(default_factory=dict)

    def mark(self, endpoint: str) -> tuple[object, ...]:
        """Return what calls for a look at once when it is another than at the last one."""
        revision, policy = self.revisions[endpoint], self.policies[endpoint]
        states = [one.state_of(endpoint, revision.number) for one in self.workers]
        alerts = [(one.id, one.clean_ms) for one in self.alerts.get(endpoint, ())]
        return (
            revision.number,
            policy.number,
            self.failures.get(endpoint, 0),
            tuple(alerts),
            tuple(one.state if one else "" for one in states),
        )


def whole_look_s(settings: EndpointSettings) -> float:
    """Return after how many seconds at most a controller looks at features and labels again."""
    return min(SLOWEST_S, settings.monitor.window_s / 2)


def look_around(connection: sa.Connection, time_ms: int) -> Shared:
    """Return what every endpoint's look needs."""
    alerts: dict[str, tuple[Alert, ...]] = {}
    for one in list_open_alerts(connection):
        alerts[one.endpoint] = (*alerts.get(one.endpoint, ()), one)
    held = list_policies(connection)
    return Shared(
        revisions={one.endpoint: one for one in list_endpoints(connection)},
        policies=held.readable,
        rolled_back=list_barred(connection),
        alerts=alerts,
        workers=list_alive(connection, time_ms),
        failures=count_failures(connection, time_ms // 1000 - FAILURES_S),
        unreadable=held.unreadable,
    )


@dataclass(frozen=True)
class Remembered:
    """What a look at an endpoint found that does not change with every request, and until when it holds."""

    until_ms: int
    revision: int
    policy: int
    version: ModelVersion
    revisions: tuple[Revision, ...]
    next_ms: int
    mark: tuple[object, ...]
    references: Mapping[str, Reference]
    slow: Mapping[tuple[int, str], list[Finding]]
    measures: Mapping[str, Measures]
    problems: tuple[str, ...]
    labelled: Mapping[str, Window | None] = field(default_factory=dict)
    step: Mapping[str, Tally] = field(default_factory=dict)
    batch: Traffic | None = None
    batch_findings: tuple[Finding, ...] = ()


@dataclass(frozen=True)
class Observation:
    """An endpoint now: revision, policy, one merged window a route, findings, and what came before.

    `batch` is what batch jobs asked the stable version, which nothing is rolled back or advanced for.
    `problems` are what keeps a part of it from being judged and is nobody's intention; `measures` what the last
    whole look measured, by route; `refusing` says that all requests are refused.
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
    measures: Mapping[str, Measures]
    refusing: str = ""
    batch: Traffic | None = None

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
        shared = Shared(
            revisions={endpoint: revision},
            policies={endpoint: policy},
            rolled_back=list_barred(connection, revision.model),
            alerts={endpoint: tuple(list_open_alerts(connection, endpoint))},
            workers=list_alive(connection, time_ms),
        )
        return look_at(project, connection, endpoint, shared, time_ms)[0]


def is_steady(endpoint: str, shared: Shared, memory: Mapping[str, Remembered], time_ms: int) -> bool:
    """Say whether a look can wait: nothing failed since the last one, no alert is open, nothing was changed."""
    known = memory.get(endpoint)
    return (
        known is not None
        and known.next_ms - 1000 * STEADY_S <= time_ms < min(known.next_ms, known.until_ms)
        and not shared.alerts.get(endpoint)
        and known.mark == shared.mark(endpoint)
    )


def observe_again(
    project: Project, endpoint: str, shared: Shared, memory: dict[str, Remembered], time_ms: int
) -> Observation:
    """Judge as `observe` does, but let what features and labels say be a little old; the memory is kept up.

    Failures, latency and answers that are no numbers are judged anew at every look.

    Raises:
        Corrupt: a window cannot be read.
    """
    revision, policy = shared.revisions[endpoint], shared.policies[endpoint]
    known = memory.get(endpoint)
    if known is not None and (
        not known.until_ms - 1000 * SLOWEST_S <= time_ms < known.until_ms  # the clock may be set back
        or (known.revision, known.policy) != (revision.number, policy.number)
    ):
        known = None
    if known is None:
        memory.pop(endpoint, None)
    with project.database.read() as connection:
        seen, found = look_at(project, connection, endpoint, shared, time_ms, known)
    wait_ms = int(1000 * min(STEADY_S, seen.settings.monitor.window_s / 4))
    memory[endpoint] = replace(found, next_ms=time_ms + wait_ms, mark=shared.mark(endpoint))
    return seen


def look_at(
    project: Project,
    connection: sa.Connection,
    endpoint: str,
    shared: Shared,
    time_ms: int,
    known: Remembered | None = None,
) -> tuple[Observation, Remembered]:
    """Judge an endpoint at a time from what a store has; return it with what a next look may go by.

    The store is that of `connection`; the project gives the profiles. A backtest gives another store than the
    project's.

    Raises:
        Corrupt: a window cannot be read.
    """
    revision, policy = shared.revisions[endpoint], shared.policies[endpoint]
    if known is None:
        version = get_version(connection, revision.model, revision.stable, deleted=True)
        revisions = tuple(list_revisions(connection, endpoint))
    else:
        version, revisions = known.version, known.revisions
    history = History(
        revisions=revisions, rolled_back=shared.rolled_back, alerts=shared.alerts.get(endpoint, ())
    )
    reading = Reading(
        connection,
        revision,
        policy.settings,
        rollout(revision, revisions),
        stable_since_ms(revision, revisions),
        time_ms,
        is_quick=known is not None,
    )
    stable = reading.stable()
    canary, step = reading.canary(stable.slices), reading.step()
    beside = reading.beside(stable.slices)
    problems: list[str] = []
    batch, batched = (known.batch, known.batch_findings) if known else (reading.batch(), ())
    if known is not None:
        stable = msgspec.structs.replace(stable, reference=known.references["stable"])
        if canary is not None:
            canary = msgspec.structs.replace(canary, reference=known.references["canary"])
        problems += known.problems
    else:
        stable = compared(
            refer(project, connection, stable, version, policy.settings, problems), policy.settings
        )
        if canary is not None and revision.canary is not None:
            rival = get_version(connection, revision.model, revision.canary.version, deleted=True)
            canary = compared(
                refer(project, connection, canary, rival, policy.settings, problems), policy.settings
            )
        if batch is not None:
            batch = compared(refer(project, connection, batch, version, policy.settings, []), policy.settings)
            batched = judge_batch(policy.settings, batch)
        for one in (stable, canary):
            if one is not None and one.recent is not None and one.recent.dropped_count:
                problems.append(_dropped(connection, one.recent))
    slow = dict(known.slow) if known else {}
    findings = judge(
        policy.settings.guardrails, stable, canary, beside,
        nonfinite_max_ratio=policy.settings.monitor.nonfinite_max_ratio, slow=slow,
    )  # fmt: skip
    findings, cause = _with_cause(reading, stable, findings, slow)
    findings += batched
    findings += load_findings(connection, revision, (canary or stable).key, shared.workers)
    if (
        known is not None
    ):  # what is shown of labels and of the whole step may be as old as what was judged of it
        stable = msgspec.structs.replace(stable, labelled=known.labelled.get("stable"))
        if canary is not None:
            canary = msgspec.structs.replace(canary, labelled=known.labelled.get("canary"))
        step = {**known.step, **step}
    refusing, is_alert = why_all_refused(connection, revision, (stable, canary), time_ms)
    seen = Observation(
        endpoint, policy, revision, version, stable, canary, tuple(findings), step, history, time_ms,
        (*problems, *((f"it {refusing}",) if is_alert else ())),
        known.measures if known else {
            one.key.route: measure(
                one, policy.settings, cause if one is stable else None, reading.held(one)
            )
            for one in (stable, canary, batch)
            if one is not None
        },
        refusing,
        batch,
    )  # fmt: skip
    if known is not None:
        return seen, known
    slow_ms = 1000 * whole_look_s(policy.settings)
    share = 0.75 + zlib.crc32(endpoint.encode()) / 2**34  # so that not all are looked at as a whole at once
    references = {one.key.route: one.reference for one in (stable, canary) if one is not None}
    until_ms = time_ms + int(slow_ms * share)
    return seen, Remembered(
        until_ms,
        revision.number,
        policy.number,
        version,
        revisions,
        time_ms,
        (),
        references,
        slow,
        seen.measures,
        tuple(problems),
        {one.key.route: one.labelled for one in (stable, canary) if one is not None},
        step,
        batch and batch.bare(),
        batched,
    )


def _with_cause(
    reading: Reading, stable: Traffic, findings: list[Finding], slow: dict[tuple[int, str], list[Finding]]
) -> tuple[list[Finding], Cause | Untold | None]:
    """Say why the stable version's quality is worse, where it is: in the findings, and in what later looks go by."""
    if reading.is_quick:
        return findings, None
    worse = [
        one
        for one in findings
        if (one.kind, one.route) == ("quality", "stable") and (one.breached or one.is_inconclusive)
    ]
    cause = reading.cause(stable, worse[0]) if worse else None
    if not isinstance(cause, Cause):
        return findings, cause

    def told(one: Finding) -> Finding:
        return (
            msgspec.structs.replace(one, sentence=f"{one.sentence}. {cause.sentence}")
            if one in worse
            else one
        )

    for place, found in slow.items():
        slow[place] = [told(one) for one in found]
    return [told(one) for one in findings], cause


def _dropped(connection: sa.Connection, window: Window) -> str:
    failure = find_failure(connection, window.key.endpoint, 1000 * window.key.start_s)
    why = (
        "a serve process had no room for them until they were written (recording.max_bytes)"
        if failure is None
        else f"what they held could not be summarised, which its log tells: {failure}"
    )
    return (
        f"of {window.dropped_count} of the last {counted(window.request_count, 'request')} on {window.key.route} only the "
        f"counts are known: {why}"
    )
