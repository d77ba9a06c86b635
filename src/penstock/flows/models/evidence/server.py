"""A candidate served by a real `penstock serve` over a store of its own, as the gates' checks ask it."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import numpy as np
import psutil

from penstock.base.errors import Unavailable
from penstock.base.process import guarded
from penstock.base.web.calls import WebConnection
from penstock.flows.models.folders import store_model
from penstock.project.places import Places
from penstock.project.project import Project
from penstock.project.settings import ProjectSettings
from penstock.registry.entities import ModelVersion, Provenance
from penstock.registry.gates.check import ServedApart
from penstock.registry.package import digest_manifest, scan_model
from penstock.registry.versions import add_version
from penstock.serving.deployments import RevisionDraft, append_revision

ENDPOINT = "candidate"
OTHERS = ("STORE", "ARTIFACTS", "SIGNING_KEY", "SIGNING_KEY_FILE", "TRUSTED_KEYS", "ACTOR", "URI", "TOKEN")
PLAIN = ("/usr/bin/env", *(word for name in OTHERS for word in ("-u", f"PENSTOCK_{name}")))
"""Begins a command that knows nothing of the project's own places and keys."""
URL = re.compile(rb"serving on (\S+?)[, ]")
PAUSE_S = 0.02
JSON = {"Content-Type": "application/json"}


def serve_apart(folder: Path, bodies: Sequence[bytes], ready_s: float) -> ServedApart:
    """Serve a model folder, send requests one after the other, and end the server.

    Raises:
        Unavailable: it is not ready in time, or ended.
    """
    with tempfile.TemporaryDirectory(prefix="penstock-gate-") as name:
        root = Path(name)
        _deploy(root, folder)
        log = root / "log"
        began = time.monotonic()
        with log.open("wb") as output:
            process = subprocess.Popen(
                [*PLAIN, sys.executable, "-P", "-m", "penstock.cli", "-C", str(root), "serve", "--port", "0"],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        try:
            with guarded(process.pid):
                url = _wait(process, log, began + ready_s)
                took_s = time.monotonic() - began
                return _ask(url, bodies, took_s, process.pid)
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def _deploy(root: Path, folder: Path) -> None:
    (root / "penstock.yaml").write_text("project: gate\n")
    home = root / ".penstock"
    home.mkdir()
    places = Places(root, home, f"sqlite:///{home}/penstock.db", str(home / "artifacts"))
    project = Project(places, ProjectSettings(project="gate"), "gate")
    manifest = scan_model(folder)
    store_model(project, folder, manifest)
    draft = ModelVersion(
        model="candidate", number=0, digest=digest_manifest(manifest), created_ms=0, actor="gate", path="model",
        manifest=manifest, provenance=Provenance(),
    )  # fmt: skip
    try:
        with project.database.write() as connection:
            number = add_version(connection, draft).number
            revision = RevisionDraft(model="candidate", stable=number, actor="gate", reason="a gate asks")
            append_revision(connection, ENDPOINT, revision, expected=None)
    finally:
        project.close()


def _wait(process: subprocess.Popen[bytes], log: Path, until_s: float) -> str:
    """Return the server's URL once it is ready."""
    while time.monotonic() < until_s and process.poll() is None:
        if found := URL.search(log.read_bytes()):
            url = found[1].decode()
            connection = WebConnection(url, timeout_s=5.0)
            with suppress(Unavailable):
                if not connection.request("GET", f"/v2/models/{ENDPOINT}/ready").has_failed:
                    connection.close()
                    return url
            connection.close()
        time.sleep(PAUSE_S)
    lines = log.read_bytes().decode("utf-8", "replace").strip().splitlines()
    said = next((one for one in lines if one.startswith("error")), lines[-1] if lines else "it says nothing")
    raise Unavailable(
        f"the server is not ready: {said[:300]}",
        code="gate.server_not_ready",
        hint="penstock serve tells more",
    )


def _ask(url: str, bodies: Sequence[bytes], ready_s: float, pid: int) -> ServedApart:
    connection = WebConnection(url, timeout_s=30.0)
    errors: list[str] = []
    took: list[float] = []
    for body in bodies:
        began = time.perf_counter()
        try:
            reply = connection.request("POST", f"/v2/models/{ENDPOINT}/infer", body, JSON)
        except Unavailable as error:
            errors.append(error.message[:300])
            continue
        if reply.has_failed:
            errors.append(f"{reply.status}: {reply.body[:200].decode('utf-8', 'replace')}")
            continue
        took.append(1000 * (time.perf_counter() - began))
    connection.close()
    try:
        memory_mb = psutil.Process(pid).memory_info().rss / (1 << 20)
    except psutil.Error:
        raise Unavailable(
            "the server ended while it was asked", code="gate.server_ended", hint="penstock serve tells more"
        ) from None
    return ServedApart(ready_s, np.array(took, dtype=np.float64), tuple(errors), memory_mb)
