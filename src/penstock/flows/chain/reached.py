"""What versions are and what became of them, as links: verdicts, deployments, and that they were rolled back."""

from __future__ import annotations

from penstock.base.clock import format_ms
from penstock.base.numbers import format_number
from penstock.flows.chain.links import Link
from penstock.flows.chain.outcomes import Outcomes
from penstock.registry.entities import ModelVersion, Verdict
from penstock.serving.deployments import Revision


def reached_links(outcomes: Outcomes, version: ModelVersion) -> list[Link]:
    """Return a version with how its story went on."""
    return [version_link(outcomes, version), *served_links(outcomes, version)]


def verdict_link(verdict: Verdict) -> Link:
    """Return a verdict with its checks."""
    word = "passed" if verdict.passed else "refused"
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


def version_link(outcomes: Outcomes, version: ModelVersion) -> Link:
    """Return a version itself."""
    metrics = ", ".join(
        f"{name} {format_number(value)}" for name, value in sorted(version.metrics.items())[:4]
    )
    told = (outcomes.deleted(version), f"sha256 {version.digest[:12]}", metrics and f"offline {metrics}")
    return Link(
        kind="model version",
        key=version.ref,
        text=", ".join(filter(None, told)),
        details={
            "digest": version.digest,
            "metrics": version.metrics,
            "registered_ms": version.created_ms,
            "actor": version.actor,
        },
    )


def served_links(outcomes: Outcomes, version: ModelVersion) -> list[Link]:
    """Return every deployment of a version, and that it was rolled back where it was: how its story ended."""
    return [*map(revision_link, outcomes.revisions(version)), *state_links(outcomes, version)]


def revision_link(revision: Revision) -> Link:
    """Return a deployment."""
    return Link(
        kind="deployment",
        key=f"{revision.endpoint}#{revision.number}",
        text=f"{format_ms(revision.created_ms)} by {revision.actor}: {revision.reason}",
        details={"cause": revision.cause},
    )
