"""Findings: what a guardrail found in windows: breached, held, or not judged and why; with its numbers."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Literal

import msgspec
import sqlalchemy as sa

from penstock.base.clock import now_ms
from penstock.base.store.database import metadata
from penstock.stats.metric_names import LOWER_IS_BETTER, metric_of

findings = sa.Table(
    "findings",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True, autoincrement=True),
    sa.Column("time_ms", sa.BigInteger, nullable=False),
    sa.Column("endpoint", sa.String(256), nullable=False),
    sa.Column("revision", sa.Integer, nullable=False),
    sa.Column("kind", sa.String(16), nullable=False),
    sa.Column("breached", sa.Boolean, nullable=False),
    sa.Column("body", sa.JSON, nullable=False),
    sa.Index("ix_findings_endpoint_id", "endpoint", "id"),
)
Kind = Literal[
    "errors",
    "latency",
    "drift",
    "quality",
    "multivariate",
    "outliers",
    "values",
    "freshness",
    "slices",
    "outputs",
    "load",
]
"""The last two are no guardrails of a policy, and hold for all: answers that are no finite numbers, and that no
serve process could load what is deployed (which only alerts where that is no fault of the version)."""
Unjudged = Literal[
    "too_few",
    "no_traffic",
    "no_reference",
    "feature_unknown",
    "metric_absent",
    "no_probability",
    "undecided",
    "not_kept",
]
WAITING: frozenset[Unjudged] = frozenset({"too_few", "no_traffic", "undecided"})
"""Reasons that more traffic or labels take away; the others stay until somebody changes something."""
OF_THE_DATA: frozenset[str] = frozenset({"drift", "multivariate", "outliers", "values", "freshness"})
"""Kinds that tell of what a model is asked, and not of the model."""
OF_FEATURES: frozenset[str] = frozenset({"drift", "values", "slices"})
"""Kinds that are judged on each feature, or slice, of which only the worst are told."""
State = Literal["breached", "held", "unjudged"]


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """One guardrail on one route, judged.

    `name` is the feature or metric (or `error_ratio`, `p99`), `observed` its value and `limit` what it may
    be; `against` is what quality was compared with. `statistic` is what decided (`z`, `psi`,
    `lower_bound`) and `count` the requests, rows or labels behind it. `action` is the guardrail's own,
    None for the endpoint's. `near` is a guardrail that holds, and so narrowly that a breach told of it is not
    over. `unjudged` says why it could not be judged, `why_unjudged` in words; then `breached` is false and the
    numbers that are not known are NaN.
    """

    kind: Kind
    endpoint: str
    revision: int
    version: int
    route: str
    start_s: int
    end_s: int
    name: str
    observed: float
    limit: float
    against: float | None = None
    count: int
    statistic: str
    statistic_value: float
    breached: bool
    near: bool = False
    action: Literal["alert", "rollback"] | None = None
    unjudged: Unjudged | None = None
    why_unjudged: str = ""
    sentence: str

    @property
    def state(self) -> State:
        """What came of it."""
        if self.unjudged is not None:
            return "unjudged"
        return "breached" if self.breached else "held"

    @property
    def is_inconclusive(self) -> bool:
        """Whether quality is worse by more than is allowed, though not surely so: nothing to advance on."""
        worst = self.worst
        if worst is None or self.breached or self.unjudged is not None:
            return False
        return self.observed > worst if self.metric in LOWER_IS_BETTER else self.observed < worst

    @property
    def metric(self) -> str:
        """The metric that a guardrail on quality is about."""
        return metric_of(self.name)

    @property
    def worst(self) -> float | None:
        """The worst that the metric of a guardrail on quality may be, None where nobody knows or it is none."""
        if self.kind != "quality":
            return None
        if self.name != self.metric:
            return self.limit
        if self.against is None:
            return None
        return self.against + self.limit if self.name in LOWER_IS_BETTER else self.against - self.limit

    @property
    def is_waiting(self) -> bool:
        """Whether it is not judged only because there is too little traffic, or too few labels, yet."""
        return self.unjudged in WAITING


class StoredFinding(msgspec.Struct, frozen=True, kw_only=True):
    """A finding with its id and time."""

    id: int
    time_ms: int
    finding: Finding


def add_findings(connection: sa.Connection, found: Iterable[Finding]) -> list[int]:
    """Write findings and return their ids, in order."""
    ids = []
    for finding in found:
        done = connection.execute(
            findings.insert().values(
                time_ms=now_ms(),
                endpoint=finding.endpoint,
                revision=finding.revision,
                kind=finding.kind,
                breached=finding.breached,
                body=_body(finding),
            )
        )
        ids.append(int(done.inserted_primary_key[0]))  # type: ignore[index]
    return ids


def _body(finding: Finding) -> dict[str, Any]:
    """Return a finding as JSON; numbers that JSON has no word for become null."""
    body: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(finding))
    return body


def list_findings(
    connection: sa.Connection,
    endpoint: str,
    *,
    breached: bool | None = None,
    before_id: int | None = None,
    limit: int = 50,
) -> list[StoredFinding]:
    """Return an endpoint's newest findings below `before_id`, newest first."""
    query = sa.select(findings).where(findings.c.endpoint == endpoint)
    if breached is not None:
        query = query.where(findings.c.breached == breached)
    if before_id is not None:
        query = query.where(findings.c.id < before_id)
    rows = connection.execute(query.order_by(findings.c.id.desc()).limit(limit))
    return [
        StoredFinding(id=row.id, time_ms=row.time_ms, finding=msgspec.convert(_numbers(row.body), Finding))
        for row in rows
    ]


def delete_findings(connection: sa.Connection, before_ms: int) -> int:
    """Delete the findings of before a time and return how many; events keep what they quote of them."""
    return int(connection.execute(findings.delete().where(findings.c.time_ms < before_ms)).rowcount)


def _numbers(body: dict[str, Any]) -> dict[str, Any]:
    nan = float("nan")
    filled = {name: nan for name in ("observed", "limit", "statistic_value") if body.get(name) is None}
    return {**body, **filled}
