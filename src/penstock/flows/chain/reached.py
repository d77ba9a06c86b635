"""What versions are and what became of them, as links: verdicts, deployments, and that they were rolled back."""

from __future__ import annotations

import sqlalchemy as sa

from penstock.base.clock import format_ms
from penstock.base.numbers import format_number
from penstock.flows.chain.links import Link
from penstock.flows.chain.outcomes import Outcomes
from penstock.registry.entities import ModelVersion, Verdict
from penstock.registry.versions import get_version
from penstock.serving.deployments import Revision, find_revision


def reached_links(outcomes: Outcomes, version: ModelVersion) -> list[Link]:
    """Return a version with how its story went on."""
    return [version_link(outcomes, version), *served_links(outcomes, version)]


def verdict_link(verdict: Verdict, word: str = "") -> Link:
    """Return a verdict with its checks; `word` is what it said, in other words than `passed` and `refused`."""
    word = word or ("passed" if verdict.passed else "refused")
    return Link(
        kind="verdict",
        key=verdict.id,
        text=f"{word}, {format_ms(verdict.created_ms)}",
        details={"checks": [f"{check.status}: {check.sentence}" for check in verdict.checks]},
    )


def state_links(outcomes: Outcomes, version: ModelVersion) -> list[Link]:
    """Return that a version is rolled back, and why; nothing where it is not."""
    state = outcomes.rolled_back(version)
    if state is None:
        return []
    whose = "" if state.is_of(version) else f"{version.ref} {state.whose(version)} "
    told = [(one, f"{whose}{one.sentence}") for one in state.each]
    return [Link(kind="rollback", key=one.ref, text=text, details={"cause": one.cause}) for one, text in told]


def version_link(outcomes: Outcomes, version: ModelVersion, role: str = "") -> Link:
    """Return a version itself, with its role in the revision that it is told of."""
    metrics = ", ".join(
        f"{name} {format_number(value)}" for name, value in sorted(version.metrics.items())[:4]
    )
    told = (
        role,
        outcomes.deleted(version),
        f"sha256 {version.digest[:12]}",
        metrics and f"offline {metrics}",
    )
    return Link(
        kind="model version",
        key=version.ref,
        text=", ".join(filter(None, told)),
        details={
            "digest": version.digest,
            "metrics": version.metrics,
            "registered_ms": version.created_ms,
            "actor": version.actor,
            **({"role": role} if role else {}),
        },
    )


def served_links(outcomes: Outcomes, version: ModelVersion) -> list[Link]:
    """Return every deployment of a version, and that it was rolled back where it was: how its story ended."""
    return [*map(revision_link, outcomes.revisions(version)), *state_links(outcomes, version)]


def role_in(revision: Revision, number: int) -> str:
    """Return what a version does in a revision that it takes part in."""
    if revision.canary is not None and revision.canary.version == number:
        return f"canary with {revision.canary.percent:g} %"
    return "stable" if revision.stable == number else "shadow"


def taken_out_links(connection: sa.Connection, revision: Revision) -> list[Link]:
    """Return the versions that answered in the revision before and do not in this one, and which are rolled back."""
    before = None
    if revision.previous is not None:
        before = find_revision(connection, revision.endpoint, revision.previous)
    if before is None:
        return []
    kept = revision.answering if before.model == revision.model else ()
    links: list[Link] = []
    for number in before.answering:
        if number not in kept:
            version = get_version(connection, before.model, number, deleted=True)
            role = role_in(before, number)
            text = f"it was {role} in {before.endpoint}#{before.number}"
            links.append(Link(kind="taken out", key=version.ref, text=text, details={"role": role}))
            links += state_links(Outcomes(connection, [version]), version)
    return links


def revision_link(revision: Revision) -> Link:
    """Return a deployment."""
    return Link(
        kind="deployment",
        key=f"{revision.endpoint}#{revision.number}",
        text=f"{format_ms(revision.created_ms)} by {revision.actor}: {revision.reason}",
        details={"cause": revision.cause},
    )
