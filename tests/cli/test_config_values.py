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
    ("remote.s.port", "x"),
    ("remote.r.verify", "1"),
    ("remote.r.connect_timeout", "soon"),
    ("remote.r.url", "junk://place/x"),
]
RIGHT = [
    ("cache.type", "reflink, copy"),
    ("core.autostage", "True"),
    ("remote.r.url", "file:///tmp/x"),
    ("remote.r.jobs", "4"),
    ("remote.w.url", "https://place/x"),
    ("remote.w.read_timeout", "1.5"),
    ("db.warehouse.url", "sqlite:///x"),
]


def test_a_wrong_value_is_not_written(desk: Desk) -> None:
    desk.run("remote", "add", "r", "https://place/x")
    desk.run("remote", "add", "s", "ssh://place/x")
    before = (desk.root / ".dvc/config").read_bytes()
    for name, value in WRONG:
        assert "must be" in (told := desk.error("config", name, value)) or "no remote can have" in told
    assert "no remote can have" in desk.error("remote", "add", "other", "junk://place/x")
    assert (desk.root / ".dvc/config").read_bytes() == before


def test_a_right_one_is(desk: Desk) -> None:
    for name, value in RIGHT:
        desk.run("config", name, value)
        assert desk.run("config", name).stdout.strip() == value


def test_an_option_nobody_knows_is_named_with_near_ones(desk: Desk) -> None:
    desk.run("remote", "add", "r", "/x")
    told = desk.error("remote", "modify", "r", "endpointurl", "x")
    assert "endpointurl is not an option of a remote of a directory, but of s3://, gs://" in told
    assert "near it: jobs" in desk.error("config", "remote.r.job", "1")
    assert "near it: remote" in desk.error("config", "core.remot", "r")
    assert "near it: cache" in desk.error("config", "cach.dir", "x")
    assert "known: password, url, username" in desk.error("config", "db.x.y", "1")


def test_a_remote_always_has_a_url(desk: Desk) -> None:
    told = desk.error("remote", "add", "y", "")
    assert "the remote 'y' has no URL" in told and "penstock remote add y URL" in told
    desk.run("remote", "add", "-d", "r", "../store")
    assert "penstock remote modify r url URL" in desk.error("remote", "modify", "-u", "r", "url")
    assert "has no URL" in desk.error("config", "-u", "remote.r.url")
    desk.put({"f": "1", ".dvc/config": "[core]\nremote = r\n['remote \"r\"']\nurl =\njobs = 3\n"})
    desk.run("add", "f")
    for command in (["push"], ["status", "-c"], ["gc", "-c", "--grace", "0", "-w", "-f"]):
        told = desk.error(*command)
        assert "the remote 'r' has no URL" in told and "penstock remote modify r url URL" in told
    assert not (desk.root / "files").exists() and not (desk.root / ".dvc/files").exists()
    desk.run("remote", "modify", "r", "url", "store")
    desk.run("push")


def test_a_broken_file_can_be_mended_by_command(desk: Desk) -> None:
    desk.put({"f": "1"})
    desk.run("add", "f")
    desk.put(
        {".dvc/config": "[core]\nremot = r\nautostage = 1\n['remote \"r\"']\nurl = ../store\njobz = 3\n"}
    )
    told = desk.error("push")
    assert f"{desk.root}/.dvc/config: [core]: core.remot is not an option of DVC" in told
    assert "near it: remote" in told
    desk.run("config", "-u", "core.remot")
    assert "core.autostage must be true or false, not '1'" in desk.error("push", "-r", "r")
    desk.run("config", "-u", "core.autostage")
    assert '[remote "r"]: jobz is not an option' in desk.error("push", "-r", "r")
    desk.run("remote", "modify", "-u", "r", "jobz")
    desk.run("push", "-r", "r")


def test_an_option_written_twice_is_an_error(desk: Desk) -> None:
    desk.put({".dvc/config": "[core]\nremote = a\nremote = b\n"})
    told = desk.error("status")
    assert f"{desk.root}/.dvc/config" in told and "line 3" in told


def test_remotes_that_refer_to_each_other_are_named(desk: Desk) -> None:
    desk.put({"f": "1"})
    desk.run("add", "f")
    desk.run("remote", "add", "-d", "r", "remote://b")
    desk.run("remote", "add", "b", "remote://r/x")
    assert "the remotes 'r' and 'b' refer to each other" in desk.error("push")
    desk.run("remote", "add", "-f", "r", "remote://r")
    assert "the remote 'r' refers to itself" in desk.error("push")


def test_no_default_remote_is_a_failure(desk: Desk) -> None:
    assert "no default remote is set" in desk.error("remote", "default")
    desk.run("remote", "add", "-d", "r", "/x")
    assert desk.run("remote", "default").stdout == "r\n"


def test_judging_the_configuration_costs_nothing_where_no_remote_is_opened(desk: Desk) -> None:
    desk.put({"f": "1"})
    desk.run("remote", "add", "-d", "r", "../store")
    desk.variables["PYTHONPROFILEIMPORTTIME"] = "1"
    for command in (["add", "f"], ["status"]):
        loaded = desk.run(*command).stderr
        assert "penstock.data.configuration.config" in loaded and "penstock.data.config_" not in loaded
    assert "penstock.data.configuration.values" in (loaded := desk.run("push").stderr)
    assert "difflib" not in loaded
