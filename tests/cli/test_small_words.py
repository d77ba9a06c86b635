"""Answers stay under `-q`, and errors of places elsewhere name their cause."""

from __future__ import annotations

import click

from penstock.cli.catalogue import COMMANDS, Catalogue
from penstock.cli.output import ASKED

from .conftest import Desk


def test_quiet_hides_talk_and_never_what_was_asked_for(desk: Desk) -> None:
    desk.run("user", "add", "ada", "--role", "admin")
    assert desk.run("-q", "token", "create", "ada").stdout.startswith("penstock_")
    assert desk.run("token", "create", "ada", "-q").stdout.startswith("penstock_")
    desk.put({"f": "1"})
    assert desk.run("-q", "add", "f").stdout == ""
    assert "f.dvc" in desk.run("-q", "ls", ".").stdout
    assert desk.run("-q", "root").stdout == ".\n"


def test_a_token_with_a_scope_that_its_user_has_not_is_warned_of(desk: Desk) -> None:
    desk.run("user", "add", "bob", "--role", "reader")
    for scope, is_warned in (("load", True), ("infer", False)):
        made = desk.run("token", "create", "bob", "--scope", scope)
        assert made.stdout.startswith("penstock_")
        assert ("warning: bob is reader, and load needs more" in made.stderr) == is_warned, made.stderr


def test_every_command_that_is_said_to_answer_is_there() -> None:
    catalogue = Catalogue("penstock")
    context = click.Context(catalogue)
    for words in ASKED:
        first, _, second = words.partition(" ")
        assert first in COMMANDS
        command = catalogue.get_command(context, first)
        assert command is not None
        assert not second or (isinstance(command, click.Group) and second in command.commands), words


def test_data_that_are_not_here_move_with_their_pointer(desk: Desk) -> None:
    desk.put({"f": "1"})
    desk.run("add", "f")
    (desk.root / "f").unlink()
    desk.run("move", "f", "g")
    assert not (desk.root / "f.dvc").exists()
    desk.run("checkout")
    assert (desk.root / "g").read_text() == "1"
    assert (desk.root / ".gitignore").read_text() == "/g\n"


def test_what_git_lfs_keeps_is_not_taken_for_data(desk: Desk) -> None:
    source = desk.beside("source")
    source.put({"d/big.bin": "version https://git-lfs.github.com/spec/v1\noid sha256:4d\nsize 12\n"})
    source.commit_all()
    for words in (
        ("import", source.root, "d/big.bin"),
        ("get", source.root, "d"),
        ("import", source.root, "d"),
    ):
        assert "git-lfs keeps d/big.bin" in desk.error(*words)
    assert not (desk.root / "d").exists()
    assert not (desk.root / "big.bin").exists()


def test_a_bucket_without_credentials_says_where_they_are_looked_for(desk: Desk) -> None:
    desk.run("remote", "add", "-d", "r", "s3://bucket/x")
    desk.put({"f": "1"})
    desk.run("add", "f")
    names = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE")
    desk.before = ("env", *(word for name in names for word in ("-u", name)))
    said = desk.error("push")
    assert "no credentials were found for s3://bucket/x" in said
    assert all(place in said for place in ("access_key_id", "AWS_ACCESS_KEY_ID", "~/.aws/credentials"))
