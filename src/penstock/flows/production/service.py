"""Since when versions serve an endpoint, told from its revisions."""

from __future__ import annotations

from penstock.serving.deployments import Revision


def rollout(revision: Revision, revisions: tuple[Revision, ...]) -> tuple[int, ...]:
    """Return the revisions in which the same canary stood beside the same stable version without a break."""
    if revision.canary is None:
        return (revision.number,)
    numbers = [revision.number]
    for old in (one for one in revisions if one.number < revision.number):
        same = (old.model, old.stable) == (revision.model, revision.stable) and old.canary is not None
        if not same or old.canary is None or old.canary.version != revision.canary.version:
            break
        numbers.append(old.number)
    return tuple(numbers)


def stable_since_ms(revision: Revision, revisions: tuple[Revision, ...]) -> int:
    """Return when the stable version became it, without a break since."""
    since_ms = revision.created_ms
    for old in (one for one in revisions if one.number < revision.number):
        if (old.model, old.stable) != (revision.model, revision.stable):
            break
        since_ms = old.created_ms
    return since_ms
