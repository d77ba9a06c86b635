"""Where what an endpoint serves does not agree with what is said elsewhere: its alias, or a rollback of its version."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass

import sqlalchemy as sa

from penstock.base.errors import Corrupt
from penstock.flows.production.traffic.obstacles import obstacle_among
from penstock.monitoring.policies import policy_or_none_yet
from penstock.registry.aliases import list_alias_moves, list_aliases
from penstock.registry.entities import AliasMove
from penstock.registry.states import list_rolled_back
from penstock.serving.deployments import Revision, list_endpoints, list_revisions
from penstock.storage.content import ContentStore

CONTROLLER = "controller"
"""The actor of moves that follow from canaries and rollbacks, which nobody decided about the alias."""


def notes_of(connection: sa.Connection, revisions: Sequence[Revision]) -> dict[str, tuple[str, ...]]:
    """Return what does not agree with what endpoints serve, in words, by endpoint; nothing for the most.

    Nothing is asked but the store, so that a page waits for no artifacts.

    An endpoint is declared with an alias where its policy says so: what stands in penstock.yaml when it is deployed.
    """
    declared_by = _declared(connection, revisions)
    aliases = {(one.model, one.name): one.version for one in list_aliases(connection)}
    marked = list_rolled_back(connection) if revisions else {}
    found: dict[str, tuple[str, ...]] = {}
    for one in revisions:
        declared = declared_by.get(one.endpoint)
        notes = []
        if declared is not None and (number := aliases.get(declared)) is not None:
            notes += _Stray(one, declared, number).words(connection)
        for version in one.answering:
            mark = marked.get((one.model, version))
            if mark is not None and mark.endpoint not in ("", one.endpoint):
                notes.append(
                    f"{mark.ref}, which it serves, was rolled back on {mark.endpoint} by {mark.actor}: {mark.reason}"
                )
        if notes:
            found[one.endpoint] = tuple(notes)
    return found


def strays_from(
    connection: sa.Connection,
    artifacts: ContentStore,
    alias: tuple[str, str],
    number: int,
    *,
    would_move: bool = False,
) -> list[str]:
    """Say which endpoints are declared with an alias and serve another version than it points at, or will.

    Also what becomes of the canaries of its model.

    Args:
        alias: the model and the name.
        number: the version it points at, or will.
        would_move: whether it only will.
    """
    revisions = list_endpoints(connection)
    declared = _declared(connection, revisions)
    told = []
    for one in revisions:
        stray, words = _Stray(one, alias, number, would_move), []
        if declared.get(one.endpoint) == alias:
            words = stray.words(connection, artifacts)
            words += stray.other_canary_words(connection)
        elif one.canary is not None and one.model == alias[0]:
            words = [
                f"its canary {one.model}/{one.canary.version} goes on as before: it does not follow {'@'.join(alias)}"
            ]
        told += [f"endpoint {one.endpoint}: {sentence}" for sentence in words]
    return told


def canaries_beside(connection: sa.Connection, alias: tuple[str, str], number: int) -> list[str]:
    """Say which canaries of endpoints that are declared with an alias would go on if it moved to a version."""
    revisions = list_endpoints(connection)
    declared = _declared(connection, revisions)
    return [
        f"endpoint {one.endpoint}: {words}"
        for one in revisions
        if declared.get(one.endpoint) == alias
        for words in _Stray(one, alias, number, True).canary_words(connection)
    ]


def find_later_move(
    connection: sa.Connection, revision: Revision, alias: tuple[str, str]
) -> AliasMove | None:
    """Return how an alias came to point elsewhere since the canary of a revision began, by whoever is no controller.

    Such a move is a later decision than the canary, which its win does not undo.
    """
    if revision.canary is None or alias[0] != revision.model:
        return None
    moves = list_alias_moves(connection, *alias)
    if not moves or moves[-1].version is None or moves[-1].actor == CONTROLLER:
        return None
    began_ms = revision.created_ms
    for old in list_revisions(connection, revision.endpoint):  # newest first
        if old.number > revision.number:
            continue
        if old.model != revision.model or old.canary is None or old.canary.version != revision.canary.version:
            break
        began_ms = old.created_ms
    is_later = moves[-1].time_ms > began_ms and moves[-1].version != revision.canary.version
    return moves[-1] if is_later else None


def _declared(connection: sa.Connection, revisions: Sequence[Revision]) -> dict[str, tuple[str, str]]:
    """Return the alias that endpoints are declared with; a policy that cannot be read declares none."""
    found = {}
    for one in revisions:
        with suppress(Corrupt):
            alias = policy_or_none_yet(connection, one.endpoint, one.model).settings.alias
            if alias is not None:
                found[one.endpoint] = alias
    return found


@dataclass(frozen=True)
class _Stray:
    """An endpoint beside the alias it is declared with."""

    revision: Revision
    alias: tuple[str, str]
    number: int
    would_move: bool = False

    def words(self, connection: sa.Connection, artifacts: ContentStore | None = None) -> list[str]:
        """Say that it serves another version, and what can be done; then what its canary will do.

        Args:
            artifacts: where to look whether the files of the version are there; without it, nobody looks.
        """
        revision, model = self.revision, self.alias[0]
        name = "@".join(self.alias)
        told = []
        if model != revision.model or self.number not in revision.answering:
            told.append(
                f"it is declared with {name}, which is {model}/{self.number}, and serves "
                f"{revision.model}/{revision.stable}{self._remedy(connection, artifacts)}"
            )
        return [*told, *self.canary_words(connection)]

    def canary_words(self, connection: sa.Connection) -> list[str]:
        """Say what a canary does that goes on while the alias was, or will be, pointed elsewhere."""
        revision, canary = self.revision, self.revision.canary
        if canary is None or not revision.steps or not self._stays(connection):
            return []
        ref, name = f"{revision.model}/{canary.version}", "@".join(self.alias)
        return [
            f"its canary {ref} goes on: if it wins, {revision.endpoint} serves {ref}, and {name} stays at "
            f"{revision.model}/{self.number}; penstock deploy {shlex.quote(revision.endpoint)} --model {shlex.quote(name)} ends the canary"
        ]

    def other_canary_words(self, connection: sa.Connection) -> list[str]:
        """Say what becomes of a canary that nothing advances, or that the alias points at already."""
        revision, canary, model = self.revision, self.revision.canary, self.alias[0]
        if canary is None:
            return []
        ref, name = f"{revision.model}/{canary.version}", "@".join(self.alias)
        if not revision.steps:
            return [f"its canary {ref} keeps {canary.percent:g} % until somebody changes it"]
        if (model, self.number) != (revision.model, canary.version):
            return []
        rollout = policy_or_none_yet(connection, revision.endpoint, model).settings.rollout
        goes = f"goes along to {model}/{revision.stable}" if rollout.alias == "follow" else f"stays at {ref}"
        return [
            f"its canary {ref} goes on with {canary.percent:g} %: if it wins, {revision.endpoint} serves {ref} alone, "
            f"and if it is rolled back, {name} {goes}"
        ]

    def _remedy(self, connection: sa.Connection, artifacts: ContentStore | None) -> str:
        """Name the command that can work: a version that is gone or was rolled back is not deployed."""
        revision, (model, label) = self.revision, self.alias
        ref, served = f"{model}/{self.number}", (revision.model, revision.stable)
        marked = list_rolled_back(connection, model)
        is_gone = ref in revision.cause.get("passed_over", ())  # when the revision was made
        if is_gone or obstacle_among(connection, artifacts, model, self.number) is not None:
            why = f"{ref} cannot be served again"
        elif (model, self.number) in marked and not self.would_move:
            why = f"{ref} was rolled back"
        else:
            return f": penstock deploy {shlex.quote(revision.endpoint)} --model {shlex.quote(f'{model}@{label}')}"
        is_fit = served[0] == model and served not in marked
        goal = f"{model}/{revision.stable if is_fit else 'N'}"
        flag = "" if label == "champion" else f" --alias {shlex.quote(label)}"
        return f"; {why}: penstock promote {shlex.quote(goal)}{flag} points the alias at {'what is served' if is_fit else 'another version'}"

    def _stays(self, connection: sa.Connection) -> bool:
        """Whether the alias stays where it is, or will be, when the canary wins."""
        canary = self.revision.canary
        if canary is None or self.alias[0] != self.revision.model or canary.version == self.number:
            return False
        return self.would_move or find_later_move(connection, self.revision, self.alias) is not None


def serving_elsewhere(connection: sa.Connection, endpoint: str, model: str, number: int) -> list[str]:
    """Return the other endpoints on which a version is stable."""
    return [
        one.endpoint
        for one in list_endpoints(connection)
        if one.endpoint != endpoint and (one.model, one.stable) == (model, number)
    ]
