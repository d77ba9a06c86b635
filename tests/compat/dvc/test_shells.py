"""Stages run in the same shell by both programs."""

from __future__ import annotations

import shutil
from dataclasses import replace

import pytest

from compat.dvc.sides import Comparison, Side

pytestmark = pytest.mark.slow
PIPELINE = """\
stages:
  escapes: {cmd: 'echo "a\\nb\\tc" > escapes.txt', outs: [escapes.txt]}
  words: {cmd: 'set -o pipefail; [[ 1 == 1 ]] && diff <(echo a) <(echo a) && echo ok > words.txt', outs: [words.txt]}
  functions: {cmd: told > functions.txt, outs: [functions.txt]}
"""


def what_a_shell_makes(side: Side, shell: str) -> object:
    path = shutil.which(shell) or shell
    function = {"BASH_FUNC_told%%": "() { echo told; }"}
    shelled = Side(
        replace(side.tool, environment={**side.tool.environment, **function, "SHELL": path}), side.root
    )
    side.put({"dvc.yaml": PIPELINE})
    shelled("repro", "-k")
    side.exits += shelled.exits
    side.root.joinpath(".gitignore").unlink(missing_ok=True)  # DVC forgets it after a failure
    return {
        name: (side.root / name).read_text() if (side.root / name).exists() else None
        for name in ("escapes.txt", "words.txt", "functions.txt")
    }


@pytest.mark.parametrize("shell", ["bash", ""])
def test_what_a_shell_makes_is_the_same(compare: Comparison, shell: str) -> None:
    compare(what_a_shell_makes, shell)
