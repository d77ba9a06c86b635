"""What a serve process asks before a version that has never answered anybody begins to: is its gates' code as it was judged by.

The files are compared with the digests in the signed verdict, where the host has a project with gates for the model, and of
those files the ones that are there. What has answered before answers on, so that an edit of a gate ends nothing that
production runs, and a rollback finds what it goes back to; it is told instead.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterable
from dataclasses import dataclass

import sqlalchemy as sa

from penstock.base.errors import Refused
from penstock.flows.models.proving import told_files
from penstock.project.project import Project
from penstock.registry.entities import ModelVersion, Verdict
from penstock.registry.gates.settings import absent_code, changed_code
from penstock.registry.verdicts import glance_verdict
from penstock.registry.versions import get_version
from penstock.serving.workers import has_answered


@dataclass(frozen=True)
class GateCode:
    """What became of a version's gate code on this host since its newest verdict.

    `changed` files have other content here, `absent` ones are not here; `is_compared` is False where this host has no
    project with gates for the model, so that nothing can be compared.
    """

    version: ModelVersion
    verdict: Verdict | None = None
    changed: tuple[str, ...] = ()
    absent: tuple[str, ...] = ()
    is_compared: bool = False

    @property
    def sentence(self) -> str:
        """What there is to tell, empty where the code is here as it was, or the verdict names none."""
        ref = self.version.ref
        if self.changed:
            return f"the gates of {ref} changed here since it was judged: {told_files(self.changed)}"
        if self.absent and self.is_compared:
            return f"code of the gates of {ref} is not here to compare with its verdict: {told_files(self.absent)}"
        if self.absent:
            return f"no gates are set here: what {ref} was judged by stands in its signed verdict alone"
        return ""


def gate_code(project: Project, connection: sa.Connection, version: ModelVersion) -> GateCode:
    """Compare the code that a version was judged by with what this host has of it."""
    verdict = glance_verdict(connection, version.model, version.digest)
    if verdict is None:
        return GateCode(version)
    if not project.readable_settings.gates_of(version.model):
        named = tuple(sorted(name for check in verdict.checks for name in check.code))
        return GateCode(version, verdict, absent=named)
    changed = changed_code(verdict.checks, project.root)
    return GateCode(version, verdict, changed, absent_code(verdict.checks, project.root), is_compared=True)


def gate_codes(
    project: Project, connection: sa.Connection, model: str, numbers: Iterable[int]
) -> list[GateCode]:
    """Compare the code that versions of a model were judged by with what this host has of it."""
    return [
        gate_code(project, connection, get_version(connection, model, number, deleted=True))
        for number in numbers
    ]


def admit_version(
    project: Project, connection: sa.Connection, version: ModelVersion, new: tuple[str, int] | None = None
) -> str:
    """Let a version answer; return what there is to tell of its gates' code, empty for nothing.

    Args:
        new: the endpoint and revision that it would begin to answer in, where that came while the process ran.

    Raises:
        Refused: it has answered nobody yet, and a file of its gates' code differs from the one that it was judged by, or
            they refused it since it was deployed.
    """
    found = gate_code(project, connection, version)
    if found.verdict is None or not found.is_compared or (found.verdict.passed and not found.changed):
        return found.sentence
    if has_answered(connection, version.model, version.number, but_in=new):
        return f"{found.sentence}; it answered before and goes on" if found.changed else ""
    why = found.sentence if found.changed else f"its gate refused {version.ref} since it was deployed"
    raise Refused(
        f"{version.ref} does not begin to answer: {why}",
        code="gate.code_changed" if found.changed else "gate.no_passing_verdict",
        hint=f"bring this host's files to what was judged (git pull), or judge it by these: penstock gate run {shlex.quote(version.ref)}",
        model=version.model,
        version=version.number,
        verdict=found.verdict.id,
    )
