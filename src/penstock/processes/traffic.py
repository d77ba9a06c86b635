"""What a policy says of an endpoint's traffic, in the words of the data plane and of the engine; what of it cannot be."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec
import sqlalchemy as sa

from penstock.base.store.outside import words_outside
from penstock.monitoring.policies import (
    Policy,
    PolicyBody,
    find_monitor,
    find_readable_policy,
    list_policies,
)
from penstock.monitoring.settings import EndpointSettings, TrafficSettings
from penstock.serving.engine.options import EndpointLimits
from penstock.serving.repository import ServedRevision
from penstock.serving.traffic import Rule, text_of

NONE_KNOWN = Policy(
    endpoint="",
    number=0,
    digest="",
    created_ms=0,
    actor="",
    body=PolicyBody(endpoint=EndpointSettings(model="")),
)


def followed_policies(connection: sa.Connection, before: Mapping[str, Policy]) -> dict[str, Policy]:
    """Return how each endpoint is watched and answered for: by the policy that holds.

    Of one that cannot be read, by what was followed `before`, else by the newest policy that can be read, and watched
    as its own part on that says. The controller tells of it.
    """
    held = list_policies(connection)
    followed = dict(held.readable)
    for name in held.unreadable:
        followed[name] = before.get(name) or _watched(connection, name)
    return followed


def _watched(connection: sa.Connection, endpoint: str) -> Policy:
    policy = find_readable_policy(connection, endpoint) or NONE_KNOWN
    settings = msgspec.structs.replace(policy.settings, monitor=find_monitor(connection, endpoint))
    return msgspec.structs.replace(
        policy, endpoint=endpoint, body=msgspec.structs.replace(policy.body, endpoint=settings)
    )


def rules_of(traffic: TrafficSettings) -> tuple[Rule, ...]:
    """Return a policy's rules as the data plane knows them."""
    return tuple(
        Rule(
            name=one.header.lower() if one.header is not None else str(one.parameter),
            is_header=one.header is not None,
            values=frozenset(text_of(value) for value in one.values),
            version=one.version,
        )
        for one in traffic.rules
    )


def told_of_rules(served: ServedRevision) -> str:
    """Say which versions that only rules name are not loaded, and why; empty for none."""
    return "; ".join(
        f"version {version}, which rules name, is not loaded, and their requests go by shares: "
        f"{words_outside(error, is_logged=False)}"
        for version, error in served.lacking.items()
    )


def limits_of(traffic: TrafficSettings, timeout_s: float) -> EndpointLimits:
    """Return what a policy lets an endpoint take; `timeout_s` is for those that do not say."""
    limits = EndpointLimits(timeout_s=timeout_s, backlog=traffic.backlog, weight=traffic.weight)
    if traffic.timeout_s is None:
        return limits
    setting = "traffic.timeout_s of the endpoint's policy"
    return msgspec.structs.replace(limits, timeout_s=traffic.timeout_s, timeout_setting=setting)
