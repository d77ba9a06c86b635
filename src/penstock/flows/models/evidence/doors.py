"""What the doors say of a version now, and of which verdict they say it: the one home of that, for who shows it.

The rule itself is in `flows/models/proving`; here it is only asked. No file of the version is read, see `require_intact`.
"""

from __future__ import annotations

from dataclasses import dataclass

import sqlalchemy as sa

from penstock.base.errors import PenstockError
from penstock.flows.models.proving import VerdictRule, require_unbroken
from penstock.project.project import Project
from penstock.registry.entities import ModelVersion, Verdict
from penstock.registry.verdicts import glance_verdict


@dataclass(frozen=True)
class Doors:
    """What a door answers for a version: `shut` is what it refuses with, None where it is open.

    `verdict` is the one that it speaks of: that under the gates as they are now, else the newest. `is_current`: its gates
    are those of now. `newer` was judged later, by other gates than those of now. `is_judged`: any gate is asked at all.
    """

    verdict: Verdict | None
    shut: PenstockError | None
    is_current: bool = True
    is_judged: bool = True
    newer: Verdict | None = None


def ask_doors(project: Project, connection: sa.Connection, version: ModelVersion) -> Doors:
    """Ask whether a version may go out, by the doors' own rule."""
    newest = glance_verdict(connection, version.model, version.digest)
    try:
        rule = VerdictRule.of(project)
        digest = rule.digest_of(version.model)
        is_judged = bool(rule.gates_of(version.model))
    except PenstockError as error:
        return Doors(newest, error)
    shut = None
    try:
        rule.let_out(connection, version, "go out")
        if not is_judged:
            require_unbroken(project, connection, version)
    except PenstockError as error:
        shut = error
    named = shut.fields.get("verdict") if shut is not None else None
    found = newest
    if is_judged and newest is not None and newest.settings_digest != digest and named != newest.id:
        found = glance_verdict(connection, version.model, version.digest, digest) or newest
    return Doors(
        found,
        shut,
        is_current=found is None or found.settings_digest == digest,
        is_judged=is_judged,
        newer=newest if found is not newest else None,
    )
