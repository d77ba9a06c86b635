"""A policy over what was recorded: which alarms it would have raised, when, and what it would have done.

The same look and the same decision as the controller's, moment by moment. What was done then stays done: a
rollback that another policy would have made is told, with what it would have spared, and the past goes on.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from itertools import pairwise

import msgspec

from penstock.base.clock import format_ms, now_ms
from penstock.flows.observing.backtests import Act, Alarm, Backtest, NotJudged
from penstock.flows.observing.replaying import LAST_MS, Replay
from penstock.flows.production.controlling.deciding import Advance, Decision, RollBack, decide, subject_of
from penstock.flows.production.watching import Observation, Shared, look_at
from penstock.monitoring.alerts import Alert, Subject
from penstock.monitoring.findings import Finding
from penstock.monitoring.policies import Policy, PolicyBody, policy_or_none_yet
from penstock.monitoring.ruling import ruled_versions
from penstock.monitoring.settings import EndpointSettings
from penstock.monitoring.windows import list_windows
from penstock.project.project import Project
from penstock.registry.states import list_barred
from penstock.serving.deployments import get_revision

LOOKS_MAX = 300
"""Moments that are looked at; over a longer time the looks are further apart."""

OF_ROWS = {
    "multivariate": "a backtest reads windows, and no rows: the features of requests are not replayed",
    "slices": "a backtest reads windows, and no rows: labels by slice are not replayed",
}
"""Guardrails on whole rows, and why the past cannot be judged by them."""


def backtest(
    project: Project, endpoint: str, since_ms: int, settings: EndpointSettings | None = None, name: str = ""
) -> Backtest:
    """Run a policy, or the one that holds, over the recorded windows of an endpoint.

    Args:
        settings: another policy than the one that holds; `name` is what it is called.

    Raises:
        NotFound: no such endpoint.
        Corrupt: a window cannot be read.
    """
    with project.database.read() as connection:
        revision = get_revision(connection, endpoint)
        policy = policy_or_none_yet(connection, endpoint, revision.model)
        if settings is not None:
            policy = msgspec.structs.replace(policy, body=PolicyBody(endpoint=settings))
        rollout, guardrails = policy.settings.rollout, policy.settings.guardrails
        with_labels = bool(rollout.min_labels) or any(one.quality is not None for one in guardrails)
        now = now_ms()
        silences_s = {one.freshness.max_silence_s for one in guardrails if one.freshness is not None}
        replay = Replay(
            connection,
            endpoint,
            since_ms,
            with_labels=with_labels,
            silences_s=[one for one in silences_s if one is not None],
            ruled=ruled_versions(connection, endpoint, policy.settings.traffic.rules, now, now - since_ms),
        )
    try:
        run = _Run(project, replay, endpoint, policy)
        moments = _spread(replay.moments, replay.ends | replay.silences)
        for time_ms in moments:
            run.look(time_ms)
        return Backtest(
            endpoint=endpoint,
            policy=name or f"policy {policy.number}",
            since_ms=max(since_ms, moments[0]) if moments else since_ms,
            until_ms=moments[-1] if moments else since_ms,
            look_count=len(moments),
            apart_s=(moments[-1] - moments[0]) / 1000 / (len(moments) - 1) if len(moments) > 1 else 0.0,
            alarms=run.alarms,
            acts=tuple(run.spared(one) for one in run.acts),
            problems=tuple(sorted(run.problems)),
            not_judged=(*run.not_judged, *run.not_looked_at, *run.not_found) if moments else (),
        )
    finally:
        replay.close()


def _spread(moments: list[int], kept: Collection[int] = ()) -> list[int]:
    """Return at most `LOOKS_MAX` of the moments, evenly, the last among them, and the newest of those to be kept."""
    if len(moments) <= LOOKS_MAX:
        return moments
    own = sorted(kept)[-(LOOKS_MAX // 2) :]
    count = LOOKS_MAX - len(own)
    rest = [one for one in moments if one not in set(own)]
    evenly = [rest[-1 - round(index * (len(rest) - 1) / (count - 1))] for index in range(count)]
    return sorted({*own, *evenly})


class _Run:
    """The controller's memory while the past goes by: open alerts, and what was told and done."""

    def __init__(self, project: Project, replay: Replay, endpoint: str, policy: Policy) -> None:
        self._project, self._replay, self._endpoint, self._policy = project, replay, endpoint, policy
        self._open: dict[int, Alert] = {}
        self._told: dict[int, Alarm] = {}
        self._done: set[tuple[str, int, int]] = set()
        self.acts: list[Act] = []
        self.problems: set[str] = set()
        self._seen: set[int] = set()
        """Revisions that a look was at."""
        self._looked_at: dict[tuple[str, str, str, int], str | None] = {}
        """Why each guardrail could not be judged at its last look; None once it was judged."""

    @property
    def alarms(self) -> tuple[Alarm, ...]:
        """Everything told, in its order."""
        return tuple(self._told.values())

    @property
    def not_judged(self) -> tuple[NotJudged, ...]:
        """The guardrails of the policy that nothing was said by, each with the reason."""
        found = []
        for kind in dict.fromkeys(one.kind for one in self._policy.settings.guardrails):
            if kind in OF_ROWS:
                found.append(NotJudged(kind=kind, why=OF_ROWS[kind]))
                continue
            own = {key: why for key, why in self._looked_at.items() if key[0] == kind}
            if not own:
                found.append(NotJudged(kind=kind, why="there was no traffic that it is about"))
            found += [
                NotJudged(kind=kind, name=name, route=route, version=version, why=why)
                for (_, name, route, version), why in sorted(own.items())
                if why is not None
            ]
        return tuple(found)

    @property
    def not_looked_at(self) -> tuple[NotJudged, ...]:
        """The canaries that no look was at."""
        return tuple(
            NotJudged(
                kind="canary",
                name=f"{one.row['model']}/{one.row['canary_version']} of revision {one.number}",
                version=int(one.row["canary_version"]),
                why=f"it ended after {max(one.ended_ms - one.began_ms, 0) / 1000:.1f} s, and no look was at it: "
                "nothing is recorded of what it answered, or the looks are further apart",
            )
            for one in self._replay.revisions
            if one.row["canary_version"] is not None
            and one.number not in self._seen
            and one.ended_ms < LAST_MS
        )

    @property
    def not_found(self) -> tuple[NotJudged, ...]:
        """The rollbacks of then that this policy does not make by what is recorded."""
        ours = {one.revision for one in self.acts if one.kind == "rollback"}
        found = []
        for before, after in pairwise(self._replay.revisions):
            if (
                after.row["kind"] == "rolled_back"
                and before.number not in ours
                and before.number in self._seen
            ):
                said = str(after.row["reason"]).removesuffix(".")
                found.append(
                    NotJudged(
                        kind="rollback",
                        name=f"from revision {before.number} at {format_ms(after.began_ms)}",
                        why=f"not made by this policy over what windows tell; then it was: {said}",
                    )
                )
        return tuple(found)

    def _note_judged(self, findings: Sequence[Finding]) -> None:
        for one in findings:
            # of features any will do: a policy judges drift, and not each column
            version = one.version if one.route == "canary" else 0
            key = (one.kind, one.name if one.kind == "quality" else "", one.route, version)
            if one.unjudged is None:
                self._looked_at[key] = None
            elif self._looked_at.get(key, "") is not None:
                self._looked_at[key] = one.sentence.removesuffix(".")

    def look(self, time_ms: int) -> None:
        """Look at a moment, decide, and remember what was decided."""
        number = self._replay.advance(time_ms)
        if number is None:
            return
        connection = self._replay.connection
        revision = get_revision(connection, self._endpoint)
        self._seen.add(revision.number)
        shared = Shared(
            revisions={self._endpoint: revision},
            policies={self._endpoint: self._policy},
            rolled_back=list_barred(connection, revision.model),
            alerts={self._endpoint: tuple(self._open.values())},
            workers=[],
        )
        seen, _ = look_at(self._project, connection, self._endpoint, shared, time_ms)
        self.problems.update(seen.problems)
        self._note_judged(seen.findings)
        self._take(seen, decide(seen.look, seen.history, seen.settings), time_ms)

    def _take(self, seen: Observation, decision: Decision, time_ms: int) -> None:
        for closing in decision.closings:
            self._open.pop(closing.alert.id, None)
            told = self._told[closing.alert.id]
            self._told[closing.alert.id] = msgspec.structs.replace(told, ended_ms=time_ms)
        for number, clean_ms in decision.marks:
            self._open[number] = msgspec.structs.replace(self._open[number], clean_ms=clean_ms)
        for finding in decision.news:
            self._raise(subject_of(finding), finding.sentence, time_ms)
        for opening in decision.openings:
            self._raise(opening.subject, opening.summary, time_ms)
        action = decision.action
        if isinstance(action, RollBack):
            words = f"back to {action.model}/{action.stable}: {action.reason}"
            self._do("rollback", time_ms, seen.revision.number, action.out, words)
        elif isinstance(action, Advance):
            words = f"{action.percent:g} % for version {action.version}: {action.reason}"
            self._do("advance", time_ms, seen.revision.number, action.version, words)

    def _raise(self, subject: Subject, sentence: str, time_ms: int) -> None:
        number = len(self._told) + 1
        self._open[number] = Alert(
            id=number,
            fingerprint=subject.fingerprint,
            endpoint=subject.endpoint,
            name=subject.name,
            labels=subject.labels,
            summary=sentence,
            starts_ms=time_ms,
        )
        self._told[number] = Alarm(
            name=subject.name, labels=subject.labels, sentence=sentence, began_ms=time_ms
        )

    def _do(self, kind: str, time_ms: int, revision: int, version: int, sentence: str) -> None:
        """Note an action once a revision and version: the past went on as it did."""
        if (kind, revision, version) not in self._done:
            self._done.add((kind, revision, version))
            self.acts.append(
                Act(kind=kind, time_ms=time_ms, revision=revision, version=version, sentence=sentence)
            )

    def spared(self, act: Act) -> Act:
        """Add what the version that goes answered after that moment, while its revision lasted."""
        if act.kind != "rollback":
            return act
        connection = self._replay.connection
        later = [
            one
            for one in list_windows(
                connection,
                self._endpoint,
                revisions=[act.revision],
                since_s=act.time_ms // 1000,
                limit=100_000,
            )
            if one.key.version == act.version and one.key.route in ("stable", "canary")
        ]
        newest = get_revision(connection, self._endpoint)
        return msgspec.structs.replace(
            act,
            ended_ms=None
            if newest.number == act.revision or not later
            else 1000 * max(one.end_s for one in later),
            spared_requests=sum(one.request_count for one in later),
            spared_errors=sum(one.error_count for one in later),
        )
