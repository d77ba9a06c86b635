"""Microsoft's emulator of Azure Blob Storage on loopback: Azurite, from npm.

`make test` installs it below `.node`; `PENSTOCK_AZURITE` names its program.
"""

from __future__ import annotations

import base64
import datetime
import hashlib
import hmac
import os
import shutil
import subprocess
import time
import urllib.error
import urllib.request
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from patience import PATIENCE_S
from servers.ports import reserve

ACCOUNT = "devstoreaccount1"  # published by Microsoft for every emulator
KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="
VERSION = "2023-11-03"


@dataclass(frozen=True)
class AzureServer:
    """Where the emulator is."""

    port: int

    @property
    def endpoint(self) -> str:
        """The account's address."""
        return f"http://127.0.0.1:{self.port}/{ACCOUNT}"

    def options(self, key: str = KEY) -> dict[str, str]:
        """Return the keys of a DVC remote."""
        return {
            "connection_string": f"DefaultEndpointsProtocol=http;AccountName={ACCOUNT};AccountKey={key};"
            f"BlobEndpoint={self.endpoint};"
        }

    def make_container(self) -> str:
        """Create a container of its own for one test and return its name."""
        name = f"c{uuid.uuid4().hex[:16]}"
        date = datetime.datetime.now(datetime.UTC).strftime("%a, %d %b %Y %H:%M:%S GMT")
        headers = f"x-ms-date:{date}\nx-ms-version:{VERSION}\n"
        text = "PUT" + "\n" * 12 + headers + f"/{ACCOUNT}/{ACCOUNT}/{name}\nrestype:container"
        digest = hmac.new(base64.b64decode(KEY), text.encode(), hashlib.sha256).digest()
        request = urllib.request.Request(
            f"{self.endpoint}/{name}?restype=container",
            method="PUT",
            headers={
                "x-ms-date": date,
                "x-ms-version": VERSION,
                "Authorization": f"SharedKey {ACCOUNT}:{base64.b64encode(digest).decode()}",
            },
        )
        with urllib.request.urlopen(request, timeout=PATIENCE_S):
            return name


@contextmanager
def run_azure(root: Path) -> Iterator[AzureServer]:
    """Start the emulator below `root`, yield its address, stop it."""
    program = os.environ.get("PENSTOCK_AZURITE", "")
    if shutil.which(program) is None:
        pytest.skip("PENSTOCK_AZURITE names no program; `make test` installs Azurite and sets it")
    root.mkdir(parents=True)
    port = reserve()
    command = [program, "--blobHost", "127.0.0.1", "--blobPort", str(port), "--location", str(root / "data")]
    with (root / "log").open("wb") as log:
        process = subprocess.Popen(
            [*command, "--silent", "--skipApiVersionCheck", "--disableTelemetry"], stdout=log, stderr=log
        )
    try:
        _wait_for(f"http://127.0.0.1:{port}/", process, root / "log")
        yield AzureServer(port)
    finally:
        process.terminate()
        process.wait(PATIENCE_S)


def _wait_for(url: str, process: subprocess.Popen[bytes], log: Path, limit_s: float = PATIENCE_S) -> None:
    deadline = time.monotonic() + limit_s
    while time.monotonic() < deadline:
        assert process.poll() is None, log.read_text()
        try:
            with urllib.request.urlopen(url, timeout=5):
                return
        except urllib.error.HTTPError:
            return
        except OSError:
            time.sleep(0.1)
    raise AssertionError(f"Azurite did not answer in {limit_s} s: {log.read_text()}")
