"""The chain, walked both ways: from a prediction back to its data, from data forward to deployments.

Every entity knows its neighbours by small functions over the keys of the data model; `why` strings them
together. Nothing is computed here that is not in the store or in git.
"""

from __future__ import annotations

from typing import Any

import msgspec
import sqlalchemy as sa

from penstock.base.clock import format_ms
from penstock.base.errors import NotFound
from penstock.base.store.events import list_events
from penstock.flows.chain.commits import explain_commit, explain_experiment, explain_run
from penstock.flows.chain.contents import MD5, explain_content, explain_data
from penstock.flows.chain.links import Explanation, Link, make_explanation, unknown
from penstock.flows.chain.origins import origin_links
from penstock.flows.chain.outcomes import Outcomes
from penstock.flows.chain.outlying import outlier_details
from penstock.flows.chain.reached import (
    revision_link,
    role_in,
    served_links,
    state_links,
    taken_out_links,
    verdict_link,
    version_link,
)
from penstock.flows.chain.subjects import (
    as_commit,
    as_experiment,
    as_prediction,
    as_recorded_commit,
    as_revision,
    as_run,
    as_version,
)
from penstock.flows.chain.tree import Tree, open_tree
from penstock.monitoring.ruling import rules_at
from penstock.monitoring.windows import BATCH
from penstock.project.project import Project
from penstock.registry.entities import ModelVersion
from penstock.registry.verdicts import glance_verdict
from penstock.registry.versions import get_version
from penstock.serving.deployments import (
    Revision,
    find_endpoint_name,
    find_revision,
    get_revision,
)
from penstock.serving.predictions.encoding import decode_columns
from penstock.serving.predictions.ids import (
    ROUTES,
    UNKNOWN_ENDPOINT,
    PredictionId,
    Route,
)
from penstock.serving.predictions.stored import (
    Prediction,
    StoredLabel,
    current_label,
    list_labels,
    list_predictions,
)

NAMED = (
    "a prediction id, MODEL/VERSION or MODEL@ALIAS, an endpoint or ENDPOINT#REVISION, a run id, a path that is or was "
    "tracked or that a stage makes, an md5, a commit, or an experiment"
)
"""What can be explained, in words."""
NOT_KEPT = (
    "no record of it is kept (not written yet, older than what is kept, or never answered); its id names"
)


def explain(project: Project, subject: str, most: int | None = None) -> Explanation:
    """Return the chain of whatever a text names: `NAMED` says what can be.

    Args:
        most: of so many versions that a run, data or a commit reached, the newest, the rest is told of; None: of all.

    Raises:
        NotFound: nothing is called so.
    """
    prediction = as_prediction(subject)
    with project.database.read() as connection:
        if prediction is not None:
            return _explain_prediction(project, connection, subject, prediction)
        if "/" in subject or "@" in subject:
            version = as_version(connection, subject)
            if version is not None:
                came_from = _version_links(project, connection, version, with_state=False)
                links = [*came_from, *served_links(Outcomes(connection, [version]), version)]
                return make_explanation(subject, "model version", links, version)
        revision = as_revision(connection, subject)
        if revision is not None:
            version = get_version(connection, revision.model, revision.stable, deleted=True)
            links = [revision_link(revision), *_revision_links(project, connection, revision)]
            return make_explanation(subject, "deployment", links, version)
        if find_revision(connection, subject) is not None:
            return _explain_endpoint(project, connection, subject)
        run = as_run(connection, subject)
        if run is not None:
            return explain_run(project, connection, subject, run, most)
        with open_tree(project) as tree:
            found = explain_data(tree, connection, subject, most)
            if found is None and subject.startswith(MD5):
                found = explain_content(tree, connection, subject, most)
            if found is None:
                found = _explain_of_git(project, connection, tree, subject, most)
            if found is None:
                found = explain_content(tree, connection, subject, most)
            if found is not None:
                return found
            raise NotFound(
                f"nothing is called {subject!r}"
                + (f" in what can be read: {tree.problem}" if tree.problem else ""),
                code="chain.no_subject",
                hint=f"name {NAMED}",
                subject=subject,
            )


def _explain_of_git(
    project: Project, connection: sa.Connection, tree: Tree, subject: str, most: int | None
) -> Explanation | None:
    """Explain a commit that git or the store knows, or an experiment."""
    commit = as_commit(project, subject) or as_recorded_commit(connection, subject)
    if commit is not None:
        return explain_commit(project, connection, tree, subject, commit, most)
    experiment = as_experiment(project, subject)
    return (
        explain_experiment(project, connection, tree, subject, experiment, most)
        if experiment is not None
        else None
    )


def label_details(given: list[StoredLabel]) -> dict[str, Any]:
    """Return the label that holds, and what was in its place before: who replaced it when."""
    label: list[Any] | None = None
    corrections: list[str] = []
    for one in given:
        before, label = label, current_label(label, one.values)
        if before is not None and any(old not in (None, new) for old, new in zip(before, label, strict=True)):
            by = f" by {one.sent_by}" if one.sent_by else ""
            corrections.append(f"label {before} was corrected {format_ms(one.received_ms)}{by}")
    found: dict[str, Any] = {} if label is None else {"label": label}
    return {**found, "corrections": corrections} if corrections else found


def _explain_prediction(
    project: Project, connection: sa.Connection, subject: str, prediction: PredictionId
) -> Explanation:
    kept = list_predictions(connection, [subject])
    endpoint = find_endpoint_name(connection, prediction.endpoint_id)
    if endpoint is None and kept and prediction.endpoint_id == UNKNOWN_ENDPOINT:
        endpoint, prediction = kept[0].endpoint, _made_by(prediction, kept[0])
    if endpoint is None:
        raise NotFound(
            f"no record of prediction {subject} is kept here, and its id names no endpoint of this store",
            code="chain.foreign_prediction",
            hint="ask the store of the system that answered it",
        )
    details: dict[str, Any] = {"route": prediction.route, "time_ms": prediction.time_ms}
    if not kept:
        details["is_recorded"] = False
    for stored in kept:
        details["outputs"] = _values(stored.outputs)
        if stored.features is not None:
            details["features"] = _values(stored.features)
    details |= label_details(list_labels(connection, [subject]))
    if prediction.route == "direct":
        revision = get_revision(connection, endpoint)
        number = prediction.revision
        when = rules_at(connection, endpoint, number, prediction.time_ms)
        reached = (
            f"version {number} by a rule of the endpoint ({'; '.join(when)}), or asked for directly"
            if when
            else f"asked for version {number} directly"
        )
        links = []
    else:
        revision = get_revision(connection, endpoint, prediction.revision)
        number = (
            revision.canary.version if prediction.route == "canary" and revision.canary else revision.stable
        )
        is_of_batch = any(one.route == BATCH for one in kept)
        way = "in a batch" if is_of_batch else f"{prediction.route} route"
        if not kept:  # an id has no room to say of a batch that it was one
            way += ", or in a batch"
        reached = f"{endpoint}#{revision.number}, {way}"
        links = [revision_link(revision)]
    version = get_version(connection, revision.model, number, deleted=True)
    details |= outlier_details(project, version, kept)
    first = Link(
        kind="prediction",
        key=subject,
        text=("" if kept else f"{NOT_KEPT} ") + f"{format_ms(prediction.time_ms)}, {reached}",
        details=details,
    )
    deployed = revision if links else None
    found = [first, *links, *_version_links(project, connection, version, deployed)]
    return make_explanation(subject, "prediction", found, version)


def _made_by(prediction: PredictionId, stored: Prediction) -> PredictionId:
    """Return an id that was made without the store, with what the store knows of it."""
    route: Route = next((one for one in ROUTES if one == stored.route), "stable")
    number = stored.version if route == "direct" else stored.revision
    return msgspec.structs.replace(prediction, route=route, revision=number)


def _values(packed: bytes) -> dict[str, Any]:
    return {name: array.tolist() for name, array in decode_columns(packed).items()}


def _explain_endpoint(project: Project, connection: sa.Connection, endpoint: str) -> Explanation:
    revision = get_revision(connection, endpoint)
    events = list_events(connection, subject=f"endpoint:{endpoint}", limit=5)
    links = [revision_link(revision)]
    links += [
        Link(
            kind="event",
            key=str(event.id),
            text=f"{format_ms(event.time_ms)} {event.summary}",
            details={"event": event.kind, "cause": event.cause},
        )
        for event in reversed(events)
    ]
    version = get_version(connection, revision.model, revision.stable, deleted=True)
    links += _revision_links(project, connection, revision)
    return make_explanation(endpoint, "endpoint", links, version)


def _revision_links(project: Project, connection: sa.Connection, revision: Revision) -> list[Link]:
    """Return where each version that answers in a revision came from, its shadows by name, and what it took out."""
    links: list[Link] = []
    for number in revision.versions:
        version = get_version(connection, revision.model, number, deleted=True)
        if number in revision.answering:
            links += _version_links(project, connection, version, revision)
        else:
            outcomes = Outcomes(connection, [version])
            links += [
                version_link(outcomes, version, role_in(revision, number)),
                *state_links(outcomes, version),
            ]
    return [*links, *taken_out_links(connection, revision)]


def _version_links(
    project: Project,
    connection: sa.Connection,
    version: ModelVersion,
    revision: Revision | None = None,
    *,
    with_state: bool = True,
) -> list[Link]:
    """Return where a version came from, with the verdict that it (of a revision: that revision) went out on.

    Args:
        with_state: whether a rollback is told here; `served_links` tells it behind the deployments.
    """
    outcomes = Outcomes(connection, [version])
    role = "" if revision is None else role_in(revision, version.number)
    links = [version_link(outcomes, version, role), *(state_links(outcomes, version) if with_state else [])]
    verdict = (
        outcomes.verdict(version)
        if revision is None
        else glance_verdict(connection, version.model, version.digest, until_ms=revision.created_ms)
    )
    if verdict is not None:
        links.append(verdict_link(verdict))
    elif version.digest:
        links.append(unknown("verdict: no gate judged it"))
    newest = glance_verdict(connection, version.model, version.digest)
    if verdict is not None and newest is not None and newest.id != verdict.id and not newest.passed:
        links.append(verdict_link(newest, "refused since"))
    return [*links, *origin_links(connection, project.git, version)]
