"""The chain of a run, a commit and an experiment: what they were made from or changed, and what came of them."""

from __future__ import annotations

from collections.abc import Iterator

import sqlalchemy as sa

from penstock.base.clock import format_ms
from penstock.base.errors import PenstockError
from penstock.ci.report import CiReport
from penstock.data.git.experiments import Experiment
from penstock.flows.chain.links import Explanation, Link, make_explanation, nothing, unknown
from penstock.flows.chain.origins import commit_link, run_links, run_origin_links
from penstock.flows.chain.outcomes import Outcomes
from penstock.flows.chain.reached import reached_links, verdict_link
from penstock.flows.chain.tree import Tree
from penstock.flows.tracked.timeline import Change, changes_in
from penstock.project.ci_reports import KEPT, list_reports
from penstock.project.project import Project
from penstock.registry.entities import ModelVersion
from penstock.registry.verdicts import get_verdict
from penstock.registry.versions import list_versions_of_commit, list_versions_of_run
from penstock.tracking import runs as tracking
from penstock.tracking.entities import EXPERIMENT_TAG
from penstock.tracking.uses import list_runs_of_tag


def explain_run(
    project: Project, connection: sa.Connection, subject: str, run_id: str, most: int | None
) -> Explanation:
    """Explain a run: what it was made from, and the versions that it made."""
    run = tracking.get_run(connection, run_id)
    links = [*run_links(connection, run_id), *run_origin_links(project.git, run)]
    versions = list_versions_of_run(connection, run_id, most)
    outcomes = Outcomes(connection, versions)
    for version in versions:
        links += reached_links(outcomes, version)
    if not versions:
        links.append(nothing("no model version was registered from it"))
    return make_explanation(subject, "run", links, versions[-1] if versions else None, run.commit)


def explain_commit(
    project: Project, connection: sa.Connection, tree: Tree, subject: str, commit: str, most: int | None
) -> Explanation:
    """Explain a commit: the tracked data that it changed, the runs and versions that were made at it, and CI's word."""
    runs = tracking.list_runs_of_commit(connection, commit)
    links, versions = _of_commit(project, connection, tree, commit, runs, most)
    newest = max(versions, key=lambda version: version.created_ms, default=None)
    return make_explanation(subject, "commit", links, newest, commit)


def explain_experiment(
    project: Project,
    connection: sa.Connection,
    tree: Tree,
    subject: str,
    experiment: Experiment,
    most: int | None,
) -> Explanation:
    """Explain an experiment: the run that made it, the commit it began at, and what its own commit says."""
    text = (
        f"{experiment.name}, {format_ms(experiment.created_s * 1000)}, on commit {experiment.baseline[:10]}"
    )
    first = Link(kind="experiment", key=experiment.ref, text=text, details={"baseline": experiment.baseline})
    made = [
        run_id
        for run_id in list_runs_of_tag(connection, EXPERIMENT_TAG, experiment.name)
        if tracking.get_run(connection, run_id).commit == experiment.baseline
    ]
    runs = [
        *made,
        *(one for one in tracking.list_runs_of_commit(connection, experiment.commit) if one not in made),
    ]
    links, versions = _of_commit(project, connection, tree, experiment.commit, runs, most)
    baseline = commit_link(project.git, experiment.baseline, f"{experiment.baseline[:10]}, which it began at")
    newest = max(versions, key=lambda version: version.created_ms, default=None)
    return make_explanation(subject, "experiment", [first, *links, baseline], newest, experiment.commit)


def _of_commit(
    project: Project, connection: sa.Connection, tree: Tree, commit: str, runs: list[str], most: int | None
) -> tuple[list[Link], list[ModelVersion]]:
    """Return the links of a commit, and the versions that came of it; what there is none of is told."""
    links = [commit_link(project.git, commit, commit[:10] + _subject_of(project, commit))]
    links += _changes(project, tree, commit, is_lacking="lacking" in links[0].details)
    found = {version.ref: version for version in list_versions_of_commit(connection, commit, most)}
    for run_id in runs[-most if most else None :]:
        links += run_links(connection, run_id)[:1]
        found |= {version.ref: version for version in list_versions_of_run(connection, run_id, most)}
    versions = list(found.values())[-most if most else None :]
    outcomes = Outcomes(connection, versions)
    verdicts = []
    for version in versions:
        links += reached_links(outcomes, version)
        verdict = outcomes.verdict(version)
        verdicts += [verdict] if verdict is not None else []
    reports = [one for one in list_reports(project, KEPT) if one.commit == commit]
    links += [_report_link(one) for one in reports]
    told = {one.id for one in verdicts}
    for verdict_id in dict.fromkeys(one.verdict_id for one in reports if one.verdict_id):
        if verdict_id not in told:
            try:
                verdicts.append(get_verdict(connection, verdict_id))
            except PenstockError as error:
                links.append(unknown(f"verdict {verdict_id}: {error.message}"))
    links += [verdict_link(one) for one in {one.id: one for one in verdicts}.values()]
    missing = (
        (runs, "no run was recorded at it"),
        (versions, "no model version came of it"),
        (verdicts, "no gate judged what came of it"),
        (reports, "no CI run on this machine was on it"),
    )
    none = [sentence for one, sentence in missing if not one]
    return [*links, *([nothing("; ".join(none))] if none else [])], versions


def _changes(project: Project, tree: Tree, commit: str, *, is_lacking: bool) -> Iterator[Link]:
    """Yield what a commit changed of tracked data."""
    if tree.repo is None or is_lacking or commit in project.git.cut_commits():
        yield unknown("what it changed of tracked data: its files, or those before them, are not here")
        return
    try:
        changes = changes_in(tree.repo, commit)
    except (PenstockError, UnicodeDecodeError) as error:
        yield unknown(f"what it changed of tracked data: {error}")
        return
    for one in changes:
        yield _change_link(one)
    if not changes:
        yield nothing("it changed no tracked data")


def _change_link(change: Change) -> Link:
    now, before = change.info, change.before
    if now is None:
        said = "tracked no more"
    else:
        said = f"md5:{now.md5[:12]}" + (f", before md5:{before.md5[:12]}" if before is not None else ", new")
    digest = now or before
    details = {
        "path": change.path,
        "before": before.md5 if before else None,
        "after": now.md5 if now else None,
    }
    key = f"md5:{digest.md5}" if digest is not None else ""
    return Link(kind="change", key=key, text=f"{change.path} {said}", details=details)


def _report_link(report: CiReport) -> Link:
    details = {"version": report.version, "verdict": report.verdict_id, "run": report.run_id}
    text = f"{format_ms(report.started_ms)}, {report.state}: {report.outcome}"
    return Link(kind="ci run", key=report.commit, text=text, details=details)


def _subject_of(project: Project, commit: str) -> str:
    """Return who made a commit, when, and its first line; empty where git does not have it."""
    told = project.git.run("log", "-1", "--no-walk", "--format=%an%x00%ct%x00%s", commit, "--", check=False)
    author, _, rest = told.partition("\0")
    time, _, subject = rest.partition("\0")
    return f", {format_ms(1000 * int(time))} by {author}: {subject}" if time.isdigit() else ""
