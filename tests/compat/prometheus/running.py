"""Real servers of ours under load, scraped by the real Prometheus, which tells the real Alertmanager."""

from __future__ import annotations

import json
import re
import shutil
import signal
import ssl
import subprocess
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Sequence
from contextlib import suppress
from itertools import count, product
from pathlib import Path
from typing import Any

from prometheus_client import CollectorRegistry

from patience import PATIENCE_S
from penstock.flows.observing.alerting import rules_of, write_rules
from penstock.flows.production.deploying import plan_deployment
from penstock.flows.production.revising import apply_deployment
from penstock.http.prometheus.watched import Counted, MetricsServer, Watching, join_registry
from penstock.monitoring.prometheus.writing import RuleFile
from penstock.monitoring.windows import Partial, Window, WindowKey, add_partials
from penstock.serving.deployments import get_revision
from penstock.serving.told.current import Current
from penstock.workspace import open_workspace
from servers.ports import reserve
from serving.certificates import Authority
from stories.live import Client, wait_until

FURTHER = (
    "latency: {p99_ms: 5000}",
    "quality: {metric: accuracy, min: 0.999, min_labels: 20, action: alert}",
    "freshness: {max_silence_s: 3600, action: alert}",
    "values: {out_of_range_max: 0.9, action: alert}",
    "slices: {metric: accuracy, max_drop: 0.9, action: alert}",
)
"""Guardrails beside those that the sample has; no model is right as often as the second one asks."""
SERVES = re.compile(r"(?:serve|serving|controller) on (https?://\S+?)[,; ]")
UNVERIFIED = ssl.create_default_context()
UNVERIFIED.check_hostname, UNVERIFIED.verify_mode = False, ssl.CERT_NONE


class Stack:
    """`penstock serve --workers 2`, `penstock server`, Prometheus, Alertmanager. `stop` ends what `start` began."""

    def __init__(self, root: Path, place: Path, webhook: str) -> None:
        self.root, self.place, self._webhook = root, place, webhook
        self._processes: list[subprocess.Popen[bytes]] = []
        self._watched: MetricsServer | None = None
        _guard(root)
        self.project = open_workspace(root)
        apply_deployment(self.project, plan_deployment(self.project, "delay", "late/1"))
        apply_deployment(self.project, plan_deployment(self.project, "delay", "late/2", canary=30))
        self.rules: RuleFile = rules_of(self.project)
        write_rules(self.rules, place / "penstock.rules.yml", with_tests=False)
        self.begun_s = time.time()

    def start(self) -> None:
        """Start all, and wait until Prometheus scrapes ours: two processes, and what a watched service would tell."""
        ours = [sys.executable, "-m", "penstock.cli", "-C", str(self.root)]
        self._start("serve", [*ours, "serve", "--port", "0", "--workers", "2"])
        cert, key = Authority(self.place).sign("server")
        spoken = ["--tls-cert", str(cert), "--tls-key", str(key)]
        self._start("server", [*ours, "server", "--port", "0", *spoken])
        self.urls = {name: self._said(name) for name in ("serve", "server")}
        self._watched = MetricsServer(0, "127.0.0.1", watched_registry())
        self.urls["watched"] = f"http://127.0.0.1:{self._watched.port}"
        self._watch()

    def _watch(self) -> None:
        prometheus, alertmanager = reserve(), reserve()
        self.prometheus = f"http://127.0.0.1:{prometheus}"
        jobs = [
            {
                "job_name": name,
                "scheme": url.partition("://")[0],
                "tls_config": {"insecure_skip_verify": True},
                "static_configs": [{"targets": [url.partition("://")[2]]}],
            }
            for name, url in self.urls.items()
        ]
        _write(
            self.place / "prometheus.yml",
            {
                "global": {"scrape_interval": "1s", "evaluation_interval": "1s"},
                "rule_files": ["penstock.rules.yml"],
                "scrape_configs": jobs,
                "alerting": {
                    "alertmanagers": [{"static_configs": [{"targets": [f"127.0.0.1:{alertmanager}"]}]}]
                },
            },
        )
        route = {"receiver": "hook", "group_by": ["endpoint"], "group_wait": "0s", "group_interval": "1s"}
        _write(
            self.place / "alertmanager.yml",
            {"route": route, "receivers": [{"name": "hook", "webhook_configs": [{"url": self._webhook}]}]},
        )
        self._start(
            "alertmanager",
            ["prometheus-alertmanager", "--config.file", "alertmanager.yml", "--storage.path", "alertmanager",
             "--web.listen-address", f"127.0.0.1:{alertmanager}", "--cluster.listen-address", ""],
        )  # fmt: skip
        self._start(
            "prometheus",
            ["prometheus", "--config.file", "prometheus.yml", "--storage.tsdb.path", "prometheus",
             "--web.listen-address", f"127.0.0.1:{prometheus}"],
        )  # fmt: skip
        wait_until(self._is_up)

    def _is_up(self) -> bool:
        with suppress(OSError, AssertionError):
            return len(self.query("up == 1")) == 3
        return False

    def load(self, count: int = 200) -> None:
        """Send requests and labels: every recorded ratio shall have something to be of."""
        client = Client(int(self.urls["serve"].rpartition(":")[2]))
        client.send(count)
        assert set(client.statuses) == {200}

    def fail_canary(self) -> None:
        """Let the store have windows in which the canary alone fails: the controller takes it out."""
        with self.project.database.read() as connection:
            now = get_revision(connection, "delay")
        assert now.canary is not None
        start_s, sequence = int(time.time()), count(1)
        traffic = ((now.stable, "stable", 200, 0), (now.canary.version, "canary", 100, 60))
        with self.project.database.write() as connection:
            for ago_s, (version, route, requests, errors) in product(range(3), traffic):
                window = Window(
                    key=WindowKey("delay", start_s - ago_s, now.number, version, route),
                    window_s=1,
                    request_count=requests,
                    error_count=errors,
                    error_run_count=errors,
                )
                add_partials(connection, [Partial(window=window, worker=99, sequence=next(sequence))])

    def query(self, expr: str) -> list[dict[str, Any]]:
        """Return what Prometheus answers now."""
        return list(self._ask("query", query=expr))

    def values(self, expr: str) -> list[str]:
        """Return every number that an expression had since the beginning."""
        now_s = time.time()
        found = self._ask("query_range", query=expr, start=str(self.begun_s), end=str(now_s), step="1")
        return [pair[1] for one in found for pair in one["values"] if pair[1] != "NaN"]

    def _ask(self, what: str, **parameters: str) -> Any:
        url = f"{self.prometheus}/api/v1/{what}?{urllib.parse.urlencode(parameters)}"
        try:
            with urllib.request.urlopen(url, timeout=PATIENCE_S) as answer:
                return json.load(answer)["data"]["result"]
        except urllib.error.HTTPError as error:
            raise AssertionError(f"{parameters['query']}: {error.read().decode()}") from None

    def scrape(self, name: str) -> str:
        """Return the metrics of one of our processes."""
        url, context = f"{self.urls[name]}/metrics", UNVERIFIED
        with urllib.request.urlopen(url, timeout=PATIENCE_S, context=context) as answer:
            return str(answer.read().decode())

    def _start(self, name: str, command: Sequence[str]) -> None:
        program = shutil.which(command[0])
        assert program is not None, command[0]
        with (self.place / f"{name}.log").open("wb") as log:
            self._processes.append(
                subprocess.Popen([program, *command[1:]], cwd=self.place, stdout=log, stderr=log)
            )

    def _said(self, name: str) -> str:
        log = self.place / f"{name}.log"
        wait_until(lambda: SERVES.search(log.read_text()) is not None)
        found = SERVES.search(log.read_text())
        assert found is not None
        return found[1]

    def stop(self) -> None:
        """End everything, the last first."""
        self.project.close()
        if self._watched is not None:
            self._watched.close()
        for process in reversed(self._processes):
            process.send_signal(signal.SIGTERM)
        for process in self._processes:
            process.wait(PATIENCE_S)


def _guard(root: Path) -> None:
    """Let the endpoint's policy limit all that a policy can, and its canary stay one."""
    settings = root / "penstock.yaml"
    text = settings.read_text()
    for old, new in (
        ("min_requests: 50,", "min_requests: 1000000,"),
        ("flush_s: 0.1}", "flush_s: 0.1, slices: [{feature: carrier, min_labels: 20}]}"),
        ("    guardrails:\n", "    guardrails:\n" + "".join(f"      - {one}\n" for one in FURTHER)),
    ):
        assert old in text
        text = text.replace(old, new)
    settings.write_text(text)


def watched_registry() -> CollectorRegistry:
    """Return what a service with one watched function tells."""
    now = Current(endpoint="watched", endpoint_id=9, revision=1, model="late", version=1)
    key = ("watched", "1", "stable")
    counted = Counted(
        requests={("watched", "ok"): 7, ("watched", "error"): 1},
        errors={(*key, "model_failed"): 1},
        durations={key: ((5, 2, 0), 0.1)},
        buckets_s=(0.01, 0.1),
        dropped={"watched": 0},
        hook_failures={"watched": 0},
        current=(now,),
        waiting_bytes=0,
        max_bytes=1000,
    )
    registry = CollectorRegistry()
    assert join_registry(Watching(lambda: counted, "0"), registry)
    return registry


def _write(path: Path, document: Any) -> None:
    path.write_text(json.dumps(document))
