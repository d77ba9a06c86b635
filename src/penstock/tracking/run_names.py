"""Ids and names for runs that nobody named."""

from __future__ import annotations

import random
import uuid

_ADJECTIVES = (
    "agile bold brisk calm clear deep eager fair fleet fresh glad keen lively merry nimble proud quick quiet \
rapid sharp shiny silent smooth steady stout swift tidy vast vivid warm wise young"
)
_ANIMALS = (
    "auk bass beaver carp crane crayfish dipper dragonfly duck eel egret frog grebe gull heron kingfisher loon \
marten mink newt osprey otter perch pike plover salmon seal stork swan tern trout vole"
)


def new_run_id() -> str:
    """Return a fresh run id: 32 hexadecimal digits, as MLflow's."""
    return uuid.uuid4().hex


def new_run_name() -> str:
    """Return a name nobody chose, such as `swift-heron-412`."""
    pick = random.SystemRandom()
    return f"{pick.choice(_ADJECTIVES.split())}-{pick.choice(_ANIMALS.split())}-{pick.randrange(1000)}"
