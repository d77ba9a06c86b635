from __future__ import annotations

import json
import shutil
from contextlib import closing
from pathlib import Path

import pytest
from click.testing import CliRunner

from penstock.base.errors import Invalid, NotFound
from penstock.base.git import Git
from penstock.cli.main import cli
from penstock.flows.ci.continuous import run_ci
from penstock.flows.ci.files import apply_ci_file, plan_ci_file
from penstock.flows.ci.hook import plan_hook
from penstock.flows.ci.linting import lint
from penstock.flows.tracked.versioning import push
from penstock.project.checks import Check
from penstock.workspace import open_workspace
from projects import Sample


def parts(sample: Sample) -> dict[str, Check]:
    project = open_workspace(sample.root)
    try:
        return {check.part: check for check in lint(project)}
    finally:
        project.close()


@pytest.mark.usefixtures("published")
def test_what_a_ci_run_would_stumble_over_is_told_before_the_push(trained: Sample, tmp_path: Path) -> None:
    first = parts(trained)
    assert {part: check.state for part, check in first.items()} == {
        "file": "missing", "commit": "ok", "pipeline": "ok", "data": "broken", "gates": "ok", "tests": "ok",
        "store": "missing",
    }  # fmt: skip
    assert "knows no champion" in first["store"].sentence
    assert first["data"].sentence == "there is no default remote: another machine does not get data/raw.csv"

    remote = tmp_path / "remote"
    trained.git.run("config", "user.name", "a")
    config = trained.root / ".dvc/config"
    config.write_text(f"[core]\n    remote = r\n['remote \"r\"']\n    url = {remote}\n")
    project = open_workspace(trained.root)
    apply_ci_file(plan_ci_file(project, "gitlab", is_self_hosted=True))
    found = parts(trained)
    assert (found["commit"].state, found["data"].state) == ("missing", "broken")
    assert found["data"].hint == "penstock push"
    assert found["file"].state == "ok"
    push(project.data)
    project.close()
    assert parts(trained)["data"].state == "ok"

    config.write_text("")
    (trained.root / ".gitlab-ci.yml").write_text("stages: []\n")
    assert "is not what `ci init gitlab` writes now" in parts(trained)["file"].sentence


def test_changes_that_ci_would_not_see_and_gates_that_refuse_nothing_are_broken(trained: Sample) -> None:
    (trained.root / "params.yaml").write_text("features: [hour]\nstrength: 2.0\n")
    settings = trained.root / "penstock.yaml"
    text = settings.read_text()
    settings.write_text(text.replace("schema: schema.json", "schema: gone.json"))
    found = parts(trained)
    assert "train" in found["pipeline"].sentence
    assert found["commit"].state == "broken"
    assert "penstock.yaml" in found["commit"].sentence
    assert "gone.json" in found["gates"].sentence
    start, end = text.index("gates:"), text.index("endpoints:")
    settings.write_text(text[:start] + text[end:])
    (trained.root / "dvc.yaml").unlink()
    (trained.root / "data/raw.csv.dvc").unlink()
    found = parts(trained)
    assert (found["gates"].state, found["pipeline"].state) == ("broken", "broken")
    assert found["data"].state == "missing"  # git alone holds what there is


def test_linting_writes_nothing_and_needs_git(trained: Sample, tmp_path: Path) -> None:
    before = sorted(path for path in trained.root.rglob("*") if ".git/" not in str(path))
    assert json.dumps([check._asdict() for check in parts(trained).values()])
    after = sorted(path for path in trained.root.rglob("*") if ".git/" not in str(path))
    assert [path for path in after if path not in before and "__pycache__" not in str(path)] == []
    bare = tmp_path / "bare"
    (bare / ".dvc").mkdir(parents=True)
    project = open_workspace(bare)
    for act in (lambda: list(lint(project)), lambda: run_ci(project)):
        with pytest.raises(Invalid, match="not in a git repository"):
            act()
    Git(bare).run("init", "--quiet")
    with pytest.raises(NotFound, match="no commit yet"):
        run_ci(project)
    with pytest.raises(NotFound, match="no remote called origin"):
        plan_hook(project, None)
    project.close()


def test_the_hook_of_a_bare_repository_is_known_where_it_was_written_and_where_origin_has_it(
    trained: Sample, tmp_path: Path
) -> None:
    bare = tmp_path / "flights.git"
    for name, flags in (("flights.git", ["--bare"]), ("ada", [])):
        Git(tmp_path).run("clone", "--quiet", *flags, str(trained.root if flags else bare), name)
    written = CliRunner().invoke(cli, ["-C", str(trained.root), "ci", "init", "hook", str(bare)])
    assert written.exit_code == 0, written.output
    for sample in (trained, Sample(tmp_path / "ada")):
        found = parts(sample)["file"]
        assert (found.state, found.sentence) == ("ok", f"{bare}/hooks/post-receive validates what is pushed")
    hook = bare / "hooks/post-receive"
    hook.write_text(hook.read_text() + "# more\n")
    assert "is not what `ci init hook` writes now" in parts(trained)["file"].sentence
    hook.unlink()
    assert parts(trained)["file"].sentence == "no CI system runs this repository"


def test_in_a_clone_what_is_not_pulled_counts_as_unchanged_while_the_remote_has_it(
    trained: Sample, tmp_path: Path
) -> None:
    remote = tmp_path / "remote"
    (trained.root / ".dvc/config").write_text(
        f"[core]\n    remote = r\n['remote \"r\"']\n    url = {remote}\n"
    )
    settings = trained.root / "penstock.yaml"
    settings.write_text(settings.read_text().replace('  tests: "true"', '  tests: "true"\n  deploy: full'))
    trained.commit("deploy")
    project = open_workspace(trained.root)
    push(project.data)
    project.close()
    Git(tmp_path).run("clone", "--quiet", str(trained.root), "clone")
    clone = Sample(tmp_path / "clone")
    found = parts(clone)
    assert (found["pipeline"].state, found["data"].state) == ("ok", "ok")
    assert "is not pulled here" in found["pipeline"].sentence
    assert found["gates"].hint == "penstock pull"
    assert "is not pulled" in found["gates"].sentence
    assert "nothing goes live" in found["deploy"].sentence
    shutil.rmtree(remote / "files")
    assert "train made is in no cache that CI has: it would run there" in parts(clone)["pipeline"].sentence
    (clone.root / "params.yaml").write_text("features: [hour]\nstrength: 9.0\n")
    assert "train" in parts(clone)["pipeline"].sentence
    CliRunner().invoke(cli, ["-C", str(clone.root), "ci", "init", "github", "--self-hosted"])
    file = clone.root / ".github/workflows/penstock.yml"
    file.write_text(file.read_text() + "# penstock ci run --rev HEAD --deploy\n")
    assert parts(clone)["deploy"].state == "ok"


def test_the_ci_file_at_gits_root_is_looked_at_for_a_project_below_it(
    trained: Sample, tmp_path: Path
) -> None:
    git = Git(tmp_path / "mono")
    shutil.copytree(trained.root, git.root / "late", ignore=shutil.ignore_patterns(".git"))
    git.run("init", "--quiet")
    for key, value in (("user.name", "ada"), ("user.email", "ada@example.org")):
        git.run("config", key, value)
    git.run("add", "--all")
    git.run("commit", "--quiet", "--message", "Begin")
    project = open_workspace(git.root / "late")
    try:
        assert {one.part: one.state for one in lint(project)}["commit"] == "ok"
        for system, told in (("gitlab", ".gitlab-ci.yml"), ("github", ".github/")):
            apply_ci_file(plan_ci_file(project, system, is_self_hosted=True))
            found = {one.part: one for one in lint(project)}["commit"]
            assert (found.state, told in found.sentence) == ("missing", True), found.sentence
    finally:
        project.close()


def test_all_that_is_not_committed_is_named_what_a_run_reads_first(trained: Sample) -> None:
    def told() -> str:
        with closing(open_workspace(trained.root)) as project:
            return {one.part: one for one in lint(project)}["commit"].sentence

    assert told() == "everything is committed"
    trained.write("notes.md", "x")
    assert told() == "one change is not committed, and CI will not see it: notes.md"
    settings = trained.root / "penstock.yaml"
    settings.write_text(settings.read_text() + "# more\n")
    trained.write("a.md", "x")
    assert told() == "3 changes are not committed, and CI will not see them: penstock.yaml, a.md, notes.md"
    trained.write("b.md", "x")
    trained.write("c.md", "x")
    assert told().endswith(
        "5 changes are not committed, and CI will not see them: penstock.yaml, a.md, b.md and 2 more"
    )


def test_a_cache_that_is_gone_is_not_told_as_a_lock_that_is_not_in_step(trained: Sample) -> None:
    shutil.rmtree(trained.root / ".dvc" / "cache")
    check = parts(trained)["pipeline"]
    assert check.state == "missing"
    assert "dvc.lock is in step, but what" in check.sentence
    assert "is in no cache that CI has: it would run there again" in check.sentence
    trained.write(
        "params.yaml", (trained.root / "params.yaml").read_text().replace("seed: 0", "seed: 1") + "# x\n"
    )
    trained.write("train.py", (trained.root / "train.py").read_text() + "# other\n")
    assert "dvc.lock is not in step: train would run in CI" in parts(trained)["pipeline"].sentence
