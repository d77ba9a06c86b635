"""What a version that serves now answers, and how the endpoints are that it serves. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from penstock.flows.chain.outings import Outing
from penstock.flows.production.fitting import Takeover
from penstock.http.pages.telling.conditions import Condition
from penstock.http.pages.telling.formatting import cut

NAMED = 5
"""So many endpoints are named."""
ANSWERS_NOTHING = frozenset({"down", "refusing"})


def serves_now(outing: Outing) -> bool:
    """Whether a version answers requests of an endpoint now, or is meant to."""
    return outing.standing in {"live", "canary"}


def tell_serving(ref: str, outing: Outing, conditions: Sequence[Condition]) -> str:
    """Return what a version answers, and what is wrong with the endpoints that it answers for.

    Args:
        conditions: how those endpoints are; of those that need nobody nothing is told.
    """
    is_one = outing.percent is not None and len(outing.endpoints) == 1
    share = f"{outing.percent:g} % of " if is_one else ""
    silent = bool(conditions) and all(one.view.health in ANSWERS_NOTHING for one in conditions)
    verb = "is meant to answer" if silent else "answers"
    told = f"{ref} is {outing.standing}: it {verb} {share}{', '.join(outing.endpoints)}."
    wrong = [one for one in conditions if one.state.tone in {"bad", "warn"}]
    return " ".join([told, *(f"But {_wrong(one)}." for one in wrong[:2])])


def tell_takeovers(ref: str, summary: str, takeovers: Sequence[Takeover]) -> str:
    """Return where a version that passed its gates may go out, and where not, since an endpoint would refuse it.

    Args:
        summary: what its gates say.
    """
    refusing = [one for one in takeovers if one.refusal]
    names = ", ".join(cut(one.endpoint) for one in refusing[:NAMED])
    why = f"it {refusing[0].refusal.removeprefix(f'{ref} ')}"
    fitting = ", ".join(cut(one.endpoint) for one in takeovers if not one.refusal)
    if not fitting:
        return f"{ref} may not go out to {names}: {why}. Its gates: {summary}."
    return f"{ref} may go out to {fitting}: {summary}. It may not go out to {names}: {why}."


def _wrong(one: Condition) -> str:
    name = cut(one.view.name, 60)
    if one.view.health == "refusing":
        return f"{name} {one.wrong}"
    return f"{name} is {one.state.word}: {one.wrong}" if one.wrong else f"{name} is {one.state.word}"
