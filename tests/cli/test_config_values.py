"""What DVC would refuse in a configuration is not written: it would stop every `dvc` command there."""

from __future__ import annotations

from .conftest import Desk

WRONG = [
    ("cache.type", "bogus"),
    ("cache.type", "hardlink,bogus"),
    ("cache.shared", "all"),
    ("cache.slow_link_warning", "maybe"),
    ("core.autostage", "yes"),
    ("core.checksum_jobs", "0"),
    ("remote.r.jobs", "abc"),
    ("remote.r.jobs", "0"),
    ("remote.r.port", "x"),
    ("remote.r.use_ssl", "1"),
    ("remote.r.connect_timeout", "soon"),
    ("remote.r.url", "junk://place/x"),
]
RIGHT = [
    ("cache.type", "reflink, copy"),
    ("core.autostage", "True"),
    ("remote.r.jobs", "4"),
    ("remote.r.read_timeout", "1.5"),
    ("remote.r.url", "file:///tmp/x"),
]


def test_a_wrong_value_is_not_written(desk: Desk) -> None:
    desk.run("remote", "add", "r", "https://place/x")
    before = (desk.root / ".dvc/config").read_bytes()
    for name, value in WRONG:
        assert "must be" in (told := desk.error("config", name, value)) or "no remote can have" in told
    assert "no remote can have" in desk.error("remote", "add", "other", "junk://place/x")
    assert (desk.root / ".dvc/config").read_bytes() == before


def test_a_right_one_is(desk: Desk) -> None:
    for name, value in RIGHT:
        desk.run("config", name, value)
        assert desk.run("config", name).stdout.strip() == value
