"""A real S3 server on loopback: Ceph's RADOS gateway over one monitor and one in-memory OSD.

Its threads are few, since it shares a few processors with the tests: with the 512 of the defaults the gateway spends
half of its time on changing between them.

Debian packages: ceph-mon ceph-osd radosgw ceph-common. The data live in memory and are gone at the end.
"""

from __future__ import annotations

import shutil
import signal
import subprocess
import time
import urllib.error
import urllib.request
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from patience import PATIENCE_S
from servers.ports import reserve
from servers.programs import missing

PROGRAMS = ("ceph-mon", "ceph-osd", "radosgw", "radosgw-admin", "ceph", "ceph-authtool", "monmaptool")
ACCESS_KEY, SECRET_KEY = "tester", "testing"
CONFIG = """
[global]
fsid = {fsid}
mon host = [v2:127.0.0.1:{mon2},v1:127.0.0.1:{mon1}]
public addr = 127.0.0.1
cluster addr = 127.0.0.1
ms bind port min = {low}
ms bind port max = {high}
auth cluster required = cephx
auth service required = cephx
auth client required = cephx
osd pool default size = 1
osd pool default min size = 1
osd pool default pg num = 8
osd crush chooseleaf type = 0
mon allow pool size one = true
mon warn on pool no redundancy = false
run dir = {root}/run
log file = {root}/log/$name.log
admin socket = {root}/run/$name.asok
keyring = {root}/keyring
cephx sign messages = false
ms async op threads = 1
ms crc data = false
osd op num shards = 1
osd op num threads per shard = 1
osd enable op tracker = false
osd min pg log entries = 10
osd max pg log entries = 20
osd pg log dups tracked = 0
rgw thread pool size = 6
rgw enable apis = s3, admin
rgw enable lc threads = false
{quiet}
[mon]
mon data = {root}/mon
mon initial members = a
[osd]
osd objectstore = memstore
memstore device bytes = {memory_bytes}
osd data = {root}/osd
[client.rgw]
rgw frontends = beast endpoint=127.0.0.1:{port} tcp_nodelay=1
"""
# By default each part gathers what it does for a crash report.
QUIET = "\n".join(
    f"debug {part} = 0/0"
    for part in ("rgw", "ms", "osd", "mon", "objecter", "rados", "objclass", "auth", "monc", "paxos")
)


@dataclass(frozen=True)
class S3Server:
    """How to reach the server."""

    endpoint: str
    access_key: str = ACCESS_KEY
    secret_key: str = SECRET_KEY
    region: str = "us-east-1"
    pids: tuple[int, ...] = ()

    def options(self) -> dict[str, str]:
        """Return the keys of a DVC remote."""
        return {
            "endpointurl": self.endpoint,
            "access_key_id": self.access_key,
            "secret_access_key": self.secret_key,
            "region": self.region,
        }

    def make_bucket(self) -> str:
        """Create a bucket of its own for one test and return its name."""
        name = f"b{uuid.uuid4().hex[:16]}"
        create_bucket(self, name)
        return name


def require_programs() -> None:
    """End the test without Ceph's programs."""
    absent = [name for name in PROGRAMS if shutil.which(name) is None]
    if absent:
        missing(", ".join(absent), "ceph-mon ceph-osd radosgw ceph-common")


@contextmanager
def run_s3(root: Path, memory_bytes: int = 2 << 30) -> Iterator[S3Server]:
    """Start the server below `root`, yield its address, stop it."""
    require_programs()
    port = reserve(61)
    for name in ("mon", "osd", "log", "run"):
        (root / name).mkdir(parents=True)
    fsid = str(uuid.uuid4())
    conf = root / "ceph.conf"
    conf.write_text(
        CONFIG.format(
            fsid=fsid,
            mon2=port + 1,
            mon1=port + 2,
            low=port + 10,
            high=port + 60,
            root=root,
            port=port,
            memory_bytes=memory_bytes,
            quiet=QUIET,
        )
    )
    started: list[subprocess.Popen[bytes]] = []
    try:
        _start(root, conf, fsid, port, started)
        yield S3Server(f"http://127.0.0.1:{port}", pids=tuple(process.pid for process in started))
    finally:
        for process in reversed(started):
            process.send_signal(signal.SIGTERM)
        for process in reversed(started):
            with suppress(subprocess.TimeoutExpired):
                process.wait(20)
            if process.poll() is None:
                process.kill()
                process.wait()


def _start(root: Path, conf: Path, fsid: str, port: int, started: list[subprocess.Popen[bytes]]) -> None:
    def call(*command: str) -> None:
        done = subprocess.run(command, cwd=root, capture_output=True, check=False, timeout=PATIENCE_S)
        assert done.returncode == 0, (command, done.stderr.decode(errors="replace"))

    def serve(name: str, *command: str) -> None:
        with (root / "log" / f"{name}.out").open("wb") as log:
            started.append(subprocess.Popen(command, cwd=root, stdout=log, stderr=log))

    c = str(conf)
    everything = ("--cap", "mon", "allow *", "--cap", "osd", "allow *", "--cap", "mgr", "allow *")
    call("ceph-authtool", "-C", "keyring", "--gen-key", "-n", "mon.", "--cap", "mon", "allow *")
    call("ceph-authtool", "keyring", "--gen-key", "-n", "client.admin", *everything)
    call(
        "ceph-authtool",
        "keyring",
        "--gen-key",
        "-n",
        "client.rgw",
        "--cap",
        "mon",
        "allow rw",
        "--cap",
        "osd",
        "allow rwx",
        "--cap",
        "mgr",
        "allow rw",
    )
    call("ceph-authtool", "keyring", "--gen-key", "-n", "osd.0", *everything)
    address = f"[v2:127.0.0.1:{port + 1},v1:127.0.0.1:{port + 2}]"
    call("monmaptool", "--create", "--fsid", fsid, "--addv", "a", address, "monmap")
    call("ceph-mon", "-c", c, "--mkfs", "-i", "a", "--monmap", "monmap", "--keyring", "keyring")
    serve("mon", "ceph-mon", "-c", c, "-i", "a", "-f")
    call("ceph", "-c", c, "--connect-timeout", f"{PATIENCE_S:.0f}", "osd", "create")
    call("ceph-osd", "-c", c, "-i", "0", "--mkfs")
    serve("osd", "ceph-osd", "-c", c, "-i", "0", "-f")
    serve("rgw", "radosgw", "-c", c, "-n", "client.rgw", "-k", f"{root}/keyring", "-f")
    _wait_for(f"http://127.0.0.1:{port}/")
    call(
        "radosgw-admin",
        "-c",
        c,
        "user",
        "create",
        "--uid=tester",
        "--display-name=tester",
        f"--access-key={ACCESS_KEY}",
        f"--secret={SECRET_KEY}",
    )


def _wait_for(url: str, limit_s: float = PATIENCE_S) -> None:
    deadline = time.monotonic() + limit_s
    while time.monotonic() < deadline:
        try:
            with urllib.request.urlopen(url, timeout=5):
                return
        except urllib.error.HTTPError:
            return
        except OSError:
            time.sleep(0.2)
    raise AssertionError(f"{url} did not answer in {limit_s} s")


def create_bucket(server: S3Server, name: str) -> None:
    """Create a bucket with a request signed by AWS Signature Version 4."""
    import datetime
    import hashlib
    import hmac

    now = datetime.datetime.now(datetime.UTC)
    stamp, day = now.strftime("%Y%m%dT%H%M%SZ"), now.strftime("%Y%m%d")
    host = server.endpoint.removeprefix("http://")
    empty = hashlib.sha256(b"").hexdigest()
    headers = {"host": host, "x-amz-content-sha256": empty, "x-amz-date": stamp}
    signed = ";".join(sorted(headers))
    lines = "".join(f"{key}:{headers[key]}\n" for key in sorted(headers))
    request = f"PUT\n/{name}\n\n{lines}\n{signed}\n{empty}"
    scope = f"{day}/{server.region}/s3/aws4_request"
    text = f"AWS4-HMAC-SHA256\n{stamp}\n{scope}\n{hashlib.sha256(request.encode()).hexdigest()}"
    key = f"AWS4{server.secret_key}".encode()
    for part in (day, server.region, "s3", "aws4_request"):
        key = hmac.new(key, part.encode(), hashlib.sha256).digest()
    signature = hmac.new(key, text.encode(), hashlib.sha256).hexdigest()
    headers["Authorization"] = (
        f"AWS4-HMAC-SHA256 Credential={server.access_key}/{scope}, SignedHeaders={signed}, Signature={signature}"
    )
    call = urllib.request.Request(f"{server.endpoint}/{name}", method="PUT", headers=headers)
    with urllib.request.urlopen(call, timeout=PATIENCE_S):
        pass
