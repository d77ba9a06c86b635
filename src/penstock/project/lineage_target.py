"""Where OpenLineage events go: what its standard variables say, else penstock.yaml."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field

from penstock.base.errors import Invalid

ENDPOINT = "api/v1/lineage"
_PREFIX = "OPENLINEAGE__TRANSPORT__"


@dataclass(frozen=True)
class LineageTarget:
    """A server or a file, or neither; `namespace` is what names of jobs and data belong to."""

    url: str | None = None
    file: str | None = None
    endpoint: str = ENDPOINT
    api_key: str | None = field(default=None, repr=False)
    timeout_s: float = 5.0
    namespace: str | None = None
    is_off: bool = False

    @property
    def is_set(self) -> bool:
        """Whether events go anywhere."""
        return not self.is_off and (self.url is not None or self.file is not None)

    @classmethod
    def of(cls, variables: Mapping[str, str]) -> LineageTarget:
        """Return what the variables say; a kind of transport that is not ours is a problem told when it is used.

        Source: openlineage-python, `OPENLINEAGE_URL`, `OPENLINEAGE_API_KEY`, `OPENLINEAGE_ENDPOINT`,
        `OPENLINEAGE_NAMESPACE`, `OPENLINEAGE_DISABLED` and `OPENLINEAGE__TRANSPORT__…` (type `http`, `file`, `noop`).
        """

        def said(name: str) -> str | None:
            return variables.get(f"{_PREFIX}{name}") or None

        kind = (said("TYPE") or "").lower()
        is_off = variables.get("OPENLINEAGE_DISABLED", "").lower() in {"1", "true"} or kind == "noop"
        return cls(
            url=said("URL") if kind == "http" else None if kind else variables.get("OPENLINEAGE_URL") or None,
            file=said("LOG_FILE_PATH") if kind == "file" else None,
            endpoint=said("ENDPOINT") or variables.get("OPENLINEAGE_ENDPOINT") or ENDPOINT,
            api_key=_key(said("AUTH")) or variables.get("OPENLINEAGE_API_KEY") or None,
            timeout_s=_seconds(said("TIMEOUT")),
            namespace=variables.get("OPENLINEAGE_NAMESPACE") or None,
            is_off=is_off,
        )


def check_target(target: LineageTarget) -> None:
    """Check that a target is one.

    Raises:
        Invalid: its URL is no http(s) URL.
    """
    if target.url is not None and not target.url.startswith(("http://", "https://")):
        raise Invalid(f"{target.url!r} is no http(s) URL for OpenLineage events", code="lineage.bad_url")


def _key(auth: str | None) -> str | None:
    if auth is None:
        return None
    try:
        read = json.loads(auth)
        return str(read.get("apiKey") or read.get("api_key") or "") or None
    except (ValueError, AttributeError):
        return None


def _seconds(text: str | None) -> float:
    try:
        return min(60.0, max(0.1, float(text))) if text else 5.0
    except ValueError:
        return 5.0
