"""A policy in a file, to be tried: a whole penstock.yaml, or what stands under an endpoint's name in one."""

from __future__ import annotations

from pathlib import Path

import yaml

from penstock.base.errors import Invalid
from penstock.base.settings import parse_settings
from penstock.monitoring.settings import EndpointSettings
from penstock.project.settings import ProjectSettings


def read_policy(path: Path, endpoint: str) -> EndpointSettings:
    """Return an endpoint's settings from a file.

    Raises:
        Invalid: it is neither, or has no such endpoint, or a key or value in it is wrong.
    """
    try:
        text = path.read_text(encoding="utf-8")
        document = yaml.safe_load(text)
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise Invalid(f"{path.name} cannot be read: {error}", code="monitoring.bad_policy") from None
    if not isinstance(document, dict) or "endpoints" not in document:
        return parse_settings(text, EndpointSettings, path.name)
    found = parse_settings(text, ProjectSettings, path.name).endpoints
    if endpoint not in found:
        raise Invalid(
            f"{path.name} has no endpoint {endpoint!r}",
            code="monitoring.bad_policy",
            hint=f"it has {', '.join(sorted(found)) or 'none'}",
        )
    return found[endpoint]
