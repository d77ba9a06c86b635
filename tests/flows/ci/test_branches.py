"""Which commits are on the default branch: by the variables of CI systems, else by git."""

from __future__ import annotations

import json
from pathlib import Path

from penstock.base.git import Git
from penstock.flows.ci.branches import Pushed, ToldBranch, told_by_system, why_not_on_default


def test_what_the_variables_of_ci_systems_say_of_a_branch() -> None:
    event = json.dumps({"repository": {"default_branch": "main"}}).encode()
    github = {"GITHUB_ACTIONS": "true", "GITHUB_SHA": "c"}
    gitlab = {"GITLAB_CI": "true", "CI_COMMIT_SHA": "c", "CI_DEFAULT_BRANCH": "main"}
    jenkins = {"JENKINS_URL": "http://j", "GIT_COMMIT": "c", "BRANCH_NAME": "main"}
    for variables, told, expected in (
        ({**github, "GITHUB_REF": "refs/heads/main"}, event, ToldBranch("c", "main", "main")),
        ({**github, "GITHUB_REF": "refs/heads/a/b"}, event, ToldBranch("c", "a/b", "main")),
        ({**github, "GITHUB_REF": "refs/pull/7/merge"}, event, ToldBranch("c", None, "main")),
        ({**github, "GITHUB_REF": "refs/heads/main", "GITHUB_EVENT_NAME": "schedule"}, b"{}", ToldBranch("c", "main", "main")),
        ({**github, "GITHUB_REF": "refs/heads/main"}, b"no JSON", None),
        ({**gitlab, "CI_COMMIT_BRANCH": "main"}, None, ToldBranch("c", "main", "main")),
        (gitlab, None, ToldBranch("c", None, "main")),
        ({**jenkins, "BRANCH_IS_PRIMARY": "true"}, None, ToldBranch("c", "main", "main")),
        (jenkins, None, None),
        ({}, None, None),
    ):  # fmt: skip
        assert told_by_system(variables, told) == expected, variables


def test_a_commit_is_on_the_default_branch_or_it_is_said_why_not(tmp_path: Path) -> None:
    git = Git(tmp_path / "home")
    Git(tmp_path).run("init", "--quiet", "--initial-branch", "main", "home")
    for name, value in (("user.name", "Ada"), ("user.email", "ada@example.org")):
        git.run("config", name, value)
    commits = {}
    for name in ("first", "second"):
        git.run("commit", "--quiet", "--allow-empty", "--message", name)
        commits[name] = git.head() or ""
    Git(tmp_path).run("clone", "--quiet", "--bare", "home", "bare")
    bare = str(tmp_path / "bare")
    git.run("checkout", "--quiet", "-b", "trial")
    git.run("commit", "--quiet", "--allow-empty", "--message", "trial")
    trial = git.head() or ""
    git.run("config", "remote.origin.url", bare)
    main, side = ToldBranch(commits["second"], "main", "main"), ToldBranch(trial, "trial", "main")
    foreign = ToldBranch("0" * 40, "other", "main")
    for commit, pushed, why in (
        (commits["first"], Pushed(), None),
        (commits["second"], Pushed(source=bare), None),
        (trial, Pushed(), f"commit {trial[:10]} is not on the default branch main"),
        (trial, Pushed(source=bare), f"commit {trial[:10]} is not on the default branch main"),
        (trial, Pushed(told=side), "this run is of the branch trial, and only the default branch main is released"),
        (trial, Pushed(told=main), f"commit {trial[:10]} is not on the default branch main"),
        (commits["first"], Pushed(told=main), None),
        (commits["first"], Pushed(told=foreign), None),
        (trial, Pushed(source=str(tmp_path / "gone")), "git cannot say which branch is the default one, and only that is released"),
    ):  # fmt: skip
        assert why_not_on_default(git, commit, pushed) == why, (commit, pushed)
    git.run("config", "--unset", "remote.origin.url")
    assert why_not_on_default(git, trial, Pushed()) is None, "with no origin, this repository's HEAD is it"
    git.run("worktree", "add", "--quiet", "--detach", str(tmp_path / "tree"), trial)
    assert why_not_on_default(Git(tmp_path / "tree"), trial, Pushed()) is None, (
        "also asked from the tree of a run"
    )
