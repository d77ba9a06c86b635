"""A real OpenSSH server on loopback, with keys of its own and SFTP only by key.

Debian package: openssh-server.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from patience import PATIENCE_S
from servers.ports import reserve
from servers.programs import missing

CONFIG = """
Port {port}
ListenAddress 127.0.0.1
HostKey {root}/host
AuthorizedKeysFile {root}/authorized_keys
PidFile none
StrictModes no
UsePAM no
PasswordAuthentication no
Subsystem sftp internal-sftp
MaxStartups 100
"""


@dataclass(frozen=True)
class SshServer:
    """Where the server is and the key file that opens it; `data` is a directory for tests."""

    port: int
    user: str
    keyfile: Path
    data: Path

    def url(self, name: str) -> str:
        """Return the URL of a directory below `data`."""
        return f"ssh://{self.user}@127.0.0.1:{self.port}{self.data}/{name}"

    def options(self) -> dict[str, str]:
        """Return the keys of a DVC remote."""
        return {"keyfile": str(self.keyfile), "allow_agent": "false"}


def find_program() -> str:
    """Return sshd's absolute path, which it insists on, or end the test without it."""
    found = shutil.which("sshd", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin")
    if found is None:
        missing("sshd", "openssh-server")
    return found


@contextmanager
def run_ssh(root: Path) -> Iterator[SshServer]:
    """Start the server below `root`, yield its address, stop it with all its sessions."""
    program = find_program()
    root.mkdir(parents=True)
    data = root / "data"
    data.mkdir()
    if os.geteuid() == 0:
        Path("/run/sshd").mkdir(exist_ok=True)
    for name in ("host", "user"):
        subprocess.run(
            ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(root / name)],
            check=True,
            stdin=subprocess.DEVNULL,
        )
    shutil.copy(root / "user.pub", root / "authorized_keys")
    port = reserve()
    config = root / "sshd_config"
    config.write_text(CONFIG.format(port=port, root=root))
    with (root / "log").open("wb") as log:
        process = subprocess.Popen([program, "-D", "-e", "-f", str(config)], stdout=log, stderr=log)
    try:
        _wait_for(port, process, root / "log")
        user = subprocess.run(["id", "-un"], check=True, capture_output=True, text=True).stdout.strip()
        yield SshServer(port, user, root / "user", data)
    finally:
        process.terminate()
        process.wait(PATIENCE_S)


def _wait_for(port: int, process: subprocess.Popen[bytes], log: Path, limit_s: float = PATIENCE_S) -> None:
    deadline = time.monotonic() + limit_s
    while time.monotonic() < deadline:
        assert process.poll() is None, log.read_text()
        try:
            with socket.create_connection(("127.0.0.1", port), timeout=5):
                return
        except OSError:
            time.sleep(0.05)
    raise AssertionError(f"sshd did not answer in {limit_s} s: {log.read_text()}")
