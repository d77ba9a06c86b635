"""Print the keys of an InferenceService, given as JSON on the input, that KServe's and Kubernetes' own types do not have."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator
from typing import Any

import kserve.models
import kubernetes.client.models


def unknown(value: Any, kind: str, at: str) -> Iterator[str]:
    """Yield where a value of a type has keys that the type does not."""
    many = re.fullmatch(r"list\[(.*)\]", kind) or re.fullmatch(r"dict\(str, (.*)\)", kind)
    if many:
        for name, one in value.items() if isinstance(value, dict) else enumerate(value):
            yield from unknown(one, many[1], f"{at}.{name}")
        return
    made = getattr(kserve.models, kind, None) or getattr(kubernetes.client.models, kind, None)
    if made is None:
        return
    names = {key: name for name, key in made.attribute_map.items()}
    for key, one in value.items():
        if key not in names:
            yield f"{at}.{key}"
        else:
            yield from unknown(one, made.openapi_types[names[key]], f"{at}.{key}")


print("\n".join(unknown(json.load(sys.stdin), "V1beta1InferenceService", "service")))
