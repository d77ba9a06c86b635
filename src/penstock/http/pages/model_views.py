"""The pages of registered models: their versions, what became of each in production, and one version judged."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from penstock.base.clock import format_ms, now_ms
from penstock.base.errors import Invalid
from penstock.flows.chain.cards import make_card
from penstock.flows.chain.comparable import why_incomparable
from penstock.flows.chain.links import Explanation
from penstock.flows.chain.outings import Outing, view_outings
from penstock.flows.models.aliases import AliasPolicy, plan_move
from penstock.flows.models.evidence.approving import (
    Standing,
    approval_standing,
    require_approver,
    require_unsaid,
)
from penstock.flows.models.evidence.doors import ask_doors
from penstock.flows.models.evidence.standing import list_judged_again
from penstock.flows.models.folders import find_signature
from penstock.flows.models.views import VersionView, view_newest, view_versions
from penstock.flows.production.fitting import Takeover, view_takeovers
from penstock.http.caller import caller_of
from penstock.http.mlflow.files.headers import attachment
from penstock.http.pages.chains import linked
from penstock.http.pages.decisions.forms import actor_of
from penstock.http.pages.decisions.offers import Offer, offer
from penstock.http.pages.looks import Looks
from penstock.http.pages.queries import query_of, refusal
from penstock.http.pages.render import Renderer
from penstock.http.pages.telling.differences import beside
from penstock.http.pages.telling.formatting import segment
from penstock.http.pages.telling.measures import measure_rows, measures_of
from penstock.http.pages.telling.serving import serves_now
from penstock.http.pages.telling.versions import answer_of, answer_of_models
from penstock.http.pages.version_compare_views import parameters_of
from penstock.http.subjects import explain_subject, named_version
from penstock.project.project import Project
from penstock.records.signature import Signature
from penstock.registry.aliases import find_alias, find_alias_at, list_alias_moves, list_moved_aliases
from penstock.registry.entities import CHAMPION, AliasMove, ModelVersion
from penstock.registry.models import get_model
from penstock.registry.references import parse_time
from penstock.registry.search import RegistrySearch, search_models
from penstock.registry.states import list_rolled_back
from penstock.registry.versions import count_versions, get_version
from penstock.stats.metric_names import METRICS

VERSIONS = 100
EACH = 20
"""So many versions of a model the page of all models has at most."""
MODELS = 1000
COLUMNS = 4
DAY_MS = 86_400_000
NAMED = 5
"""So many versions are named in a sentence."""


class ModelPages:
    """Shows registered models and their versions."""

    def __init__(self, project: Project, looks: Looks, renderer: Renderer) -> None:
        self._project = project
        self._looks = looks
        self._renderer = renderer

    def models(self, request: Request) -> Response:
        """Every model with its newest versions, and those that have a name or answer."""
        with self._project.database.read() as connection:
            names = search_models(connection, RegistrySearch(limit=MODELS))
            totals = {one.model: one.total for one in count_versions(connection)}
        shown = view_newest(self._project, max(1, min(EACH, VERSIONS // max(1, len(names)))))
        with self._project.database.read() as connection:
            outings = view_outings(connection, [one.version for one in shown], list_rolled_back(connection))
        groups: dict[str, list[VersionView]] = {one.version.model: [] for one in shown}
        groups |= {name: [] for name in names}
        for one in shown:
            groups[one.version.model].append(one)
        return self._renderer.page(
            "models.html",
            answer=answer_of_models(len(groups), shown, outings),
            models=groups,
            columns={name: metric_columns(rows, outings) for name, rows in groups.items()},
            outings=outings,
            totals=totals,
            server=self._renderer.address_of(request),
        )

    def model(self, request: Request) -> Response:
        """One model: its versions, where its aliases pointed when, description and tags."""
        with self._project.database.read() as connection:
            model = get_model(connection, request.path_params["name"])
        rows = view_versions(self._project, VERSIONS, model=model.name)
        with self._project.database.read() as connection:
            outings = view_outings(
                connection, [one.version for one in rows], list_rolled_back(connection, model.name)
            )
            moves: list[AliasMove] = []
            for name in list_moved_aliases(connection, model.name):
                moves += list_alias_moves(connection, model.name, name)
            asked = _asked_alias(connection, model.name, query_of(request))
        return self._renderer.page(
            "model.html",
            model=model,
            rows=rows,
            columns=metric_columns(rows, outings),
            outings=outings,
            asked=asked,
            moves=sorted(moves, key=lambda one: one.time_ms, reverse=True)[:VERSIONS],
            move_count=len(moves),
            limit=VERSIONS,
        )

    def card(self, request: Request) -> Response:
        """The model card of a version; under `card.md` the file itself."""
        name, number = request.path_params["name"], request.path_params["number"]
        found = named_version(self._project, name, number)
        version = found.version
        with self._project.database.read() as connection:
            rolled_back = list_rolled_back(connection, version.model)
            outing = view_outings(connection, [version], rolled_back)[(version.model, version.number)]
        signature = find_signature(self._project, version.model, version.number)
        card = make_card(found, signature, outing)
        if request.url.path.endswith(".md"):
            headers = {"Content-Disposition": attachment(f"{version.model}-{version.number}.md")}
            return Response(card.text, media_type="text/markdown; charset=utf-8", headers=headers)
        return self._renderer.page("card.html", version=version, card=card)

    def version(self, request: Request) -> Response:
        """One model version: whether it may go out, its numbers, its verdict, its chain; an alias leads to it."""
        name, number = request.path_params["name"], request.path_params["number"]
        if not number.isdigit():
            with self._project.database.read() as connection:
                alias = find_alias(connection, name, number)
            if alias is not None:
                return RedirectResponse(
                    f"{self._renderer.base}/models/{segment(alias.model)}/{alias.version}", 303
                )
        found = named_version(self._project, name, number)
        version = found.version
        chain = explain_subject(self._project, version.ref)
        with self._project.database.read() as connection:
            rolled_back = list_rolled_back(connection, version.model)
            outing = view_outings(connection, [version], rolled_back)[(version.model, version.number)]
            champion = _champion(connection, version)
            may = caller_of(request.scope).may(connection, "model", version.model, "writer")
            people = approval_standing(self._project, connection, version)
            champion_offer = offer(
                lambda: plan_move(connection, AliasPolicy.of(self._project), version, CHAMPION)
            )
            doors = ask_doors(self._project, connection, version)
            verdict = doors.verdict if found.went_out_ms is None else found.verdict
            judged_again = list_judged_again(connection, version, verdict)
            differences = [] if champion is None else _differences(connection, version, champion)
            apart = why_incomparable(self._project, connection, [version, champion] if champion else [])
        signature = find_signature(self._project, version.model, version.number)
        takeovers = view_takeovers(self._project, version)
        serving = self._looks.conditions(outing.endpoints[:NAMED]) if serves_now(outing) else []
        if champion is not None:
            theirs = find_signature(self._project, champion.model, champion.number)
            differences = [*_features(theirs, signature), *differences]
        measures = measure_rows(measures_of(version, outing, champion, is_comparable=not apart))
        return self._renderer.page(
            "version.html",
            found=found,
            outing=outing,
            answer=answer_of(found, outing, doors, takeovers, serving),
            serving=serving,
            takeovers=takeovers,
            command=_deploying(self._project, version, takeovers),
            verdict=verdict,
            judged_again=judged_again,
            champion=champion,
            may=may,
            door=doors,
            to_champion=champion_offer,
            people=people,
            approving=self._approving(actor_of(request), version, people) if may and people.asked else (),
            comment=query_of(request)["comment"],
            signature=signature,
            measures=[one for one in measures if one.name in version.metrics] or measures,
            more_measures=[one for one in measures if version.metrics and one.name not in version.metrics],
            apart=apart,
            differences=differences,
            size=sum(file.size for file in version.manifest.files),
            links=_links(chain),
        )

    def _approving(self, actor: str, version: ModelVersion, people: Standing) -> tuple[Offer, Offer]:
        """Return whether somebody may approve a version now, and whether he may take that back."""

        def asked(*, withdraw: bool) -> Offer:
            def say() -> None:
                require_approver(self._project, version, actor, withdraw=withdraw)
                require_unsaid(people.approvals, version, actor, withdraw=withdraw)

            return offer(say)

        return asked(withdraw=False), asked(withdraw=True)


def metric_columns(rows: list[VersionView], outings: Mapping[tuple[str, int], Outing]) -> list[str]:
    """Return the metrics that are columns: of the offline ones those that live traffic can be judged by, then the others.

    Where there is room left, those that labels told of live traffic alone.
    """
    offline = {name for one in rows for name in one.version.metrics}
    told = [place for one in rows for place in outings[(one.version.model, one.version.number)].live]
    names = offline.union(*(place.metrics for place in told))
    ranked = sorted(
        names, key=lambda name: (name not in offline, name not in METRICS, name != "roc_auc", name)
    )
    return ranked[:COLUMNS]


def _deploying(project: Project, version: ModelVersion, takeovers: Sequence[Takeover]) -> str:
    """Return the command that lets a version out, to an endpoint that takes it; empty where none of them would."""
    fitting = [one.endpoint for one in takeovers if not one.refusal]
    canary = " --canary 5" if fitting else ""
    if not fitting and not takeovers:
        named = project.readable_settings.endpoints.items()
        fitting = [name for name, one in named if one.alias is not None and one.alias[0] == version.model]
        fitting = fitting[:1] or ["ENDPOINT"]
    return (
        f"penstock deploy {shlex.quote(fitting[0])} --model {shlex.quote(version.ref)}{canary}"
        if fitting
        else ""
    )


def _champion(connection: sa.Connection, version: ModelVersion) -> ModelVersion | None:
    """Return the champion that a version is compared with, None where it is the champion itself."""
    alias = find_alias(connection, version.model, CHAMPION)
    if alias is None or alias.version == version.number:
        return None
    return get_version(connection, version.model, alias.version, deleted=True)


def _differences(
    connection: sa.Connection, version: ModelVersion, champion: ModelVersion
) -> list[tuple[str, str, str, str]]:
    """Return what went in that differs: kind, name, what the champion has, what the version has."""
    rows: list[tuple[str, str, str, str]] = []
    mine, other = (parameters_of(connection, one) for one in (version, champion))
    for kind, ours, theirs in (
        ("parameter", mine, other),
        ("data", version.provenance.data, champion.provenance.data),
    ):
        rows += [
            (kind, name, *beside(theirs.get(name, "–"), ours.get(name, "–")))
            for name in sorted({*ours, *theirs})
            if ours.get(name) != theirs.get(name)
        ]
    commits = (champion.provenance.commit or "–", version.provenance.commit or "–")
    if commits[0] != commits[1]:
        rows.append(("code", "commit", commits[0][:10], commits[1][:10]))
    return rows


def _features(theirs: Signature | None, ours: Signature | None) -> list[tuple[str, str, str, str]]:
    """Return what two versions do not take alike: features only one has, or of other types."""
    if theirs is None or ours is None:
        return []
    before, after = ({one.name: one.datatype for one in side.inputs} for side in (theirs, ours))
    return [
        ("feature", name, before.get(name, "–"), after.get(name, "–"))
        for name in sorted({*before, *after})
        if before.get(name) != after.get(name)
    ]


@dataclass(frozen=True)
class AskedAlias:
    """What an alias meant at a time: the version, or None where it was not set, or why the question cannot be answered."""

    alias: str
    at: str
    time_ms: int | None = None
    version: int | None = None
    problem: str = ""

    @property
    def is_to_come(self) -> bool:
        """Whether the time is after now, so that nobody can know."""
        return self.time_ms is not None and self.time_ms > now_ms()


def _asked_alias(connection: sa.Connection, model: str, query: Mapping[str, str]) -> AskedAlias | None:
    """Answer `?alias=champion&at=2026-11-03`; a date means its end, so that what happened on it counts."""
    at, alias = query["at"], query["alias"] or CHAMPION
    if not at:
        if query["alias"]:
            raise refusal("alias", "needs a time beside it", f"at={format_ms(now_ms())[:10]}")
        return None
    try:
        time_ms = parse_time(at)
    except Invalid as error:
        return AskedAlias(alias, at, problem=error.message)
    if len(at) == len("2026-11-03") and at.count("-") == 2:
        time_ms += DAY_MS - 1
    found = find_alias_at(connection, model, alias, time_ms)
    return AskedAlias(alias, at, time_ms, found.version if found else None)


def _links(chain: Explanation) -> list[Any]:
    return [one for one in linked(chain.links) if one[0].kind not in {"model version", "verdict"}]
