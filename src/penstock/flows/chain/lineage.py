"""The chain, walked both ways: from a prediction back to its data, from data forward to deployments.

Every entity knows its neighbours by small functions over the keys of the data model; `why` strings them
together. Nothing is computed here that is not in the store or in git.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import sqlalchemy as sa

from penstock.base.clock import format_ms
from penstock.base.errors import NotFound
from penstock.base.numbers import counted, format_number
from penstock.base.store.events import list_events
from penstock.flows.chain.outcomes import Outcomes
from penstock.flows.chain.outlying import outlier_details
from penstock.flows.chain.subjects import as_commit, as_prediction, as_revision, as_run, as_version
from penstock.monitoring.ruling import rules_at
from penstock.monitoring.windows import BATCH
from penstock.project.project import Project
from penstock.registry.entities import ModelVersion
from penstock.registry.verdicts import glance_verdict
from penstock.registry.versions import (
    get_version,
    list_versions_of_commit,
    list_versions_of_input,
    list_versions_of_run,
)
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
from penstock.tracking import runs as tracking

NOT_KEPT = (
    "no record of it is kept (not written yet, older than what is kept, or never answered); its id names"
)


class Link(msgspec.Struct, frozen=True, kw_only=True):
    """One link of the chain: what it is, its key, and what there is to say of it."""

    kind: str
    key: str
    text: str
    details: dict[str, Any] = {}


class Explanation(msgspec.Struct, frozen=True, kw_only=True):
    """The chain of one subject, nearest link first. `version` is the model version it leads to."""

    subject: str
    kind: str
    links: tuple[Link, ...]
    version: str | None = None
    commit: str | None = None


def explain(project: Project, subject: str, most: int | None = None) -> Explanation:
    """Return the chain of a prediction id, `model/version`, `model@alias`, endpoint, run, data file or commit.

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
                came_from = _version_links(connection, version, with_state=False)
                links = [*came_from, *_served_links(Outcomes(connection, [version]), version)]
                return _explanation(subject, "model version", links, version)
        revision = as_revision(connection, subject)
        if revision is not None:
            version = get_version(connection, revision.model, revision.stable, deleted=True)
            links = [_revision_link(revision), *_version_links(connection, version, revision)]
            return _explanation(subject, "deployment", links, version)
        if find_revision(connection, subject) is not None:
            return _explain_endpoint(connection, subject)
        run = as_run(connection, subject)
        if run is not None:
            return _explain_run(connection, subject, run, most)
        data = _as_data(connection, subject, most)
        if data is not None:
            return data
        commit = as_commit(project, subject)
        if commit is not None:
            return _explain_commit(connection, subject, commit, most)
    raise NotFound(
        f"nothing is called {subject!r}",
        code="chain.no_subject",
        hint="name a prediction id, MODEL/VERSION, an endpoint, a run id, a tracked file or a commit",
        subject=subject,
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
        links = [_revision_link(revision)]
    version = get_version(connection, revision.model, number, deleted=True)
    details |= outlier_details(project, version, kept)
    first = Link(
        kind="prediction",
        key=subject,
        text=("" if kept else f"{NOT_KEPT} ") + f"{format_ms(prediction.time_ms)}, {reached}",
        details=details,
    )
    deployed = revision if links else None
    found = [first, *links, *_version_links(connection, version, deployed)]
    return _explanation(subject, "prediction", found, version)


def _made_by(prediction: PredictionId, stored: Prediction) -> PredictionId:
    """Return an id that was made without the store, with what the store knows of it."""
    route: Route = next((one for one in ROUTES if one == stored.route), "stable")
    number = stored.version if route == "direct" else stored.revision
    return msgspec.structs.replace(prediction, route=route, revision=number)


def _values(packed: bytes) -> dict[str, Any]:
    return {name: array.tolist() for name, array in decode_columns(packed).items()}


def _explain_endpoint(connection: sa.Connection, endpoint: str) -> Explanation:
    revision = get_revision(connection, endpoint)
    events = list_events(connection, subject=f"endpoint:{endpoint}", limit=5)
    links = [_revision_link(revision)]
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
    return _explanation(
        endpoint, "endpoint", [*links, *_version_links(connection, version, revision)], version
    )


def _explain_run(connection: sa.Connection, subject: str, run_id: str, most: int | None) -> Explanation:
    versions = list_versions_of_run(connection, run_id, most)
    links = [*_run_links(connection, run_id)]
    outcomes = Outcomes(connection, versions)
    for version in versions:
        links += [_version_link(outcomes, version), *_served_links(outcomes, version)]
    return _explanation(
        subject, "run", links, versions[-1] if versions else None, tracking.get_run(connection, run_id).commit
    )


def _explain_commit(connection: sa.Connection, subject: str, commit: str, most: int | None) -> Explanation:
    links = [Link(kind="commit", key=commit, text=commit[:10])]
    found = {version.ref: version for version in list_versions_of_commit(connection, commit, most)}
    for run_id in tracking.list_runs_of_commit(connection, commit)[-most if most else None :]:
        links.append(_run_links(connection, run_id)[0])
        found |= {version.ref: version for version in list_versions_of_run(connection, run_id, most)}
    told = list(found.values())[-most if most else None :]
    outcomes = Outcomes(connection, told)
    for version in told:
        links += [_version_link(outcomes, version), *_served_links(outcomes, version)]
    newest = max(found.values(), key=lambda version: version.created_ms, default=None)
    return _explanation(subject, "commit", links, newest, commit)


def _as_data(connection: sa.Connection, subject: str, most: int | None) -> Explanation | None:
    """Explain a tracked path, or one inside a tracked directory."""
    named = Path(subject).as_posix().removesuffix(".dvc")
    for path in (named, *(parent.as_posix() for parent in Path(named).parents)):
        found = _explain_data(connection, subject, path, most)
        if found is not None:
            return found
    return None


def _explain_data(connection: sa.Connection, subject: str, path: str, most: int | None) -> Explanation | None:
    versions = list_versions_of_input(connection, path, most)
    rows = tracking.list_inputs_of_path(connection, path)
    if not versions and not rows:
        return None
    links, outcomes = [], Outcomes(connection, versions)
    for digest in dict.fromkeys(
        [used for _, used in rows] + [item.provenance.data[path] for item in versions]
    ):
        runs = [run_id for run_id, used in rows if used == digest]
        links.append(
            Link(
                kind="data",
                key=digest,
                text=f"{path} {digest[:16]}, used by {counted(len(runs), 'run')}",
                details={"runs": runs},
            )
        )
        for version in versions:
            if version.provenance.data[path] == digest:
                links += [_version_link(outcomes, version), *_served_links(outcomes, version)]
    return _explanation(subject, "data", links, versions[0] if versions else None)


def _version_links(
    connection: sa.Connection,
    version: ModelVersion,
    revision: Revision | None = None,
    *,
    with_state: bool = True,
) -> list[Link]:
    """Return where a version came from, with the verdict that it (of a revision: that revision) went out on.

    Args:
        with_state: whether a rollback is told here; `_served_links` tells it behind the deployments.
    """
    outcomes = Outcomes(connection, [version])
    links = [_version_link(outcomes, version), *(_state_links(outcomes, version) if with_state else [])]
    verdict = (
        outcomes.verdict(version)
        if revision is None
        else glance_verdict(connection, version.model, version.digest, until_ms=revision.created_ms)
    )
    if verdict is not None:
        word = "passed" if verdict.passed else "refused"
        links.append(
            Link(
                kind="verdict",
                key=verdict.id,
                text=f"{word}, {format_ms(verdict.created_ms)}",
                details={"checks": [f"{check.status}: {check.sentence}" for check in verdict.checks]},
            )
        )
    origin = version.provenance
    if origin.run_id is not None:
        try:
            links += _run_links(connection, origin.run_id)
        except NotFound:  # a client may name a run of another server
            links.append(Link(kind="run", key=origin.run_id, text="not kept here"))
    if origin.commit is not None:
        dirty = "with uncommitted changes kept as an artifact" if origin.dirty_digest else "clean"
        links.append(
            Link(
                kind="commit",
                key=origin.commit,
                text=f"{origin.commit[:10]}, {dirty}",
                details={"patch": origin.dirty_digest},
            )
        )
    links += [
        Link(kind="data", key=digest, text=f"{path} {digest[:16]}", details={"path": path})
        for path, digest in origin.data.items()
    ]
    return links


def _state_links(outcomes: Outcomes, version: ModelVersion) -> list[Link]:
    state = outcomes.rolled_back(version)
    if state is None:
        return []
    whose = "" if state.is_of(version) else f"{version.ref} {state.whose(version)} "
    told = [(one, f"{whose}{one.sentence}") for one in state.each]
    return [Link(kind="rollback", key=one.ref, text=text, details={"cause": one.cause}) for one, text in told]


def _version_link(outcomes: Outcomes, version: ModelVersion) -> Link:
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


def _run_links(connection: sa.Connection, run_id: str) -> list[Link]:
    run = tracking.get_run(connection, run_id)
    stages = ", ".join(f"{stage.name} {stage.action}" for stage in run.stages)
    params = ", ".join(f"{key}={value}" for key, value in run.params.items())
    links = [
        Link(
            kind="run",
            key=run.id,
            text=f"{format_ms(run.start_ms)}, {run.status.lower()}: {stages}",
            details={"metrics": run.metrics},
        )
    ]
    if params:
        links.append(
            Link(kind="parameters", key=run.lock_digest or "", text=params, details=dict(run.params))
        )
    return links


def _served_links(outcomes: Outcomes, version: ModelVersion) -> list[Link]:
    """Return every deployment of a version, and that it was rolled back where it was: how its story ended."""
    return [*map(_revision_link, outcomes.revisions(version)), *_state_links(outcomes, version)]


def _revision_link(revision: Revision) -> Link:
    return Link(
        kind="deployment",
        key=f"{revision.endpoint}#{revision.number}",
        text=f"{format_ms(revision.created_ms)} by {revision.actor}: {revision.reason}",
        details={"cause": revision.cause},
    )


def _explanation(
    subject: str, kind: str, links: list[Link], version: ModelVersion | None, commit: str | None = None
) -> Explanation:
    return Explanation(
        subject=subject,
        kind=kind,
        links=tuple(links),
        version=version.ref if version else None,
        commit=commit or (version.provenance.commit if version else None),
    )
