"""What a commit lets out that the settings before it did not: of penstock.yaml, beside its gates (`registry/gates/loosening`).

Which settings were before: those of the commit with which a version went live, or that a person accepted since.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import msgspec

from penstock.base.errors import PenstockError
from penstock.base.git import Git
from penstock.base.settings import parse_settings
from penstock.flows.ci.holding.guarding import list_opened, list_unguarded
from penstock.monitoring.settings import EndpointSettings
from penstock.project.places import SETTINGS_FILE
from penstock.project.settings import ProjectSettings

DEPLOYS = ("none", "promote", "rollout", "full")
"""What `ci.deploy` may say, from what lets nothing out to what lets out at once."""


def settings_at(git: Git, commit: str | None) -> ProjectSettings | None:
    """Return what penstock.yaml said at a commit; None where git does not know it, it has none, or it cannot be read."""
    if not commit:
        return None
    try:
        text = git.show(commit, f"./{SETTINGS_FILE}").decode("utf-8")
        return parse_settings(text, ProjectSettings, f"{SETTINGS_FILE} of {commit[:10]}")
    except (PenstockError, UnicodeDecodeError):
        return None


def list_loosened(before: ProjectSettings, after: ProjectSettings) -> tuple[str, ...]:
    """Return, in words, what settings let out that earlier ones did not."""
    return tuple(_loosened(before, after))


def _loosened(before: ProjectSettings, after: ProjectSettings) -> Iterator[str]:
    if DEPLOYS.index(after.ci.deploy) > DEPLOYS.index(before.ci.deploy):
        yield f"ci.deploy was raised: {before.ci.deploy} → {after.ci.deploy}"
    if before.ci.tests is not None and after.ci.tests != before.ci.tests:
        now = (
            f"are others now: `{before.ci.tests}` → `{after.ci.tests}`" if after.ci.tests else "were removed"
        )
        yield f"ci.tests {now}"
    known = {_key(text) for text in before.trusted_keys}
    added = [_key(text) for text in after.trusted_keys if _key(text) not in known]
    if added:
        yield f"{'a key is' if len(added) == 1 else 'keys are'} trusted that {'was' if len(added) == 1 else 'were'} not: {', '.join(added)}"
    unprotected = [name for name in before.protected_aliases if name not in after.protected_aliases]
    if unprotected:
        yield f"no longer protected: {', '.join(unprotected)}"
    for name, earlier in before.endpoints.items():
        if name in after.endpoints:
            yield from list_unguarded(name, earlier, after.endpoints[name])
        else:
            yield f"endpoint {name} is no longer declared, and guarded by nothing"
    yield from _elsewhere(before, after)
    for name, endpoint in after.endpoints.items():
        was = before.endpoints.get(name)
        if was is None:
            yield from list_opened(name, EndpointSettings(model=endpoint.model), endpoint)
        if was is None or after.ci.deploy != "rollout":
            continue
        first, now_first = was.rollout.steps[0], endpoint.rollout.steps[0]
        if now_first > first:
            yield f"the first share of {name} was raised: {first:g} % → {now_first:g} %"


def _elsewhere(before: ProjectSettings, after: ProjectSettings) -> Iterator[str]:
    """Yield what is kept, told or sent elsewhere; addresses are not shown, as they may hold secrets."""
    for key in ("store", "artifacts"):
        if getattr(before, key) != getattr(after, key):
            yield f"`{key}` is another: what is live there, or lies there, is not what this was compared with"
    left = list(after.alerts.webhooks)
    for one in before.alerts.webhooks:
        if one in left:
            left.remove(one)
        else:
            yield f"alerts no longer go to {urlsplit(one.url).hostname or 'a webhook'} as they did"
    if after.webhooks.allow_private and not before.webhooks.allow_private:
        yield "webhooks of clients may lead into private networks"


def list_changed(before: ProjectSettings, after: ProjectSettings) -> tuple[str, ...]:
    """Return which settings are others, by their places; models and gates are told of by what judges with them.

    Example:
        >>> list_changed(ProjectSettings(project="a"), ProjectSettings(project="b", store="sqlite:///b.db"))
        ('project', 'store')
    """
    names = [name for name in after.__struct_fields__ if name not in {"model", "models", "gates"}]
    old, new = ({name: msgspec.to_builtins(getattr(one, name)) for name in names} for one in (before, after))
    return tuple(_changed(old, new, ""))


def _changed(old: Any, new: Any, place: str) -> Iterator[str]:
    if isinstance(old, dict) and isinstance(new, dict):
        for key in (*old, *(key for key in new if key not in old)):
            yield from _changed(old.get(key), new.get(key), f"{place}.{key}" if place else str(key))
    elif old != new:
        yield place


def _key(text: str) -> str:
    """Return a trusted key without the note that may follow it."""
    return text.split(maxsplit=1)[0]
