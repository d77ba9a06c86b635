"""What becomes of versions that passed on the default branch: promoted, deployed, or given a first share of the traffic."""

from __future__ import annotations

from penstock.flows.models.aliases import apply_promotion, plan_promotion
from penstock.flows.production.deploying import plan_deployment
from penstock.flows.production.revising import apply_deployment
from penstock.project.project import Project
from penstock.registry.entities import ModelVersion
from penstock.serving.deployments import find_revision


def release(tree: Project, versions: list[ModelVersion], reason: str) -> list[str]:
    """Do what `ci.deploy` says, and return what was done, in sentences; doing it again does nothing.

    With `rollout` an endpoint that serves the model already gives the version the first share of its rollout; its alias
    follows when the version has won. What serves nothing yet serves it whole.

    Raises:
        Refused: a version may not be promoted or deployed.
        PenstockError: as `plan_promotion` and `plan_deployment`.
    """
    how = tree.settings.ci.deploy
    if how == "none":
        return []
    done = []
    for version in versions:
        shares = _shares(tree, version) if how in {"rollout", "full"} else {}
        if not any(share is not None for share in shares.values()):
            promotion = plan_promotion(tree, version.ref)
            if not promotion.changes_nothing:
                apply_promotion(tree, promotion)
                done.append(f"{version.ref} is champion")
        for endpoint, share in shares.items():
            plan = plan_deployment(tree, endpoint, version.ref, canary=share, reason=reason)
            done.append(f"{plan.summary} (revision {apply_deployment(tree, plan).number})")
    return done


def _shares(tree: Project, version: ModelVersion) -> dict[str, float | None]:
    """Return the endpoints that are to serve a version, with its percent there; None for all of the traffic."""
    found: dict[str, float | None] = {}
    for name, settings in tree.settings.endpoints.items():
        if settings.model.partition("@")[0].partition("/")[0] != version.model:
            continue
        with tree.database.read() as connection:
            revision = find_revision(connection, name)
        serves = revision is not None and revision.model == version.model
        if serves and revision is not None and version.number in revision.versions:
            continue
        first = settings.rollout.steps[0]
        is_shared = serves and tree.settings.ci.deploy == "rollout" and first < 100
        found[name] = first if is_shared else None
    return found
