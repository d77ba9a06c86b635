"""The six steps of the demo. Each does what its title says and checks itself; a check that fails ends it."""

from __future__ import annotations

import shlex
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import cycle
from pathlib import Path
from threading import Event
from typing import Any

from penstock.base.background import Background
from penstock.base.errors import Refused
from penstock.base.numbers import counted
from penstock.base.threads import begin
from penstock.demo.deliveries import Flights, Request
from penstock.demo.shop import Shop
from penstock.demo.traffic import Replay, Tally, live_auc

ENDPOINT = "delay"
MODEL = "flight-delay"
ROWS_A_REQUEST = 12
RATE = 260.0
WAIT_S = 900.0  # a limit, not a pause: beside four busy processes a retraining takes minutes

Tell = Callable[[str], None]


@dataclass
class Story:
    """The demo under way: what it found so far, and where it says what it is doing (`busy`)."""

    shop: Shop
    flights: Flights
    busy: Tell
    first_prediction: str = ""
    last_prediction: str = ""
    seen_event: int = 0
    numbers: dict[str, Any] = field(default_factory=dict)

    def launch(self) -> str:
        """Version January to March, train, gate, promote, deploy."""
        shop, raw = self.shop, self.shop.repository / "data" / "raw"
        self.busy("delivering January to March")
        count = sum(self.flights.deliver(month, raw) for month in (1, 2, 3))
        shop.penstock("init")
        shop.penstock("remote", "add", "-d", "storage", str(shop.remote))
        added = shop.penstock("add", "data/raw")
        shop.commit("Deliver January to March")
        self.busy("training through the pipeline")
        shop.penstock("repro")
        shop.commit("Train on January to March")
        shop.penstock("push")
        self.busy("gate, registry, servers")
        verdict = shop.penstock("gate", "run")
        version = shop.penstock("model", "register")
        shop.penstock("promote", f"{MODEL}/1")
        shop.start()
        deployed = shop.penstock("deploy", ENDPOINT, "--model", f"{MODEL}@champion")
        self._check(verdict["passed"] and version["number"] == 1, "version 1 passes its gate")
        self._check(deployed["servers"] == 1, "the serve process took revision 1 over")
        self.numbers["offline_auc"] = version["metrics"]["roc_auc"]
        return (
            f"{counted(count, 'flight')} in {added[0]['nfiles']} files versioned and pushed; {MODEL}/1 passed "
            f"{counted(len(verdict['checks']), 'check')} (ROC AUC {version['metrics']['roc_auc']:.3f} on held-out days) and is live"
        )

    def april(self) -> str:
        """Replay April as live traffic with labels that arrive later."""
        tally = self._replay(4, "April")
        self.first_prediction = tally.first_id or ""
        breach = self._event("guardrail.breached")
        self._event("retrain.waiting")
        endpoint = self._endpoint()
        stable = endpoint["routes"][0]
        drifted = self._drift(breach, endpoint)
        self._check(not tally.failures, f"no request of April fails: {tally.failures[:1]}")
        self._check(stable["label_count"] > 0, "live quality is known")
        self.numbers["april_auc"] = stable["quality"]["roc_auc"]
        return (
            f"{counted(tally.sent, 'request')} for {counted(tally.rows, 'flight')}, 0 failed, p50 {tally.quantile_ms(0.5):.1f} ms, "
            f"p99 {tally.quantile_ms(0.99):.0f} ms; live AUC {stable['quality']['roc_auc']:.3f}, {drifted}: "
            "alerted, a retraining waits for newer data"
        )

    def broken_delivery(self) -> str:
        """Send a delivery with a changed unit through CI."""
        shop, raw = self.shop, self.shop.repository / "data" / "raw"
        before = self._endpoint()["revision"]
        self.busy("April arrives with distances in kilometres")
        shop.git("switch", "--quiet", "--create", "delivery-april")
        self.flights.deliver_in_kilometres(4, raw)
        shop.penstock("add", "data/raw")
        shop.commit("Deliver April")
        self.busy("CI runs on the delivery")
        report = shop.penstock("ci", "run", "--rev", "delivery-april", codes=frozenset({1}))
        shop.git("switch", "--quiet", "main")
        shop.penstock("checkout")
        failed = [check for check in report["checks"] if check["status"] != "pass"]
        self._check(not report["passed"] and report["version"] is None, "CI refuses the delivery")
        self._check([check["kind"] for check in failed] == ["schema"], "the schema check is what refuses it")
        self._check("distance" in failed[0]["sentence"], "the gate names the column")
        tally = self._replay(4, "April, the last days again", only_last=150)
        self._check(
            not tally.failures and set(tally.by_version) == {"1"},
            "production answers from version 1 all along",
        )
        self._check(self._endpoint()["revision"] == before, "production is at the revision it was")
        finding = failed[0]["sentence"].partition(": ")[2].split("; ")[0]
        return f"CI refused it at the gate: {finding}; production stayed at revision {before}"

    def leaked_column(self) -> str:
        """Let a model that learned from what is not known in production out as a canary."""
        shop = self.shop
        self.busy("training with the departure delay as a feature")
        shop.git("switch", "--quiet", "--create", "idea-departure-delay")
        params = shop.repository / "params.yaml"
        text = params.read_text()
        params.write_text(text.replace("visib]", "visib, dep_delay]"))
        shop.commit("Learn from the departure delay too")
        report = shop.penstock("ci", "run", "--rev", "idea-departure-delay")
        shop.git("switch", "--quiet", "main")
        version = report["version"]
        offline = report["metrics"]["roc_auc"]
        self._check(
            report["passed"] and version == f"{MODEL}/2", "the leaked candidate passes the offline gate"
        )
        self._check(offline > self.numbers["offline_auc"] + 0.1, "it looks better offline")
        self.busy("May goes live, the candidate as a canary")
        with self._replaying(5) as tally:
            shop.wait(lambda: tally.sent >= 300, "May's traffic flows", WAIT_S)
            shop.penstock("deploy", ENDPOINT, "--model", version, "--canary", "25")
            rollback = self._event("endpoint.rolled_back")
        finding = next(
            one
            for one in rollback["cause"]["findings"]
            if one["route"] == "canary" and one["kind"] == "quality"
        )
        served = tally.by_version
        self._check(rollback["actor"] == "controller", "the controller rolled it back")
        self._check(not tally.failures, f"no request fails across the rollback: {tally.failures[:1]}")
        self._check(
            tally.sent >= 2000 and served.get("2", 0) > 0, "2,000 requests went across it, some to the canary"
        )
        self._check(
            self._endpoint()["routes"][0]["version"] == f"{MODEL}/1", "version 1 serves all traffic again"
        )
        self.numbers |= {"rollback_requests": tally.sent, "rollback_failures": len(tally.failures)}
        return (
            f"offline AUC {offline:.3f} passed the gate; live {finding['name']} {finding['observed']:.3f} against "
            f"{finding['against']:.3f} rolled it back after {served['2']:,} canary requests; "
            f"{counted(tally.sent, 'request')}, {len(tally.failures)} failed"
        )

    def summer(self) -> str:
        """Meet June and July: drift, decay, retraining, canary, new champion."""
        shop, raw = self.shop, self.shop.repository / "data" / "raw"
        june = self._replay(6, "June")
        breach = self._event("guardrail.breached")
        endpoint = self._endpoint()
        drifted = self._drift(breach, endpoint)
        brier = endpoint["routes"][0]["quality"]["brier"]
        self.busy("April to June are delivered; the controller retrains")
        for month in (4, 5, 6):
            self.flights.deliver(month, raw)
        shop.penstock("add", "data/raw")
        shop.commit("Deliver April to June")
        shop.penstock("push", "data/raw.dvc")
        self._event("retrain.finished")
        self._event("endpoint.canary")
        self.busy("July goes live, the retrained model as a canary")
        with self._replaying(7) as tally:
            promoted = self._event("model.promoted")
            self.shop.wait(lambda: self._serves_all(f"{MODEL}/3"), "version 3 answers all of July", WAIT_S)
        self.last_prediction = tally.last_ids.get("3", "")
        after, before = live_auc([tally], "3"), live_auc([june, tally], "1")
        self._check(not june.failures and not tally.failures, "no request fails in summer")
        self._check(promoted["after"]["version"] == 3, "version 3 becomes champion")
        self._check(self._endpoint()["routes"][0]["version"] == f"{MODEL}/3", "version 3 serves all traffic")
        self._check(after > before, f"it is better on live traffic ({after:.3f} against {before:.3f})")
        self.busy("making what CI made here too, to keep it in git")
        shop.penstock("repro")
        shop.commit("Train on January to June")
        shop.penstock("push")
        same = shop.penstock("model", "show", f"{MODEL}/3")["provenance"]["output"].removeprefix("md5:")
        self._check(
            same in (shop.repository / "dvc.lock").read_text(), "the pipeline made the same model again"
        )
        return (
            f"June: {drifted}, Brier {brier:.3f}; retrained on January to June, gated, canary in July, champion: "
            f"live AUC {after:.3f}, {before:.3f} of {MODEL}/1 before; {counted(june.sent + tally.sent, 'request')}, 0 failed"
        )

    def chain(self) -> str:
        """Ask why of one prediction before and one after, and restore the first."""
        shop = self.shop
        self.busy("walking the chain")
        before = shop.penstock("why", self.first_prediction)
        after = shop.penstock("why", self.last_prediction)
        into = shop.folder / "restored"
        shutil.rmtree(into, ignore_errors=True)
        restored = shop.penstock("restore", self.first_prediction, "--into", str(into))
        inside = Shop(shop.folder, shop.environment)
        inside.repository = into
        repro = inside.penstock("repro")
        data = next(link["key"] for link in before["links"] if link["kind"] == "data")
        newer = next(link["key"] for link in after["links"] if link["kind"] == "data")
        self._check(
            (before["version"], after["version"]) == (f"{MODEL}/1", f"{MODEL}/3"),
            "each leads to its own version",
        )
        self._check(data != newer, "each leads to its own data")
        self._check(repro["up_to_date"], "in the restored directory there is nothing to reproduce")
        return (
            f"{self.first_prediction} -> {before['version']} -> commit {before['commit'][:7]} -> {data[:12]}; "
            f"restored with {restored['outputs']} tracked paths, repro: nothing to do"
        )

    def _replay(self, month: int, name: str, *, only_last: int = 0) -> Tally:
        replay = Replay(self.shop.serve_port, ENDPOINT, rate=RATE)
        requests = list(self.flights.requests(month, ROWS_A_REQUEST))[-only_last:]
        telling = Background(
            "demo-progress",
            lambda: self.busy(f"{name}, day {replay.tally.day}: {counted(replay.tally.sent, 'request')}"),
            0.5,
            failing="progress is not shown",
        )
        telling.start()
        tally = replay.run(requests)
        telling.stop()
        return tally

    @contextmanager
    def _replaying(self, month: int) -> Iterator[Tally]:
        """Send a month's requests meanwhile: all of them, and from the beginning again until the end is reached here."""
        replay = Replay(self.shop.serve_port, ENDPOINT, rate=RATE)
        requests: list[Request] = list(self.flights.requests(month, ROWS_A_REQUEST))
        has_happened, is_given_up = Event(), Event()

        def is_over() -> bool:
            is_whole = replay.tally.sent >= len(requests)
            return is_given_up.is_set() or (has_happened.is_set() and is_whole)

        done = begin("demo-replay", lambda: replay.run(cycle(requests), is_over))
        try:
            yield replay.tally
        except BaseException:
            is_given_up.set()
            raise
        finally:
            has_happened.set()
            done.result()

    def _endpoint(self) -> dict[str, Any]:
        found: dict[str, Any] = self.shop.ask("/api/penstock/v1/endpoints")[0]
        return found

    def _serves_all(self, version: str) -> bool:
        """Say whether a version is the stable one and has answered as such."""
        stable = self._endpoint()["routes"][0]
        return bool(stable["version"] == version and stable["request_count"])

    def _event(self, kind: str) -> dict[str, Any]:
        """Wait for the next event of a kind; later waits look only behind it."""
        found: list[dict[str, Any]] = []

        def happened() -> bool:
            events = self.shop.ask(f"/api/penstock/v1/events?after={self.seen_event}&limit=1000")
            found.extend(event for event in events if event["kind"] == kind)
            return bool(found)

        self.shop.wait(happened, f"the event {kind}", WAIT_S)
        self.seen_event = max(self.seen_event, found[0]["id"])
        return found[0]

    def _drift(self, breach: dict[str, Any], endpoint: dict[str, Any]) -> str:
        """Say which feature drifted most, of those the breach told or the endpoint shows now."""
        told = {
            one["name"]: float(one["observed"])
            for one in breach["cause"]["findings"]
            if one["kind"] == "drift"
        }
        shown = [one for one in endpoint["findings"] if one["kind"] == "drift" and one["breached"]]
        self._check(bool(told or shown), "drift is found")
        if not told:
            return str(shown[0]["sentence"]).partition(": ")[2].partition(";")[0]
        name = max(told, key=lambda one: told[one])
        return f"PSI of {name} {told[name]:.2f}"

    def _check(self, holds: bool, what: str) -> None:
        if not holds:
            raise Refused(
                f"the demo expected that {what}", code="demo.step_failed", hint=f"look at {self.shop.folder}"
            )


STEPS: tuple[tuple[str, Callable[[Story], str]], ...] = (
    ("From data to production", Story.launch),
    ("April goes live", Story.april),
    ("A broken delivery", Story.broken_delivery),
    ("A model that cheated", Story.leaked_column),
    ("Summer", Story.summer),
    ("Why, and back again", Story.chain),
)


def further_commands(story: Story, program: str, folder: Path) -> tuple[str, ...]:
    """Return the commands that show more of what the demo left; `program` is how penstock is called here."""
    start = f"{program} -C {shlex.quote(str(folder))}"
    return (
        f"{start} log",
        f"{start} why {story.last_prediction}",
        f"{start} up        # pages on http://127.0.0.1:5000",
    )
