"""CI as a user's machine has it: pushes at once, a full disk, a branch that goes, a project in a folder of its repository."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from penstock.base.errors import PenstockError
from penstock.base.git import Git
from penstock.ci.report import CiReport
from penstock.flows.ci.accepting import accept_commit
from penstock.flows.ci.continuous import run_ci
from penstock.flows.ci.hook import plan_hook, receive_push
from penstock.project.ci_reports import list_reports
from penstock.serving.deployments import get_revision
from penstock.workspace import open_workspace
from projects import Sample
from servers.programs import missing
from stories.office import Office

pytestmark = pytest.mark.slow
SPACE_MB = 24
LEFT_BYTES = (0, 40_000, 200_000, 1_000_000)
"""How much room a run finds: none, and such as lets it come further."""


def one_cheap_gate(root: Path) -> None:
    """Let a metric alone decide."""
    settings = root / "penstock.yaml"
    text = settings.read_text()
    start, end = text.index("  - schema:"), text.index("endpoints:")
    settings.write_text(text[:start] + text[end:])


def test_pushes_at_once_are_validated_one_after_the_other_and_a_branch_that_goes_is_nothing_to_validate(
    released: Sample, tmp_path: Path
) -> None:
    """Two programs push at the same moment, through the hook itself."""
    office = Office.open(released, tmp_path)
    other = Sample(tmp_path / "bob")
    subprocess.run(["git", "clone", "--quiet", str(office.bare), str(other.root)], check=True)
    pushes = []
    for sample, branch in ((office.at_work, "main"), (other, "trial")):
        sample.write("notes.txt", branch)
        for key, value in (("user.name", branch), ("user.email", "a@example.org")):
            sample.git.run("config", key, value)
        sample.commit(f"A note on {branch}")
        pushes.append(
            subprocess.Popen(
                ["git", "push", "origin", f"HEAD:refs/heads/{branch}"],
                cwd=sample.root,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
            )
        )
    shown = [push.communicate()[0] for push in pushes]
    assert [push.returncode for push in pushes] == [0, 0], shown
    assert all("penstock: passed: " in text for text in shown), shown
    with closing(open_workspace(office.home)) as project:
        reports = {report.branch: report for report in list_reports(project, 9)}
        assert {name: (one.passed, one.commit) for name, one in reports.items()} == {
            "main": (True, office.at_work.git.head()),
            "trial": (True, other.git.head()),
        }
        assert os.listdir(project.home / "worktrees") == []
    gone = subprocess.run(
        ["git", "push", "origin", "--delete", "trial"],
        cwd=other.root,
        capture_output=True,
        text=True,
        check=True,
    )
    assert "penstock: " not in gone.stderr
    with closing(open_workspace(office.home)) as project:
        assert len(list_reports(project, 9)) == 2


@pytest.fixture
def small(tmp_path: Path) -> Iterator[Path]:
    """A small file system; making one takes root."""
    place = tmp_path / "small"
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={SPACE_MB}m", "tmpfs", str(place)]
    if os.geteuid() != 0 or subprocess.run(mount, capture_output=True, check=False).returncode != 0:
        missing("the right to mount a tmpfs", "run as root")
    yield place
    subprocess.run(["umount", "-l", str(place)], check=True)


def fill(place: Path, left_bytes: int) -> Path:
    """Take all room but so much."""
    filler = place / "filler"
    with filler.open("wb") as file:
        file.truncate(0)
        free = shutil.disk_usage(place).free
        os.posix_fallocate(file.fileno(), 0, max(free - left_bytes, 1))
    return filler


def test_a_full_disk_leaves_production_as_it_is_and_the_run_says_so(released: Sample, small: Path) -> None:
    """With room again the same commit is released."""
    one_cheap_gate(released.root)
    settings = released.root / "penstock.yaml"
    settings.write_text(settings.read_text().replace('  tests: "true"', '  tests: "true"\n  deploy: promote'))
    released.commit("Promote what passes")
    released.close()
    home = Sample.copy(released.root, small / "home")
    commit = home.git.head() or ""
    with closing(home.project) as project:
        accept_commit(project, "HEAD", "meant so")
    for left_bytes in LEFT_BYTES:
        filler = fill(small, left_bytes)
        said = ""
        try:
            with closing(open_workspace(home.root, {"USER": "ci"})) as project:
                report = run_ci(project, commit, deploy=True)
            said = " ".join(step.sentence for step in report.steps)
            is_whole = report.passed
        except (PenstockError, OSError) as error:  # before anything began
            said, is_whole = str(error), False
        filler.unlink()
        assert is_whole or "No space left" in said or "full" in said, (left_bytes, said)
        if is_whole:
            break
        with closing(open_workspace(home.root, {"USER": "ci"})) as project:
            assert [one.passed for one in list_reports(project, 1)] in ([], [False])
    with closing(open_workspace(home.root, {"USER": "ci"})) as project:
        report = run_ci(project, commit, deploy=True)
        assert (report.passed, report.held) == (True, None), report.steps
        assert os.listdir(project.home / "worktrees") == []


def test_a_project_in_a_folder_of_its_repository_is_held_for_its_own_files_alone(
    released: Sample, tmp_path: Path
) -> None:
    one_cheap_gate(released.root)
    settings = released.root / "penstock.yaml"
    settings.write_text(settings.read_text().replace('  tests: "true"', '  tests: "true"\n  deploy: full'))
    released.close()
    whole = tmp_path / "whole"
    shutil.copytree(released.root, whole / "ml", symlinks=True, ignore=shutil.ignore_patterns(".git"))
    (whole / "penstock.yaml").write_text("project: other\n")
    git = Git(whole)
    git.run("init", "--quiet", "--initial-branch", "main")
    for key, value in (("user.name", "Ada"), ("user.email", "ada@example.org")):
        git.run("config", key, value)
    Sample(whole).commit("Begin")
    with closing(open_workspace(whole / "ml", {"USER": "ada"})) as project:
        accept_commit(project, "HEAD", "meant so")
    bare = tmp_path / "whole.git"
    subprocess.run(["git", "clone", "--quiet", "--bare", str(whole), str(bare)], check=True)

    def push(name: str, text: str) -> CiReport:
        before = git.head()
        (whole / name).write_text(text)
        Sample(whole).commit(f"Edit {name}")
        git.run("push", "--quiet", str(bare), "HEAD:main")
        with closing(open_workspace(whole / "ml", {"USER": "ci"})) as project:
            assert str(whole / "ml") in plan_hook(project, bare).text
            lines = [f"{before} {git.head()} refs/heads/main"]
            [(report, _)] = receive_push(
                project, bare, lines, on_step=lambda step: None, on_begin=lambda branch, commit: None
            )
        return report

    report = push("penstock.yaml", "project: another\nci: {deploy: full}\n")
    assert (report.passed, report.held) == (True, None), report.steps
    with closing(open_workspace(whole / "ml")) as project, project.database.read() as connection:
        assert get_revision(connection, "delay").stable == int((report.version or "/0").partition("/")[2])
    text = (whole / "ml/penstock.yaml").read_text()
    report = push("ml/penstock.yaml", text.replace("min: 0.6", "min: 0.1"))
    assert report.held is not None and "lets more pass: metric roc_auc (min 0.6 → 0.1)" in report.held
