"""Which webhooks do not take the alerts that their policies send them."""

from __future__ import annotations

import sqlalchemy as sa

from penstock.monitoring.alerts import list_failing
from penstock.monitoring.policies import find_alerting


def list_untold(connection: sa.Connection) -> dict[str, tuple[str, ...]]:
    """Return in words, by endpoint, the webhooks of its policy that do not take what they are posted."""
    told = {}
    for endpoint, failing in list_failing(connection).items():
        alerting = find_alerting(connection, endpoint)
        hooks = () if alerting is None else alerting.webhooks
        named = {(one.url, one.format) for one in hooks}
        told[endpoint] = tuple(one.sentence for one in failing if (one.url, one.format) in named)
    return told
