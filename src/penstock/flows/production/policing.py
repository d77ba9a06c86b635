"""Bring what penstock.yaml says into the store: at a command, or by itself when the file changes.

The controller of a working copy looks at the file before every look at the endpoints. A file that is wrong
changes nothing: the policies that hold are kept, and an event says where it is wrong.
"""

from __future__ import annotations

import logging
import math
import shlex
import time
from contextlib import suppress
from dataclasses import dataclass

import sqlalchemy as sa

from penstock.base.digest import digest_bytes
from penstock.base.errors import Conflict, Corrupt, NotFound, PenstockError, Unavailable
from penstock.base.store.database import Database
from penstock.base.store.events import record_event
from penstock.base.store.outside import told_outside
from penstock.flows.production.checking import check_guardrails, check_rules, policy_in_file
from penstock.monitoring.policies import (
    Policy,
    PolicyBody,
    differences,
    find_policy,
    put_policy,
)
from penstock.project.places import SETTINGS_FILE
from penstock.project.project import Project
from penstock.project.settings import load_project_settings
from penstock.registry.versions import get_version
from penstock.serving.deployments import list_endpoints

logger = logging.getLogger(__name__)
AWAY_S = 60.0
"""So long after something was away that a file is compared with, an artifact store, it is compared again."""


@dataclass(frozen=True)
class PolicyChange:
    """What penstock.yaml says of an endpoint, beside what holds. `changes` are the keys that differ."""

    endpoint: str
    before: Policy | None
    body: PolicyBody
    changes: tuple[str, ...]
    warnings: tuple[str, ...] = ()

    @property
    def changes_nothing(self) -> bool:
        """Whether it holds already."""
        return self.before is not None and self.before.digest == self.body.digest


def plan_policies(project: Project, endpoint: str | None = None) -> list[PolicyChange]:
    """Return what the file says of every deployed endpoint it names, or of one.

    Raises:
        NotFound: the endpoint is not deployed, or the file does not name it.
        Invalid: a guardrail names what the served version does not have.
    """
    with project.database.read() as connection:
        deployed = {one.endpoint: one for one in list_endpoints(connection)}
    if endpoint is not None and (endpoint not in deployed or endpoint not in project.settings.endpoints):
        missing = "penstock.yaml says nothing of" if endpoint in deployed else "there is no deployed"
        raise NotFound(
            f"{missing} endpoint {endpoint!r}",
            code="serving.endpoint_unknown",
            hint="penstock deploy writes the policy of an endpoint with its first revision",
        )
    found = []
    for name, revision in deployed.items():
        body = policy_in_file(project, name)
        if body is None or endpoint not in (None, name):
            continue
        with project.database.read() as connection:
            before = _replaced(connection, name)
            version = get_version(connection, revision.model, revision.stable, deleted=True)
        warnings: tuple[str, ...] = ()
        if before is None or before.digest != body.digest:
            warnings = check_guardrails(project, name, body.endpoint, version)
            warnings += check_rules(project, body.endpoint.traffic.rules, revision.model, revision.stable)
        changes = tuple(differences(before.body if before else None, body))
        found.append(PolicyChange(name, before, body, changes, warnings))
    return found


def apply_policies(project: Project, changes: list[PolicyChange]) -> list[Policy]:
    """Write those that change something, each with its event, in one transaction; return them.

    Raises:
        Conflict: another policy was written at the same moment.
    """
    todo = [one for one in changes if not one.changes_nothing]
    if not todo:
        return []
    with project.database.write() as connection:
        written = [put_policy(connection, one.endpoint, one.body, project.actor) for one in todo]
    return [one for one in written if one is not None]


def _replaced(connection: sa.Connection, endpoint: str) -> Policy | None:
    """Return the policy that another would replace; None without one, and where it cannot be read."""
    try:
        return find_policy(connection, endpoint)
    except Corrupt:
        return None


def list_unguarded(database: Database) -> list[str]:
    """Return the deployed endpoints that no policy watches, as all of a store from before policies stood in it."""
    with database.read() as connection:
        return [name for name, policy in _readable_policies(connection).items() if policy is None]


def _readable_policies(connection: sa.Connection) -> dict[str, Policy | None]:
    """Return the policies of deployed endpoints; one that cannot be read is told where it is judged."""
    found: dict[str, Policy | None] = {}
    for one in list_endpoints(connection):
        with suppress(Corrupt):
            found[one.endpoint] = find_policy(connection, one.endpoint)
    return found


def compare_file(project: Project) -> dict[str, str]:
    """Return in words, by deployed endpoint, that the file says something else than the policy that holds, or nothing.

    Nothing is told where there is no file, nor of an endpoint that no file ever named: it has no policy.
    """
    if not (project.root / SETTINGS_FILE).is_file():
        return {}
    with project.database.read() as connection:
        names = [one.endpoint for one in list_endpoints(connection)]
        held = _readable_policies(connection)
    told = {}
    for name, policy in held.items():
        body = policy_in_file(project, name)
        number = policy.number if policy is not None else 0
        if body is not None and (policy is None or policy.digest != body.digest):
            told[name] = (
                f"{SETTINGS_FILE} differs from policy {number}: penstock endpoint apply {shlex.quote(name)}"
            )
        elif body is None and policy is not None:
            told[name] = _unnamed(number, sorted(project.settings.endpoints.keys() - set(names)))
    return told


def _unnamed(number: int, undeployed: list[str]) -> str:
    new = f"; {', '.join(undeployed)} of the file {'is' if len(undeployed) == 1 else 'are'} not deployed: penstock deploy"
    return (
        f"{SETTINGS_FILE} does not name it, and policy {number} goes on watching it: "
        f"it is changed only where the file names it under `endpoints:`{new if undeployed else ''}"
    )


class FileFollower:
    """Applies penstock.yaml of a working copy whenever it changes. Not thread-safe."""

    def __init__(self, project: Project) -> None:
        self._project = project
        _ = project.readable_settings  # as they are now: what a wrong file goes back to
        self._seen: tuple[str, tuple[str, ...]] | None = None
        self._untold: set[str] = set()
        """Endpoints that the file has ceased to name, which is not written yet."""
        self.problem = ""
        self._again_s = math.inf
        """When a file is looked at again that is as it was, since what it was compared with was away."""
        self._read = ""

    def reread(self) -> None:
        """Go by the file as it is now, where another controller applies it; a wrong one changes nothing."""
        with suppress(OSError, PenstockError):
            digest = digest_bytes((self._project.root / SETTINGS_FILE).read_bytes())
            if digest != self._read:
                self._read = digest
                self._project.go_by(load_project_settings(self._project.root))

    def follow(self) -> None:
        """Look at the file, and apply it when it, or the set of endpoints, is another than last time.

        A file that is wrong, or is gone since the last look, is told once, as an event, and stays in `problem` until
        it is right. A store that is away says nothing of it: it is applied when the store is back.

        Raises:
            Unavailable: the store cannot be reached.
        """
        path = self._project.root / SETTINGS_FILE
        try:
            data = path.read_bytes()
        except OSError as error:
            if self._seen is not None:
                self._refuse(f"{SETTINGS_FILE} cannot be read any more: {error.strerror}")
                self._seen = None
            return
        with self._project.database.read() as connection:
            names = tuple(one.endpoint for one in list_endpoints(connection))
        seen = (digest_bytes(data), names)
        if seen == self._seen and time.monotonic() < self._again_s:
            return
        try:
            settings = load_project_settings(self._project.root)
            before = self._project.readable_settings, self._project.settings_problem
            gone = before[0].endpoints.keys() - settings.endpoints.keys()
            self._project.go_by(settings)
            try:
                changes = plan_policies(self._project)
                apply_policies(self._project, changes)
            except PenstockError:
                self._project.go_by(*before)
                raise
        except Conflict:
            return  # another one was written at the same moment: the next look compares again
        except PenstockError as error:
            is_away = isinstance(error, Unavailable)
            if is_away and error.code.startswith("store."):
                raise  # which says nothing of the file: it is applied at a look that has the store
            if told_outside(error, is_logged=False).message != self.problem:
                self._refuse(told_outside(error).message)
            self._again_s = time.monotonic() + AWAY_S if is_away else math.inf
        else:
            self.problem, self._again_s = "", math.inf
            for one in changes:
                for warning in one.warnings:
                    logger.warning("endpoint %s: %s", one.endpoint, warning)
            self._untold |= gone
            self._tell_unnamed()
        self._seen = seen

    def _tell_unnamed(self) -> None:
        """Write that the file has ceased to name endpoints, whose policies hold on; until that is written, at each look."""
        told = {name: words for name, words in compare_file(self._project).items() if name in self._untold}
        if told:
            with self._project.database.write() as connection:
                for name, words in told.items():
                    actor = self._project.actor
                    record_event(connection, "policy.kept", f"endpoint:{name}", actor, f"{name}: {words}")
        self._untold.clear()

    def _refuse(self, message: str) -> None:
        if message == self.problem:
            return
        with self._project.database.write() as connection:
            record_event(
                connection,
                "policy.refused",
                f"file:{SETTINGS_FILE}",
                self._project.actor,
                f"the policies that hold are kept: {message}",
            )
        self.problem = message  # only now: what could not be written is told at the next look
