"""References of container images, as the OCI distribution and Docker write them."""

from __future__ import annotations

import re

_HOST = r"[a-zA-Z0-9]([-a-zA-Z0-9]*[a-zA-Z0-9])?"
_PART = r"[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*"
_IMAGE = re.compile(
    rf"(?P<name>({_HOST}(\.{_HOST})*(:[0-9]+)?/)?{_PART}(/{_PART})*)"
    r"(:[A-Za-z0-9_][A-Za-z0-9_.-]{0,127})?(@[a-z0-9]+([.+_-][a-z0-9]+)*:[0-9a-f]{32,})?"
)
IMAGE_NAME_MAX = 255
IMAGE_FORM = "[HOST[:PORT]/]NAME[:TAG][@DIGEST]"


def is_image_reference(text: str) -> bool:
    """Say whether a text names a container image."""
    found = _IMAGE.fullmatch(text)
    return found is not None and len(found["name"]) <= IMAGE_NAME_MAX
