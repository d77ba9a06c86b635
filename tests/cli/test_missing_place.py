"""A bucket or directory that is not there is told from objects that are not there."""

from __future__ import annotations

import shutil

import pytest

from servers.s3 import S3Server
from servers.ssh import SshServer

from .conftest import Desk


@pytest.fixture
def tracked(desk: Desk) -> Desk:
    desk.put({"f": "1", "d/a": "2", "d/b": "3"})
    desk.run("add", "f", "d")
    return desk


def use(desk: Desk, url: str, options: dict[str, str]) -> None:
    desk.run("remote", "add", "-d", "r", url)
    for key, value in options.items():
        desk.run("remote", "modify", "r", key, value)


@pytest.mark.slow
def test_a_missing_bucket_is_named_by_whoever_asks_for_it(tracked: Desk, s3_server: S3Server) -> None:
    use(tracked, "s3://nobucket/x", s3_server.options())
    commands = ["push", "repair -c", "verify -c", "status -c", "gc -w -c -f --grace 0", "push f"]
    for command in commands:
        told = tracked.error(*command.split(), code=5)
        assert "the bucket of s3://nobucket/x does not exist" in told, command
    shutil.rmtree(tracked.root / ".dvc/cache")
    for command in ("fetch", "pull", "fetch f"):
        assert "the bucket of s3://nobucket/x does not exist" in tracked.error(*command.split(), code=5)
    tracked.run("remote", "add", "-f", "empty", f"s3://{s3_server.make_bucket()}/x")
    for key, value in s3_server.options().items():
        tracked.run("remote", "modify", "empty", key, value)
    assert "is not in" in tracked.error("fetch", "-r", "empty", "f")


def test_a_directory_that_cannot_be_made_is_named(tracked: Desk) -> None:
    use(tracked, "/proc/x", {})
    for command in ("push", "repair -c"):
        assert "the directory /proc/x cannot be made" in tracked.error(*command.split(), code=5), command
    assert "the directory /proc/x does not exist" in tracked.error("verify", "-c", code=5)


def test_a_directory_that_is_not_there_yet_is_empty_until_a_push(tracked: Desk) -> None:
    use(tracked, "../later/store", {})
    assert tracked.json("status", "-c") == {"d": "new", "d/a": "new", "d/b": "new", "f": "new"}
    assert "does not exist" in tracked.error("verify", "-c", code=5)
    assert not (tracked.root.parent / "later").exists()
    tracked.run("push")
    tracked.run("verify", "-c")


def test_a_directory_one_may_not_make_is_named(tracked: Desk) -> None:
    closed = tracked.root.parent / "closed"
    closed.mkdir(mode=0o500)
    use(tracked, str(closed / "store"), {})
    tracked.obey_modes()
    assert f"the directory {closed}/store cannot be made: Permission denied" in tracked.error("push")


@pytest.mark.slow
def test_a_servers_directory_that_cannot_be_made_is_named(tracked: Desk, ssh_server: SshServer) -> None:
    use(
        tracked,
        f"ssh://{ssh_server.url('x').partition('://')[2].partition('/')[0]}/proc/x",
        ssh_server.options(),
    )
    assert "/proc/x cannot be made" in tracked.error("push", code=5)
    assert "does not exist" in tracked.error("verify", "-c", code=5)
