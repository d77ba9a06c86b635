"""What only an SSH remote has: keys of servers and users, a connection that breaks, files of killed writers."""

from __future__ import annotations

import os
import subprocess
import time
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from penstock.base.errors import Conflict, Denied, Invalid, Unavailable
from penstock.storage.backend import Backend
from penstock.storage.resolve import open_backend
from servers.ssh import SshServer, run_ssh

pytestmark = pytest.mark.slow


@pytest.fixture
def place(ssh_server: SshServer) -> Path:
    return ssh_server.data / uuid.uuid4().hex


@pytest.fixture
def backend(ssh_server: SshServer, place: Path) -> Iterator[Backend]:
    opened = open_backend(ssh_server.url(place.name), ssh_server.options())
    yield opened
    opened.close()


def known_hosts() -> Path:
    return Path.home() / ".ssh" / "known_hosts"


def test_a_new_server_is_noted_and_then_known(ssh_server: SshServer, backend: Backend) -> None:
    backend.put("k", b"x")
    line = known_hosts().read_text()
    assert line.startswith(f"[127.0.0.1]:{ssh_server.port} ssh-ed25519 ")
    assert known_hosts().stat().st_mode & 0o777 == 0o600
    again = open_backend(backend.url, ssh_server.options())
    assert again.get("k") == b"x"
    again.close()
    assert known_hosts().read_text() == line


def test_a_server_with_another_key_is_refused(ssh_server: SshServer, tmp_path: Path) -> None:
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", tmp_path / "other"], check=True)
    key = " ".join((tmp_path / "other.pub").read_text().split()[:2])
    known_hosts().parent.mkdir()
    known_hosts().write_text(f"[127.0.0.1]:{ssh_server.port} {key}\n")
    opened = open_backend(ssh_server.url("x"), ssh_server.options())
    with pytest.raises(Denied, match="known_hosts") as caught:
        opened.get("k")
    opened.close()
    assert caught.value.hint and "ssh-keygen -R" in caught.value.hint


def test_a_wrong_key_is_denied_and_no_secret_shown(ssh_server: SshServer, tmp_path: Path) -> None:
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", tmp_path / "other"], check=True)
    url = ssh_server.url("x").replace("@", ":pass-in-url@")
    options = {"keyfile": str(tmp_path / "other"), "allow_agent": "false", "password": "top-secret"}
    opened = open_backend(url, options)
    with pytest.raises(Denied) as caught:
        opened.get("k")
    opened.close()
    text = f"{caught.value} {caught.value.hint} {caught.value.fields} {opened.url} {caught.value.__cause__}"
    assert "top-secret" not in text and "pass-in-url" not in text


def test_a_key_with_a_passphrase_opens_and_a_wrong_passphrase_is_said(
    ssh_server: SshServer, tmp_path: Path
) -> None:
    locked = tmp_path / "locked"
    locked.write_bytes(ssh_server.keyfile.read_bytes())
    locked.chmod(0o600)
    subprocess.run(["ssh-keygen", "-q", "-p", "-P", "", "-N", "opensesame", "-f", locked], check=True)
    opened = open_backend(ssh_server.url("x"), {"keyfile": str(locked), "passphrase": "opensesame"})
    assert not opened.exists("k")
    opened.close()
    for wrong in ({"passphrase": "wrong"}, {}):
        opened = open_backend(ssh_server.url("x"), {"keyfile": str(locked), **wrong})
        with pytest.raises(Invalid, match="key file"):
            opened.exists("k")
        opened.close()


def test_a_missing_key_file_and_a_dead_server_are_named(ssh_server: SshServer, tmp_path: Path) -> None:
    opened = open_backend(ssh_server.url("x"), {"keyfile": str(tmp_path / "none")})
    with pytest.raises(Invalid, match="key file"):
        opened.exists("k")
    opened.close()
    opened = open_backend("ssh://nobody@127.0.0.1:1/x", {"keyfile": str(ssh_server.keyfile)})
    with pytest.raises(Unavailable, match=r"127\.0\.0\.1:1"):
        opened.exists("k")
    opened.close()


def test_objects_and_directories_do_not_replace_each_other(backend: Backend) -> None:
    backend.put("d/a", b"x")
    with pytest.raises(Conflict):
        backend.put("d", b"y")
    with pytest.raises(Conflict):
        backend.put("d/a/b", b"y")
    assert backend.get("d/a") == b"x"


def test_a_broken_connection_is_made_again(tmp_path: Path) -> None:
    with run_ssh(tmp_path / "own") as server:
        opened = open_backend(server.url("x"), server.options())
        opened.put("k", b"before")
        for _ in range(3):
            _end_sessions(server)
            assert opened.get("k") == b"before"
            opened.put("k2", b"after")
        opened.close()


def _end_sessions(server: SshServer) -> None:
    """Kill the server's processes for connections, which are children of the listening one."""
    for process in psutil.process_iter(["cmdline"]):
        words = process.info["cmdline"] or []
        if words[-1:] == [str(server.data.parent / "sshd_config")]:
            for child in process.children(recursive=True):
                with suppress(psutil.NoSuchProcess):  # one goes with another
                    child.kill()


def test_the_files_of_killed_writers_stay_hidden_and_go_after_an_hour(
    ssh_server: SshServer, backend: Backend, place: Path
) -> None:
    abandoned = backend.writer("k")
    abandoned.write([b"half"])
    (left,) = (place / ".penstock-tmp").iterdir()
    again = open_backend(backend.url, ssh_server.options())
    again.put("other", b"x")
    assert {entry.key for entry in again.list("")} == {"other"}
    assert left.exists()
    hour_ago = time.time() - 3700
    os.utime(left, (hour_ago, hour_ago))
    third = open_backend(backend.url, ssh_server.options())
    third.put("other", b"y")
    assert not left.exists()
    for one in (again, third):
        one.close()


def test_nothing_temporary_is_left(backend: Backend, place: Path) -> None:
    backend.put("a/b", b"x")
    backend.copy("a/b", "c")
    backend.copy("a/b", "c")
    assert list((place / ".penstock-tmp").iterdir()) == []
    backend.close()
    assert sorted(path.name for path in place.iterdir()) == ["a", "c"]


def test_writers_that_start_together_sweep_once(ssh_server: SshServer, backend: Backend, place: Path) -> None:
    backend.writer("k").write([b"left by a killed writer"])
    for _ in range(5):
        opened = open_backend(backend.url, ssh_server.options())
        with ThreadPoolExecutor(16) as pool:
            list(pool.map(lambda number: opened.put(f"t/{number}", b"x"), range(16)))  # noqa: B023
        opened.close()
