"""The controller: watch every endpoint, and act on what is found: alert, roll back, advance, retrain.

One process acts at a time (a lease); every decision names the revision it was made on, so a second one
that slept through its lease changes nothing. A tick that is killed leaves no half decision: the next tick,
of this process or another, sees the store as it is and goes on.
"""

from __future__ import annotations

import os
import socket
import threading
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import msgspec

from penstock.base.clock import now_ms
from penstock.base.errors import Conflict, NotFound, PenstockError, Refused
from penstock.base.store.events import list_events, record_event
from penstock.flows.models.aliases import apply_promotion, plan_promotion
from penstock.flows.production.deploying import apply_deployment, plan_deployment, plan_rollback
from penstock.flows.production.retraining import Retraining
from penstock.flows.production.watching import Observation, observe
from penstock.monitoring.alerts import make_alert, post_alert
from penstock.monitoring.findings import Finding, add_findings
from penstock.monitoring.lease import acquire, release
from penstock.project.project import Project
from penstock.serving.deployments import list_endpoints, list_revisions

LEASE = "controller"
LEASE_S = 10.0


class Controller:
    """Acts on endpoints, a tick at a time. Not thread-safe; the caller ticks it from one thread."""

    def __init__(self, project: Project) -> None:
        self.project = project
        self.holder = f"{socket.gethostname()}:{os.getpid()}"
        self.retraining = Retraining(project)
        self._told: set[tuple[str, int, str, str, str]] = set()

    def tick(self) -> int:
        """Look at every endpoint once and act; return how many were looked at, 0 without the lease."""
        with self.project.database.write() as connection:
            if not acquire(connection, LEASE, self.holder, LEASE_S, now_ms()):
                return 0
        with self.project.database.read() as connection:
            names = [revision.endpoint for revision in list_endpoints(connection)]
        watched = [name for name in names if name in self.project.settings.endpoints]
        for name in watched:
            try:
                self._handle(observe(self.project, name))
            except Conflict:
                continue  # somebody deployed meanwhile: the next tick sees it
        return len(watched)

    def close(self) -> None:
        """End a retraining under way and give the lease back."""
        self.retraining.stop()
        with self.project.database.write() as connection:
            release(connection, LEASE, self.holder)

    def _handle(self, seen: Observation) -> None:
        news = [finding for finding in seen.breaches if self._is_news(finding)]
        ids = self._note(seen, news) if news else []
        to_roll_back = [finding for finding in seen.breaches if self._calls_for_rollback(seen, finding)]
        if to_roll_back and self._roll_back(seen, to_roll_back, ids):
            return
        if seen.revision.canary is not None:
            if not any(finding.route == "canary" and finding.kind != "drift" for finding in seen.breaches):
                self._advance(seen)
            return
        done = self.retraining.poll(seen.endpoint)
        if done is not None:
            self._take_over(seen, done)
            return
        causes = seen.settings.retrain.causes if seen.settings.retrain else ()
        wanting = [finding for finding in seen.breaches if finding.kind in causes]
        if wanting:
            self.retraining.consider(seen, wanting)

    def _is_news(self, finding: Finding) -> bool:
        key = (finding.endpoint, finding.revision, finding.route, finding.kind, finding.name)
        if key in self._told:
            return False
        self._told.add(key)
        return not self._was_told(key)

    def _was_told(self, key: tuple[str, int, str, str, str]) -> bool:
        endpoint, revision, route, kind, name = key
        with self.project.database.read() as connection:
            events = list_events(
                connection, subject=f"endpoint:{endpoint}", kind="guardrail.breached", limit=200
            )
        known = [event.cause for event in events]
        return any(
            cause.get("revision") == revision
            and any(
                (item["route"], item["kind"], item["name"]) == (route, kind, name)
                for item in cause.get("findings", ())
            )
            for cause in known
        )

    def _note(self, seen: Observation, news: list[Finding]) -> list[int]:
        """Write new breaches with one event, and tell the webhooks."""
        first = news[0]
        more = f"; and {len(news) - 1} more" if len(news) > 1 else ""
        summary = (
            f"{seen.endpoint} {first.route} ({seen.revision.model}/{first.version}): {first.sentence}{more}"
        )
        with self.project.database.write() as connection:
            ids = add_findings(connection, news)
            record_event(
                connection,
                "guardrail.breached",
                f"endpoint:{seen.endpoint}",
                self.project.actor,
                summary,
                cause={"revision": seen.revision.number, "findings": evidence_of(news), "finding_ids": ids},
            )
        self._alert(seen.endpoint, first, summary)
        return ids

    def _alert(self, endpoint: str, finding: Finding, summary: str) -> None:
        labels = {"endpoint": endpoint, "kind": finding.kind, "name": finding.name, "route": finding.route}
        body = make_alert("PenstockGuardrailBreached", labels, summary, datetime.now(UTC).isoformat())
        for webhook in self.project.settings.alerts.webhooks:
            threading.Thread(target=self._post, args=(endpoint, webhook.url, body), daemon=True).start()

    def _post(self, endpoint: str, url: str, body: dict[str, Any]) -> None:
        try:
            post_alert(url, body)
        except PenstockError as error:
            with self.project.database.write() as connection:
                record_event(
                    connection, "alert.failed", f"endpoint:{endpoint}", self.project.actor, error.message
                )

    def _calls_for_rollback(self, seen: Observation, finding: Finding) -> bool:
        """Whether a breach is the model's fault and an earlier state is the answer.

        On the stable route, what a retraining answers is not rolled back, and drift is the data's; so is
        a canary's drift that stable shows too.
        """
        if finding.action is not None:
            return finding.action == "rollback"
        if "rollback" not in seen.settings.on_breach:
            return False
        if finding.route == "canary":
            return finding.kind != "drift" or not self._drifts_on_stable_too(seen, finding)
        answered = seen.settings.retrain.causes if seen.settings.retrain else ()
        return finding.kind != "drift" and finding.kind not in answered and seen.revision.canary is None

    def _drifts_on_stable_too(self, seen: Observation, finding: Finding) -> bool:
        """Whether the same feature drifted on the stable route: the world changed, not the canary."""
        return any(
            other.route == "stable" and other.kind == "drift" and other.name == finding.name
            for other in seen.breaches
        )

    def _roll_back(self, seen: Observation, findings: list[Finding], ids: list[int]) -> bool:
        first = next((finding for finding in findings if finding.route == "canary"), findings[0])
        reason = f"{first.route} breached its {first.kind} guardrail: {first.sentence}"
        cause = {"findings": evidence_of(findings), "finding_ids": ids, "seen_revision": seen.revision.number}
        if seen.revision.canary is None and not self._had_another(seen):
            return False
        try:
            plan = plan_rollback(self.project, seen.endpoint, reason=reason, cause=cause)
        except Refused:
            return False
        if plan.before is None or plan.before.number != seen.revision.number:
            raise Conflict("the endpoint moved", code="serving.revision_moved")
        apply_deployment(self.project, plan)
        return True

    def _had_another(self, seen: Observation) -> bool:
        """Whether the stable version came with the current run of revisions, so that it is the suspect."""
        with self.project.database.read() as connection:
            history = list_revisions(connection, seen.endpoint)
        rolled_back = any(
            revision.cause.get("findings") for revision in history if revision.stable == seen.revision.stable
        )
        return not rolled_back and any(revision.stable != seen.revision.stable for revision in history)

    def _advance(self, seen: Observation) -> None:
        """Give a healthy canary its next share, or all traffic and the alias."""
        canary, rollout = seen.revision.canary, seen.settings.rollout
        if canary is None or not seen.revision.steps or seen.canary is None:
            return
        age_s = (now_ms() - seen.revision.created_ms) / 1000
        routes = [window for window in seen.windows if window.key.route == "canary"]
        requests = sum(window.request_count for window in routes)
        labels = sum(window.quality.label_count for window in routes)
        if age_s < rollout.hold_s or requests < rollout.min_requests or labels < rollout.min_labels:
            return
        percent = seen.revision.steps[0]
        reference = f"{seen.revision.model}/{canary.version}"
        evidence = {
            "requests": requests,
            "labels": labels,
            "findings": evidence_of([finding for finding in seen.findings if finding.route == "canary"]),
        }
        shown = next(
            (
                finding.sentence
                for finding in seen.findings
                if finding.route == "canary" and finding.kind == "quality"
            ),
            "",
        )
        reason = f"{reference} kept every guardrail at {canary.percent:g} % over {requests} requests and {labels} labels"
        reason += f": {shown}" if shown else ""
        plan = plan_deployment(
            self.project, seen.endpoint, reference, canary=percent if percent < 100 else None, reason=reason
        )
        if plan.before is None or plan.before.number != seen.revision.number:
            raise Conflict("the endpoint moved", code="serving.revision_moved")
        if percent >= 100:
            self._promote(seen, reference, evidence)
        draft = msgspec.structs.replace(plan.draft, cause=evidence)
        apply_deployment(self.project, replace(plan, draft=draft))

    def _promote(self, seen: Observation, reference: str, evidence: dict[str, Any]) -> None:
        name, _, alias = seen.settings.model.partition("@")
        if not alias or name != seen.revision.model:
            return
        promotion = plan_promotion(self.project, reference, alias)
        if not promotion.changes_nothing:
            apply_promotion(self.project, promotion, cause={"canary": evidence})

    def _take_over(self, seen: Observation, reference: str) -> None:
        """Send what a retraining made out as a canary."""
        percent = seen.settings.rollout.steps[0]
        reason = f"retrained model {reference} goes out"
        try:
            plan = plan_deployment(
                self.project,
                seen.endpoint,
                reference,
                canary=percent if percent < 100 else None,
                reason=reason,
            )
        except (NotFound, Refused) as error:
            with self.project.database.write() as connection:
                record_event(
                    connection,
                    "retrain.refused",
                    f"endpoint:{seen.endpoint}",
                    self.project.actor,
                    error.message,
                )
            return
        apply_deployment(self.project, plan)


def evidence_of(findings: list[Finding]) -> list[dict[str, Any]]:
    """Return findings as JSON for an event."""
    decoded: list[dict[str, Any]] = msgspec.json.decode(msgspec.json.encode(findings))
    return decoded
