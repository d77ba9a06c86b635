"""Print the keys of a SeldonDeployment, given as JSON on the input, that the types of Seldon's own client do not have."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator
from typing import Any

from seldon_deploy_sdk import models


def unknown(value: Any, kind: str, at: str) -> Iterator[str]:
    """Yield where a value of a type has keys that the type does not."""
    many = re.fullmatch(r"list\[(.*)\]", kind) or re.fullmatch(r"dict\(str, (.*)\)", kind)
    if many:
        for name, one in value.items() if isinstance(value, dict) else enumerate(value):
            yield from unknown(one, many[1], f"{at}.{name}")
        return
    made = getattr(models, kind, None)
    if made is None or not getattr(made, "attribute_map", None) or not isinstance(value, dict):
        return  # a word, or a mapping that the client takes whatever its keys are
    names = {key: name for name, key in made.attribute_map.items()}
    for key, one in value.items():
        if key in names:
            yield from unknown(one, made.swagger_types[names[key]], f"{at}.{key}")
        else:
            yield f"{at}.{key}"


print("\n".join(unknown(json.load(sys.stdin), "SeldonDeployment", "deployment")))
