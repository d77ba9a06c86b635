"""Stages run in the shell that DVC would take, begun as DVC begins it; what the real one does: `compat/dvc/test_shells`."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from penstock.base.errors import Refused
from penstock.pipeline.executors.ray_worker import Order, carry_out
from penstock.pipeline.process import run_command
from penstock.pipeline.running.shells import shell_for
from pipeline.conftest import Line

BASH = shutil.which("bash") or "bash"
ONLY_BASH = "set -o pipefail; [[ 1 == 1 ]] && diff <(echo a) <(echo a)"
STAGE = """\
stages:
  s:
    cmd:
    - 'echo "a\\nb\\tc" > o'
    - ONLY
    outs: [o]
    meta: {penstock: {env: {}}}
""".replace("ONLY", ONLY_BASH)
SAYS = """\
#!/bin/sh
[ "$1" = --version ] && echo "fish, version $FISH" && exit
printf '%s|' "$@" > "$OUT"
"""


def named(folder: Path, name: str) -> str:
    """Return a program of that name that writes down its words."""
    program = folder / name
    program.write_text(SAYS)
    program.chmod(0o755)
    return str(program)


def test_a_stage_runs_in_the_shell_that_shell_names_and_is_as_up_to_date_in_any_other(
    line: Line, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SHELL", BASH)
    line.put(dvc_yaml=STAGE)
    assert line.repro() == {"s": "ran"}
    assert line.read("o") == "a\\nb\\tc\n"
    monkeypatch.setenv("SHELL", "/bin/sh")
    assert line.repro() == {"s": "up to date"}
    (line.root / "o").unlink()
    (line.root / "dvc.lock").unlink()
    monkeypatch.delenv("SHELL")
    line.put(dvc_yaml=STAGE.replace("meta:", "deps: [i]\n    meta:"), i="")
    (line.root / "dvc.yaml").write_text(line.read("dvc.yaml").replace(ONLY_BASH, "'true'"))
    assert line.repro() == {"s": "ran"}
    (line.root / "dvc.lock").unlink()
    monkeypatch.setenv("SHELL", BASH)
    assert line.repro() == {"s": "restored"}, "the run cache knows no shell"


def test_each_shell_is_begun_without_the_files_of_its_user(
    line: Line, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "shells"
    folder.mkdir()
    told = tmp_path / "told"
    line.put(dvc_yaml="stages:\n  s: {cmd: a b}\n")
    monkeypatch.setenv("OUT", str(told))
    for name, version, words in (
        ("zsh", "", "--no-rcs|-c|a b|"),
        ("bash", "", "--noprofile|--norc|-c|a b|"),
        ("BASH", "", "--noprofile|--norc|-c|a b|"),
        ("ksh", "", "-c|a b|"),
        ("fish", "3.10.0", "--no-config|-c|a b|"),
    ):
        monkeypatch.setenv("SHELL", named(folder, name))
        monkeypatch.setenv("FISH", version)
        line.repro()
        assert told.read_text() == words
    older = tmp_path / "older"
    older.mkdir()
    monkeypatch.setenv("FISH", "3.2.9")
    monkeypatch.setenv("SHELL", named(older, "fish"))
    line.repro()
    assert told.read_text() == "-c|a b|"
    for account in ("/usr/sbin/nologin", "/usr/bin/git-shell", "/bin/false"):
        monkeypatch.setenv("SHELL", account)
        assert shell_for({}) == ("/bin/sh", "-c"), "nobody works in it: a hook's SHELL is the git account's"
    for unset in ("", None):
        monkeypatch.setenv("SHELL", unset) if unset is not None else monkeypatch.delenv("SHELL")
        assert shell_for({}) == ("/bin/sh", "-c")


def test_functions_that_bash_exports_and_nothing_of_its_profile_reach_a_stage(
    line: Line, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = tmp_path / "home"
    home.mkdir()
    for name in (".bashrc", ".bash_profile", ".profile"):
        (home / name).write_text("echo changed; exit 9\n")
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("SHELL", BASH)
    monkeypatch.setenv("BASH_FUNC_told%%", "() { echo told; }")
    line.put(dvc_yaml="stages:\n  s: {cmd: told > o, outs: [o]}\n")
    assert line.repro() == {"s": "ran"} and line.read("o") == "told\n"


def test_a_shell_of_the_stage_wins_and_one_that_is_not_there_is_named(
    line: Line, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SHELL", str(tmp_path / "no"))
    line.put(dvc_yaml=STAGE)
    with pytest.raises(Refused, match=rf"stage `s` failed: the shell {tmp_path}/no, which \$SHELL names"):
        line.repro()
    line.put(dvc_yaml=STAGE.replace("env: {}", f"env: {{SHELL: {BASH}}}"))
    assert line.repro() == {"s": "ran"}


def test_what_is_no_stage_runs_in_sh(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHELL", "/bin/false")
    assert run_command("ci.tests", "exit 4", tmp_path, lambda _: None) == 4


def test_a_worker_begins_the_shell_of_who_sends_the_stage_wherever_it_lies_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[bytes] = []

    def code(shell: tuple[str, ...], command: str = ONLY_BASH, *, is_own: bool = False) -> int | None:
        order = Order((command,), ".", (), {}, None, "SECRET", shell, is_own)
        return carry_out(order, (), lambda _: b"", said.append).exit_code

    monkeypatch.setenv("SHELL", "/bin/sh")
    assert code((BASH, "--noprofile", "--norc", "-c")) == 0
    assert code((str(tmp_path / "elsewhere/bash"), "--noprofile", "--norc", "-c")) == 0
    with pytest.raises(FileNotFoundError, match="the worker has no shell `nosh`"):
        code(("/nowhere/nosh", "-c"), is_own=True)
    assert not said
    assert code(("/nowhere/nosh", "-c"), "exit 3") == 3
    assert said == [
        b"the worker has no shell `nosh`, which $SHELL names where it was sent from: /bin/sh runs this\n"
    ]
    assert os.environ["SHELL"] == "/bin/sh"
