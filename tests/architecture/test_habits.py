"""What developers are told: the targets of make, the hooks before a commit, the files to copy from."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import yaml

ROOT = Path(__file__).parents[2]
MAKEFILE = (ROOT / "Makefile").read_text(encoding="utf-8")


def test_every_target_of_make_explains_itself() -> None:
    phony = re.search(r"^\.PHONY:((?:.*\\\n)*.*)$", MAKEFILE, re.MULTILINE)
    assert phony is not None
    targets = phony[1].replace("\\", "").split()
    done = subprocess.run(["make", "--silent", "help"], cwd=ROOT, capture_output=True, text=True, check=True)
    told = [line.split()[0] for line in done.stdout.splitlines()]
    assert sorted(told) == sorted(targets)
    assert all(len(line.split()) > 3 for line in done.stdout.splitlines())


def test_the_hooks_before_a_commit_run_what_is_here_and_download_nothing() -> None:
    text = (ROOT / ".pre-commit-config.yaml").read_text(encoding="utf-8")
    [repository] = yaml.safe_load(text)["repos"]
    assert repository["repo"] == "local"
    assert {hook["language"] for hook in repository["hooks"]} == {"system"}
    entries = "\n".join(hook["entry"] for hook in repository["hooks"])
    check = re.search(r"^check:.*\n((?:\t.*\n)+)", MAKEFILE, re.MULTILINE)
    assert check is not None
    for command in re.findall(r"\$\(BIN\)/(\S+)", check[1]):
        assert f".venv/bin/{command}" in entries


def test_the_files_to_copy_from_exist() -> None:
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    parts = dict(re.findall(r"^## To add an? ([\w ]+)\n(.*?)(?=^## |\Z)", text, re.MULTILINE | re.DOTALL))
    assert sorted(parts) == ["backend", "command", "flavour", "gate", "migration", "page"]
    named = {
        one for part in parts.values() for one in re.findall(r"`((?:\w+/)+[\w.-]+\.\w+|(?:\w+/)+)`", part)
    }
    assert len(named) > 20
    places = {one: [ROOT / one, ROOT / "src/penstock" / one] for one in named}
    assert [one for one, found in places.items() if not any(path.exists() for path in found)] == []
    long = [name for name, part in parts.items() if len([line for line in part.splitlines() if line]) > 10]
    assert long == []
