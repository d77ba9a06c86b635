"""A report is found by what a person calls its commit."""

from __future__ import annotations

import pytest

from penstock.base.errors import NotFound
from penstock.ci.report import CiReport
from penstock.project.ci_reports import find_report, save_report
from projects import Sample


def test_a_report_is_found_by_its_commit_or_a_revision(trained: Sample) -> None:
    commit = trained.git.resolve("HEAD")
    report = CiReport(project="p", commit=commit, subject="s", started_ms=1, passed=True, steps=())
    save_report(trained.project, report)
    trained.git.run("tag", "v1")
    for name in (commit, commit[:7], "HEAD", "v1"):
        assert find_report(trained.project, name).commit == commit
    for name in ("HEAD~99", "nothing", ""):
        with pytest.raises(NotFound, match="no CI run here"):
            find_report(trained.project, name)
