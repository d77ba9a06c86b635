"""Whether offline numbers of versions compare: only those that were measured on the same held-out rows do."""

from __future__ import annotations

from collections.abc import Sequence

import sqlalchemy as sa

from penstock.flows.chain.outcomes import Outcomes
from penstock.project.project import Project
from penstock.registry.entities import ModelVersion


def why_incomparable(project: Project, connection: sa.Connection, versions: Sequence[ModelVersion]) -> str:
    """Say why the offline numbers of versions of a model do not compare; empty where they do, or nothing speaks against it.

    What a version was judged on is told by the verdict that it went out on. Where that names no held-out table, the data
    that a version was made from stand for it: its held-out rows are of them.
    """
    model = versions[0].model if versions else ""
    tables = {one.test for one in project.readable_settings.all_models if one.name == model} - {None}
    outcomes = Outcomes(connection, versions)
    verdicts = [outcomes.verdict(one) for one in versions]
    for table in sorted(str(one) for one in tables):
        known = [one.data.get(table) if one else None for one in verdicts]
        if all(known):
            return f"they are of different held-out data ({table} was another)" if len(set(known)) > 1 else ""
    made_of = {tuple(sorted(one.provenance.data.items())) for one in versions if one.provenance.data}
    return "they are of held-out rows of different data" if len(made_of) > 1 else ""
