"""What the rules of an endpoint's policy send where, whatever its revision says: in words, for people.

Which request they hold for is decided in `penstock.serving.traffic`.
"""

from __future__ import annotations

from collections.abc import Iterable

import msgspec
import sqlalchemy as sa

from penstock.base.errors import Corrupt
from penstock.monitoring.policies import FOLLOWED_MS, policies_around, policy_or_none_yet
from penstock.monitoring.settings import RuleSettings


class RuleView(msgspec.Struct, frozen=True, kw_only=True):
    """One rule as it holds: `when` says in words for which requests, `ref` which version answers them."""

    ref: str
    version: int
    when: str
    parameter: str | None
    header: str | None
    values: tuple[str | int | float | bool, ...]


def view_rules(model: str, rules: Iterable[RuleSettings]) -> list[RuleView]:
    """Return rules in their order, of an endpoint that serves `model`."""
    return [
        RuleView(
            ref=f"{model}/{one.version}",
            version=one.version,
            when=words_of(one),
            parameter=one.parameter,
            header=one.header,
            values=one.values,
        )
        for one in rules
    ]


def find_rules(connection: sa.Connection, endpoint: str, model: str) -> tuple[RuleSettings, ...] | None:
    """Return the rules of an endpoint that serves `model`; None where its policy is damaged, which hides nothing else."""
    try:
        return policy_or_none_yet(connection, endpoint, model).settings.traffic.rules
    except Corrupt:
        return None


def words_of(rule: RuleSettings) -> str:
    """Say for which requests a rule holds.

    Example:
        >>> words_of(RuleSettings(version=2, header="x-tenant", equals=("a", "b")))
        'header x-tenant = a or b'
    """
    name = f"header {rule.header}" if rule.header is not None else str(rule.parameter)
    return f"{name} = {' or '.join(map(_text, rule.values))}"


def kept_by_rules(model: str, rules: Iterable[RuleSettings], answering: Iterable[int | None]) -> str | None:
    """Say what rules go on to send to other versions than those that answer by shares; None where nothing."""
    others: dict[str, list[str]] = {}
    known = set(answering)
    for rule in view_rules(model, rules):
        if rule.version not in known:
            others.setdefault(rule.ref, []).append(rule.when)
    if not others:
        return None
    told = ", ".join(f"to {ref} ({'; '.join(when)})" for ref, when in others.items())
    return f"rules keep sending requests {told}"


def rules_at(connection: sa.Connection, endpoint: str, version: int, time_ms: int) -> list[str]:
    """Return in words the rules that may have sent a request of a moment to a version."""
    found = policies_around(connection, endpoint, time_ms)
    rules = (one for policy in found for one in policy.settings.traffic.rules if one.version == version)
    return list(dict.fromkeys(map(words_of, rules)))


def ruled_versions(
    connection: sa.Connection,
    endpoint: str,
    rules: Iterable[RuleSettings],
    time_ms: int,
    back_ms: int = FOLLOWED_MS,
) -> set[int]:
    """Return the versions that `rules`, or those of the policies around a moment, may have sent callers to."""
    held = policies_around(connection, endpoint, time_ms, back_ms)
    return {one.version for one in (*rules, *(rule for one in held for rule in one.settings.traffic.rules))}


def _text(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
