"""The hook of a bare git repository that validates what is pushed, with no CI service."""

from __future__ import annotations

import shlex
from pathlib import Path

HOOK_FILE = "hooks/post-receive"
MARK = "# Written by `penstock ci init hook`."


def render_hook(program: str, root: Path, bare: Path) -> str:
    """Return the hook: each push is handed to `penstock ci receive` in the project at `root`, whose clone is of `bare`."""
    command = " ".join(shlex.quote(word) for word in (program, "-C", str(root), "ci", "receive", str(bare)))
    return f"""\
#!/bin/sh
{MARK} It validates what is pushed, in the project at
# {root}
# and deploys what passes on the default branch as `ci.deploy` of its penstock.yaml says.
unset $(git rev-parse --local-env-vars)
exec {command}
"""
