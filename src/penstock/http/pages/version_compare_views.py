"""The page that compares versions of a model: what they take, were made of, score offline and live, and what gates said."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import sqlalchemy as sa
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from penstock.base.errors import NotFound
from penstock.flows.chain.comparable import why_incomparable
from penstock.flows.chain.outings import Outing, view_outings
from penstock.flows.models.folders import find_signature
from penstock.flows.models.views import VersionView
from penstock.http.pages.queries import query_of, refusal
from penstock.http.pages.render import Renderer
from penstock.http.pages.runs.tables import is_loss
from penstock.http.pages.telling.comparing import Compared, numbers_row, texts_row
from penstock.http.pages.telling.formatting import segment, short_id, size
from penstock.http.subjects import named_version
from penstock.project.project import Project
from penstock.records.signature import Signature
from penstock.registry.aliases import find_alias
from penstock.registry.documents.origins import commit_words, tree_of
from penstock.registry.entities import ModelVersion
from penstock.registry.models import get_model
from penstock.registry.states import list_rolled_back
from penstock.tracking import runs as tracking

MOST = 8
"""So many versions stand beside each other."""
ABSENT = "–"


@dataclass(frozen=True)
class Told:
    """What is known of one version that is compared."""

    view: VersionView
    outing: Outing
    parameters: Mapping[str, str]
    signature: Signature | None

    @property
    def version(self) -> ModelVersion:
        """The version itself."""
        return self.view.version

    @property
    def is_rolled_back(self) -> bool:
        """Whether it was taken out of production for cause."""
        return self.view.rolled_back is not None


class VersionComparePages:
    """Compares versions of a model."""

    def __init__(self, project: Project, renderer: Renderer) -> None:
        self._project = project
        self._renderer = renderer

    def compare(self, request: Request) -> Response:
        """Versions beside each other: `?versions=1,2`, by number or alias; what differs comes first."""
        query = query_of(request)
        with self._project.database.read() as connection:
            model = get_model(connection, request.path_params["name"]).name
            numbers = _numbers(connection, model, query.every("versions"))
            if not numbers and (alias := find_alias(connection, model, "compare")) is not None:
                # the alias is called as this page is: without versions its address is the alias's
                return RedirectResponse(f"{self._renderer.base}/models/{segment(model)}/{alias.version}", 303)
        told = self._told(model, numbers[:MOST])
        gates = self._project.readable_settings.gates
        judged = [one.settings.name for one in gates if one.kind == "metric"]
        with self._project.database.read() as connection:
            apart = why_incomparable(self._project, connection, [one.version for one in told])
        rows = compare_versions(told, judged, is_comparable=not apart) if len(told) > 1 else []
        return self._renderer.page(
            "compare_versions.html",
            model=model,
            told=told,
            apart=apart,
            rows=[one for one in rows if one.differs],
            same=[one for one in rows if not one.differs],
            count=len(numbers),
            most=MOST,
        )

    def _told(self, model: str, numbers: Sequence[int]) -> list[Told]:
        views = [named_version(self._project, model, str(one)) for one in numbers]
        signatures = [find_signature(self._project, model, one) for one in numbers]
        with self._project.database.read() as connection:
            outings = view_outings(
                connection, [one.version for one in views], list_rolled_back(connection, model)
            )
            return [
                Told(
                    view,
                    outings[(model, view.version.number)],
                    parameters_of(connection, view.version),
                    signature,
                )
                for view, signature in zip(views, signatures, strict=True)
            ]


def compare_versions(
    told: Sequence[Told], judged: Sequence[str] = (), *, is_comparable: bool = True
) -> list[Compared]:
    """Return every fact of versions as rows: production, numbers offline and live, gates, features, parameters, data, code.

    Args:
        judged: the metrics that gates judge, which come first.
        is_comparable: whether the offline numbers are of the same rows; else none of them is the best.
    """
    versions = [one.version for one in told]
    rows = [texts_row("production", "state", [one.outing.standing for one in told])]
    rows += _numbers_of(told, judged, is_comparable)
    checks = [
        {_check_name(one.kind, one.name): one.status for one in told_one.view.verdict.checks}
        if told_one.view.verdict
        else {}
        for told_one in told
    ]
    verdicts = [ABSENT if one.view.verdict is None else _passed(one.view.verdict.passed) for one in told]
    rows.append(texts_row("verdict", "of all checks", verdicts))
    rows += _each("check", checks)
    rows += _each("feature", [_features(one.signature) for one in told])
    rows += _each("parameter", [one.parameters for one in told])
    rows += _each("data", [one.provenance.data for one in versions])
    rows.append(
        texts_row(
            "code", "commit", [commit_words(one) + (one.provenance.commit or ABSENT)[:10] for one in versions]
        )
    )
    words = {"clean": "no", "unknown": "not known", "changed": "yes"}
    changes = [
        words[tree_of(one)] + (f", {short_id(digest)}" if (digest := one.provenance.dirty_digest) else "")
        for one in versions
    ]
    rows.append(texts_row("code", "uncommitted changes", changes))
    sizes = [
        size(sum(file.size for file in one.manifest.files)) if one.manifest.files else ABSENT
        for one in versions
    ]
    rows.append(texts_row("files", "size", sizes))
    rows += _each("tag", [one.tags for one in versions])
    return rows


def parameters_of(connection: sa.Connection, version: ModelVersion) -> dict[str, str]:
    """Return the parameters of the run that made a version; none where no run did, or one of another server."""
    run_id = version.provenance.run_id
    if run_id is None:
        return {}
    try:
        return tracking.get_run(connection, run_id).params
    except NotFound:  # a client may name a run of another server
        return {}


def _numbers_of(told: Sequence[Told], judged: Sequence[str], is_comparable: bool) -> list[Compared]:
    """Return a row for each metric offline, below it one live where labels told it; what was rolled back is never best."""
    out = [one.is_rolled_back for one in told]
    offline = [one.version.metrics for one in told]
    places = list(dict.fromkeys(place.endpoint for one in told for place in one.outing.live))
    live = {
        place: [
            {
                name: value
                for on in one.outing.live
                if on.endpoint == place
                for name, value in on.metrics.items()
            }
            for one in told
        ]
        for place in places
    }
    known_live = {name for values in live.values() for one in values for name in one}
    names = {name for one in offline for name in one} | known_live
    rows: list[Compared] = []
    for name in sorted(names, key=lambda one: (one not in judged, one not in known_live, one)):
        kinds = [("offline", name, offline)]
        kinds += [
            ("live", f"{name} on {place}" if len(places) > 1 else name, live[place]) for place in places
        ]
        for kind, title, values in kinds:
            if any(name in one for one in values):
                found = [one.get(name) for one in values]
                never = out if is_comparable or kind == "live" else [True for _ in told]
                rows.append(numbers_row(kind, title, found, loss=is_loss(name), never_best=never))
    return rows


def _each(kind: str, values: Sequence[Mapping[str, str]]) -> list[Compared]:
    names = sorted({name for one in values for name in one})
    return [texts_row(kind, name, [one.get(name, ABSENT) for one in values]) for name in names]


def _features(signature: Signature | None) -> dict[str, str]:
    if signature is None:
        return {}
    missing = {True: "values may be missing", False: "may be missing"}
    return {
        one.name: one.datatype if one.required else f"{one.datatype}, {missing[one.must_be_sent]}"
        for one in signature.inputs
    }


def _check_name(kind: str, name: str) -> str:
    return kind if name in {"", kind} else f"{kind} {name}"


def _passed(is_passed: bool) -> str:
    return "passed" if is_passed else "refused"


def _numbers(connection: sa.Connection, model: str, texts: Sequence[str]) -> list[int]:
    """Return the numbers of the versions that an address names, each once.

    Raises:
        Invalid: a text is neither a number nor an alias of the model.
    """
    found: list[int] = []
    for text in (part.strip() for whole in texts for part in whole.split(",")):
        if not text:
            continue
        if text.isascii() and text.isdigit() and len(text) < 10:
            found.append(int(text))
            continue
        alias = find_alias(connection, model, text)
        if alias is None:
            raise refusal("versions", f"names versions by number or alias, such as 1,2, not {text[:60]!r}")
        found.append(alias.version)
    return list(dict.fromkeys(found))
