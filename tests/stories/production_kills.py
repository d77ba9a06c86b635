"""Kill the controller and serve processes at random moments of rollouts and rollbacks, and look for what is not whole.

A real `penstock server` and `penstock serve` over one store, a client that does not stop, and versions that are good
or fail for a half of the requests. `bench/bench_kills.py` kills a hundred times, the suite a few times.
"""

from __future__ import annotations

import http.client
import json
import random
import threading
import time
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, cast

import sqlalchemy as sa

from patience import PATIENCE_S
from penstock.base.store.events import events
from penstock.flows.production.deploying import plan_deployment
from penstock.flows.production.revising import apply_deployment
from penstock.monitoring.alerts import alerts, deliveries
from penstock.monitoring.findings import findings
from penstock.monitoring.windows import windows
from penstock.registry.aliases import find_alias
from penstock.registry.tables import alias_moves, version_states
from penstock.serving.deployments import Revision, get_revision, list_revisions
from penstock.workspace import open_workspace
from projects import Sample
from servers.forking import Forked, start_penstock
from servers.ports import reserve
from servers.receiver import Receiver
from stories.live import get, wait_until
from stories.versions import Versions

Story = Literal["bad canary", "good canary", "bad version"]
STORIES: tuple[Story, ...] = ("bad canary", "good canary", "bad version", "good canary")
SETTLED_S = 150.0
SETTINGS = """\
project: sample
model: {name: late, path: models/late}
endpoints:
  delay:
    model: late@champion
    rollout: {steps: [20, 60, 100], min_requests: 8, hold_s: 0}
    monitor: {window_s: 1, windows: 20, flush_s: 0.1}
    guardrails:
      - errors: {max_ratio: 0.05}
    on_breach: [rollback, alert]
alerts:
  webhooks:
    - {url: "URL", format: json}
"""


class Program:
    """`penstock server` or `penstock serve`, started again after each kill."""

    def __init__(self, name: str, health: str, root: Path, store: str | None) -> None:
        self.name, self.port = name, reserve()
        self.log = root.with_name(f"{name}.log")
        self.starts_s: list[float] = []
        self._health, self._root = health, root
        self._variables = {"PENSTOCK_STORE": store} if store else {}
        self._process: Forked | None = None
        self._begun = 0.0

    def start(self) -> None:
        """Start it."""
        self._begun = time.monotonic()
        command = ["-q", "-C", str(self._root), self.name, "--port", str(self.port)]
        with self.log.open("ab") as log:
            self._process = start_penstock(command, self._root, log.fileno(), **self._variables)

    def wait(self) -> None:
        """Wait until it answers; a start that fails is an error."""
        wait_until(self._answers)
        self.starts_s.append(time.monotonic() - self._begun)

    def kill(self) -> None:
        """End it as a power cut would."""
        if self._process is not None:
            self._process.kill()

    def _answers(self) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, self.log.read_text()[-3000:]
        try:
            return get(self.port, self._health)[0] == 200
        except (OSError, http.client.HTTPException):
            return False


class Traffic(threading.Thread):
    """Asks all the time, tells the truth of what was answered, and counts what it was promised."""

    def __init__(self, port: int, seed: int, rate: float) -> None:
        super().__init__(daemon=True)
        self.sent = self.answered = self.labels_kept = self.labels_unsure = 0
        self.stopping = threading.Event()
        self._port, self._pick, self._pause_s = port, random.Random(seed), 1 / rate
        self._ids: list[str] = []

    def run(self) -> None:
        connection: http.client.HTTPConnection | None = None
        while not self.stopping.wait(self._pause_s):
            connection = connection or http.client.HTTPConnection("127.0.0.1", self._port, timeout=PATIENCE_S)
            try:
                self._ask(connection)
                if len(self._ids) >= 20:
                    self._tell(connection)
            except (OSError, http.client.HTTPException):
                connection.close()
                connection = None
        if connection is not None:
            connection.close()

    def _ask(self, connection: http.client.HTTPConnection) -> None:
        hour, wind = self._pick.randrange(24), abs(self._pick.gauss(10, 3))
        inputs = [
            {"name": "hour", "shape": [1], "datatype": "INT64", "data": [hour]},
            {"name": "wind", "shape": [1], "datatype": "FP64", "data": [wind]},
            {"name": "carrier", "shape": [1], "datatype": "BYTES", "data": [self._pick.choice(["AA", "DL"])]},
        ]
        self.sent += 1
        connection.request("POST", "/v2/models/delay/infer", json.dumps({"inputs": inputs}))
        response = connection.getresponse()
        answer = json.loads(response.read())
        if response.status == 200:
            self.answered += 1
            self._ids.append(answer["parameters"]["penstock-prediction-id"])

    def _tell(self, connection: http.client.HTTPConnection) -> None:
        labels = [{"prediction_id": one, "label": self._pick.randrange(2)} for one in self._ids]
        self._ids.clear()
        self.labels_unsure += len(labels)
        connection.request("POST", "/v2/models/delay/feedback", json.dumps(labels))
        answer = json.loads(connection.getresponse().read())
        self.labels_unsure -= len(labels)
        self.labels_kept += answer["accepted"]


@dataclass
class Outcome:
    """What a run of kills came to. `faults` are what was not whole, in words."""

    kills: Counter[str] = field(default_factory=Counter)
    moments: Counter[str] = field(default_factory=Counter)
    stories: Counter[str] = field(default_factory=Counter)
    starts_s: dict[str, list[float]] = field(default_factory=dict)
    counts: dict[str, int] = field(default_factory=dict)
    faults: list[str] = field(default_factory=list)


class Production:
    """The sample project in production, to be killed.

    Args:
        store: the URL of a store that is empty, None for the project's own SQLite file.
    """

    def __init__(self, root: Path, receiver: Receiver, store: str | None = None, seed: int = 0) -> None:
        self._sample = Sample.make(root)
        self._sample.write("penstock.yaml", SETTINGS.replace("URL", receiver.url))
        self._store, self._receiver = store, receiver
        variables = {"USER": "ada", **({"PENSTOCK_STORE": store} if store else {})}
        self._project = open_workspace(root, variables)
        self._versions, self._pick = Versions(self._project), random.Random(seed)
        self._server = Program("server", "/health", root, store)
        self._serve = Program("serve", "/v2/health/live", root, store)
        self._traffic = Traffic(self._serve.port, seed, rate=60)
        self.outcome = Outcome()

    def run(self, kills: int) -> Outcome:
        """Deploy one version after the other and kill; then let everything settle and look at all of it."""
        try:
            apply_deployment(
                self._project, plan_deployment(self._project, "delay", self._versions.make(good=True))
            )
            for program in (self._server, self._serve):
                program.start()
            for program in (self._server, self._serve):
                program.wait()
            self._traffic.start()
            while self.outcome.kills.total() < kills:
                self._play(STORIES[self.outcome.stories.total() % len(STORIES)], kills)
            self._settle()
            self._audit()
        finally:
            self._traffic.stopping.set()
            if self._traffic.ident is not None:
                self._traffic.join(PATIENCE_S)
            for program in (self._server, self._serve):
                program.kill()
                self.outcome.starts_s[program.name] = program.starts_s
            self._project.close()
        return self.outcome

    def _play(self, story: Story, kills: int) -> None:
        """Deploy a version and kill at random moments until it has its end."""
        reference = self._versions.make(good=story == "good canary")
        canary = None if story == "bad version" else 20.0
        plan = plan_deployment(self._project, "delay", reference, canary=canary, reason=story)
        begun = apply_deployment(self._project, plan).number
        self.outcome.stories[story] += 1
        deadline = time.monotonic() + SETTLED_S
        while not self._is_decided(begun):
            if time.monotonic() > deadline:
                self.outcome.faults.append(f"{reference} ({story}) was never decided")
                return
            self._wait_for_a_moment(begun)
            if self.outcome.kills.total() < kills:
                self._kill(begun)

    def _wait_for_a_moment(self, begun: int) -> None:
        """Wait for a while, or until just after the next decision."""
        seen = self._current().number
        is_any = self._pick.random() < 0.5
        until = time.monotonic() + (self._pick.uniform(0, 2.5) if is_any else SETTLED_S)
        while time.monotonic() < until and not self._is_decided(begun) and self._current().number == seen:
            time.sleep(0.01)
        time.sleep(self._pick.uniform(0, 0.2))

    def _kill(self, begun: int) -> None:
        chosen = self._pick.choice(["server", "server", "serve", "both"])
        programs = {"server": [self._server], "serve": [self._serve], "both": [self._server, self._serve]}
        for program in programs[chosen]:
            program.kill()
        now = self._current()
        self.outcome.kills[chosen] += 1
        self.outcome.moments[now.kind if now.number > begun else f"{now.kind} by hand"] += 1
        for program in programs[chosen]:
            program.start()
        for program in programs[chosen]:
            program.wait()

    def _settle(self) -> None:
        """Wait until nothing is under way, then stop the traffic and let the last of it be written."""
        wait_until(lambda: self._current().canary is None, SETTLED_S)
        self._traffic.stopping.set()
        self._traffic.join(PATIENCE_S)
        with suppress(AssertionError):
            wait_until(lambda: self._count(deliveries, deliveries.c.sent_ms.is_(None)) == 0, SETTLED_S)

    def _current(self) -> Revision:
        with self._project.database.read() as connection:
            return get_revision(connection, "delay")

    def _is_decided(self, begun: int) -> bool:
        now = self._current()
        return now.number > begun and now.canary is None

    def _count(self, table: sa.Table, wanted: sa.ColumnElement[bool]) -> int:
        with self._project.database.read() as connection:
            return cast(int, connection.scalar(sa.select(sa.func.count()).select_from(table).where(wanted)))

    def _audit(self) -> None:
        """Look at all that was decided: each once, with all that belongs to it."""
        with self._project.database.read() as connection:
            audit = Audit(connection, self.outcome.faults)
            audit.revisions()
            audit.breaches()
            audit.alias()
            audit.deliveries(self._receiver)
            self.outcome.counts = {**audit.counts(), **self._traffic_counts(connection)}

    def _traffic_counts(self, connection: sa.Connection) -> dict[str, int]:
        seen, labels = connection.execute(
            sa.select(sa.func.sum(windows.c.request_count), sa.func.sum(windows.c.label_count))
        ).one()
        sent, kept, unsure = self._traffic.sent, self._traffic.labels_kept, self._traffic.labels_unsure
        if seen > sent:
            self.outcome.faults.append(f"{seen} requests are counted of {sent}")
        if not kept <= labels <= kept + unsure:
            self.outcome.faults.append(
                f"{labels} labels are counted; {kept} were acknowledged, {unsure} unsure"
            )
        counts = {
            "requests_sent": sent,
            "requests_answered": self._traffic.answered,
            "requests_counted": seen,
        }
        return {**counts, "labels_acknowledged": kept, "labels_unsure": unsure, "labels_counted": labels}


class Audit:
    """Finds what is not whole in a store."""

    def __init__(self, connection: sa.Connection, faults: list[str]) -> None:
        self._connection, self._faults = connection, faults
        self._revisions = sorted(list_revisions(connection, "delay"), key=lambda one: one.number)
        self._events = [dict(row) for row in connection.execute(sa.select(events)).mappings()]
        self._alerts = [dict(row) for row in connection.execute(sa.select(alerts)).mappings()]
        self._findings = set(connection.scalars(sa.select(findings.c.id)))
        if connection.dialect.name == "sqlite":
            self._expect(connection.exec_driver_sql("PRAGMA integrity_check").scalar() == "ok", "damaged")

    def _expect(self, is_so: bool, fault: str) -> None:
        if not is_so:
            self._faults.append(fault)

    def revisions(self) -> None:
        """Every revision has its event once; a decision its evidence, alert and version state; none comes twice."""
        self._expect(
            [one.number for one in self._revisions] == list(range(1, len(self._revisions) + 1)), "gaps"
        )
        gone: list[int] = []
        won: list[int] = []
        before: Revision | None = None
        for one in self._revisions:
            told = [row for row in self._events if row["after"].get("revision") == one.number]
            self._expect(len(told) == 1, f"revision {one.number} has {len(told)} events")
            if one.kind in {"rolled_back", "promoted"} and before is not None:
                out = before.canary.version if before.canary else before.stable
                (gone if one.kind == "rolled_back" else won).append(out)
                self._told(one, out, told)
            if one.kind in {"promoted", "advanced"}:
                self._expect(bool(one.cause.get("findings")), f"revision {one.number} has no evidence")
            before = one
        self._expect(len(gone) == len(set(gone)), f"rolled back twice: {gone}")
        self._expect(len(won) == len(set(won)), f"promoted twice: {won}")
        self._expect(not set(won) & set(gone), "a good version was taken back")
        states = list(self._connection.execute(sa.select(version_states)).mappings())
        back = [row["number"] for row in states if row["state"] == "rolled_back"]
        self._expect(sorted(back) == sorted(gone), f"states {sorted(back)}, rolled back {sorted(gone)}")

    def _told(self, one: Revision, out: int, told: list[dict[str, Any]]) -> None:
        if one.kind == "rolled_back":
            ids = one.cause.get("finding_ids") or []
            self._expect(
                bool(ids) and set(ids) <= self._findings, f"revision {one.number} lacks its findings"
            )
            self._expect(
                sum(row["kind"] == "model.rolled_back" and row["subject"] == f"model:late/{out}" for row in self._events) == 1,
                f"late/{out} has no event of its rollback, or several",
            )  # fmt: skip
        name = "PenstockRolledBack" if one.kind == "rolled_back" else "PenstockPromoted"
        alerts = [row for row in self._alerts if row["name"] == name and row["labels"]["revision"] == str(one.number)]  # fmt: skip
        self._expect(len(alerts) == 1, f"revision {one.number} has {len(alerts)} alerts {name}")
        self._expect(all(row["event_id"] == told[0]["id"] for row in alerts), "an alert of another event")

    def breaches(self) -> None:
        """Every breach was told once, with the findings that it names."""
        told = [row for row in self._events if row["kind"] == "guardrail.breached"]
        named = [number for row in told for number in row["cause"]["finding_ids"]]
        self._expect(set(named) <= self._findings, "a breach names findings that are not there")
        self._expect(len(named) == len(set(named)), "a finding is of two breaches")
        for row in told:
            opened = [one for one in self._alerts if one["event_id"] == row["id"]]
            self._expect(
                len(opened) == len(row["cause"]["finding_ids"]), f"event {row['id']} has {len(opened)} alerts"
            )
        decided = [number for one in self._revisions for number in one.cause.get("finding_ids", [])]
        self._expect(self._findings == {*named, *decided}, "there are findings that nothing names")

    def alias(self) -> None:
        """The alias went with each promotion once, back with each rollback of what it pointed at, and is at stable."""
        found = find_alias(self._connection, "late", "champion")
        promoted = sum(one.kind == "promoted" for one in self._revisions)
        moves = self._connection.scalar(sa.select(sa.func.count()).select_from(alias_moves))
        self._expect(moves == promoted, f"{moves} moves of the alias for {promoted} promotions")
        stable = [one.stable for one in self._revisions if one.kind == "promoted"]
        at = found.version if found else None
        self._expect(at == (stable[-1] if stable else None), f"the alias is at {at}")
        self._expect(
            not stable or self._revisions[-1].stable == stable[-1], "what is served is not the alias"
        )

    def deliveries(self, receiver: Receiver) -> None:
        """Every alert was posted under an id of its own; a second post of it is the same to the letter."""
        posted: dict[str, set[bytes]] = {}
        for request in receiver.requests:
            posted.setdefault(request.headers["Penstock-Delivery-Id"], set()).add(request.body)
        rows = list(self._connection.execute(sa.select(deliveries)).mappings())
        self._expect(all(row["sent_ms"] for row in rows), "an alert still waits")
        self._expect({str(row["id"]) for row in rows} == set(posted), "what was posted is not what was to be")
        self._expect(all(len(bodies) == 1 for bodies in posted.values()), "one id, two bodies")
        told = Counter((row["alert_id"], row["status"]) for row in rows)
        self._expect(max(told.values(), default=1) == 1, "an alert has two deliveries of one kind")
        for row in self._alerts:
            self._expect((row["id"], "firing") in told, f"alert {row['id']} was never told")

    def counts(self) -> dict[str, int]:
        """Return how much there was to look at."""
        kinds = Counter(one.kind for one in self._revisions)
        sums = {"events": len(self._events), "alerts": len(self._alerts), "findings": len(self._findings)}
        return {**{f"revisions_{kind}": count for kind, count in sorted(kinds.items())}, **sums}
