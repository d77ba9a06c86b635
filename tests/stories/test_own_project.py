"""The page "Bring your own project", typed as it stands: from a table and a script to a model that is watched."""

from __future__ import annotations

import json
import os
import random
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from patience import PATIENCE_S
from penstock.workspace import open_workspace
from servers.quick_python import quick_programs

PAGE = Path(__file__).parents[2] / "docs/how-to/bring-your-own-project.md"
ADDRESS = re.compile(r"(serving|tracking)\D*?(http://127\.0\.0\.1:\d+)")


def typed() -> list[str]:
    """Return the commands of the page in order, without the installation."""
    blocks = re.findall(r"^```console\n(.*?)^```$", PAGE.read_text(), re.M | re.S)
    lines = [
        line.removeprefix("$ ") for block in blocks for line in block.splitlines() if line.startswith("$ ")
    ]
    return [line for line in lines if not line.startswith("pip ")]


class Typist:
    """Types commands in the project; what differs from the page: free ports, and the id of the answer for `ID`."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.prediction = ""
        self.said: dict[str, str] = {}
        bin_directory = Path(sys.executable).parent
        self.env = {
            **os.environ,
            "PATH": f"{quick_programs()}:{bin_directory}:{os.environ['PATH']}",
            "GIT_CONFIG_GLOBAL": "/dev/null",
            **{
                f"GIT_{who}_{what}": "t@example.org"
                for who in ("AUTHOR", "COMMITTER")
                for what in ("NAME", "EMAIL")
            },
        }

    def type(self, line: str, serving: str = "") -> str:
        line = re.sub(r"\bID\b", self.prediction, line).replace("http://127.0.0.1:8080", serving)
        done = subprocess.run(
            shlex.split(line),
            cwd=self.root,
            env=self.env,
            capture_output=True,
            text=True,
            check=False,
            timeout=300,
        )
        assert done.returncode == 0, f"{line}: {done.stdout}{done.stderr}"
        self.said[" ".join(line.split()[:3])] = done.stdout + done.stderr
        return done.stdout

    @contextmanager
    def up(self) -> Iterator[str]:
        """Run `penstock up` and yield the address of the model server."""
        command = ["penstock", "up", "--port", "0", "--serve-port", "0"]
        with subprocess.Popen(
            command, cwd=self.root, env=self.env, stderr=subprocess.PIPE, text=True
        ) as process:
            try:
                found: dict[str, str] = {}
                assert process.stderr is not None
                while len(found) < 2:
                    line = process.stderr.readline()
                    assert line, "penstock up ended"
                    found |= dict(ADDRESS.findall(line))
                yield found["serving"]
            finally:
                process.terminate()
                process.communicate(timeout=PATIENCE_S)


@pytest.mark.slow
def test_the_page_holds_as_it_is_typed(tmp_path: Path) -> None:
    root = tmp_path / "churn"
    (root / "data").mkdir(parents=True)
    dice = random.Random(1)
    rows = []
    for _ in range(2000):
        age, plan, minutes = dice.randint(18, 80), dice.choice(["basic", "pro", "team"]), dice.gauss(100, 30)
        churned = dice.random() < (0.8 if (plan == "basic") == (age > 50) else 0.2)
        rows.append(f"{age},{plan},{minutes:.1f},{int(churned)}")
    (root / "data/customers.csv").write_text("\n".join(["age,plan,minutes,churned", *rows]) + "\n")
    script = re.search(r"^```python\n(.*?)^```$", PAGE.read_text(), re.M | re.S)
    assert script is not None
    (root / "train.py").write_text(script[1])
    typist = Typist(root)
    lines = typed()
    start = lines.index("penstock up &")
    for line in lines[:start]:
        typist.type(line)
    settings = open_workspace(root).settings
    assert settings.model is not None
    assert (settings.model.label, settings.model.test) == ("churned", "data/test.csv")
    assert "!!" not in typist.said["penstock doctor"]
    with typist.up() as serving:
        for line in lines[start + 1 :]:
            said = typist.type(line, serving)
            if line.startswith("curl"):
                typist.prediction = json.loads(said).get("id") or pytest.fail(said)
    assert "churn/1" in typist.said[f"penstock why {typist.prediction}"]
    assert "1 accepted" in typist.said["penstock feedback churn"]
