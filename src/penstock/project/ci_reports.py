"""Reports of CI runs on this machine: the last one, and those before it."""

from __future__ import annotations

from contextlib import suppress

import msgspec

from penstock.base.errors import NotFound, PenstockError
from penstock.base.files import write_atomic
from penstock.ci.report import CiReport
from penstock.project.project import Project

REPORT_FILE = "ci/report.json"
RUNS = "ci/runs"
KEPT = 500


def save_report(project: Project, report: CiReport) -> None:
    """Keep a report as the last one and in the log, which forgets the oldest."""
    data = msgspec.json.encode(report)
    write_atomic(project.home / REPORT_FILE, data)
    folder = project.home / RUNS
    write_atomic(folder / f"{report.started_ms:015d}-{report.commit[:12]}.json", data)
    for old in sorted(folder.glob("*.json"))[:-KEPT]:
        old.unlink(missing_ok=True)


def load_report(project: Project) -> CiReport:
    """Return the report of the last CI run here.

    Raises:
        NotFound: there was none.
    """
    try:
        return msgspec.json.decode((project.home / REPORT_FILE).read_bytes(), type=CiReport)
    except FileNotFoundError:
        raise NotFound(
            "no CI run has reported here yet", code="ci.no_report", hint="penstock ci run"
        ) from None


def find_last(project: Project) -> CiReport | None:
    """Return the report of the last CI run here; None where there was none, or it cannot be read."""
    try:
        return load_report(project)
    except (NotFound, OSError, msgspec.DecodeError):
        return None


def list_reports(project: Project, count: int) -> list[CiReport]:
    """Return the last reports, newest first; one that cannot be read is left out."""
    found = []
    for path in sorted((project.home / RUNS).glob("*.json"), reverse=True)[:count]:
        try:
            found.append(msgspec.json.decode(path.read_bytes(), type=CiReport))
        except (OSError, msgspec.DecodeError):
            continue
    return found


def find_report(project: Project, commit: str) -> CiReport:
    """Return the newest report on a commit, named by the beginning of its id or by a revision that git knows.

    Raises:
        NotFound: there is none.
    """
    reports = list_reports(project, KEPT)
    found = next((one for one in reports if commit and one.commit.startswith(commit)), None)
    if found is None and commit:
        with suppress(PenstockError):  # what git does not know either was validated by no run
            named = project.git.resolve(commit)
            found = next((one for one in reports if one.commit == named), None)
    if found is not None:
        return found
    raise NotFound(f"no CI run here was on {commit!r}", code="ci.no_report", hint="penstock ci log")
