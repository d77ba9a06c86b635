"""What a stage asks of whoever runs it: `meta.penstock` in `dvc.yaml`, which DVC leaves alone.

Conditions do not belong to a result: changing one makes no stage stale. Who keeps them is `scheduling` (resources,
mutex, retries) and the executors (timeout, environment).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from penstock.base.errors import Invalid

_TIME = re.compile(r"(\d+(?:\.\d+)?)\s*(ms|s|m|h|d)?$")
_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*([KMGT]i?)?B?$")
_BYTES = {"K": 10**3, "M": 10**6, "G": 10**9, "T": 10**12, "Ki": 2**10, "Mi": 2**20, "Gi": 2**30, "Ti": 2**40}
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*$")


@dataclass(frozen=True)
class Resources:
    """What a stage needs while its commands run."""

    cpus: float = 1.0
    memory_bytes: int = 0
    gpus: float = 0.0

    def told(self) -> str:
        """Return it in words, as in "4 cpus, 2.0 GB of memory"."""
        words = [f"{self.cpus:g} cpus"] if self.cpus != 1 else []
        words += [f"{self.memory_bytes / 1e9:.1f} GB of memory"] if self.memory_bytes else []
        words += [f"{self.gpus:g} gpus"] if self.gpus else []
        return ", ".join(words) or "1 cpu"


@dataclass(frozen=True)
class Conditions:
    """How a stage's commands are run.

    `retries` is how often they are begun again after a failure, `timeout_s` how long one attempt may take, `mutexes`
    names of which each is held by one stage at a time.
    """

    retries: int = 0
    timeout_s: float | None = None
    environment: Mapping[str, str] = field(default_factory=dict)
    resources: Resources = field(default_factory=Resources)
    mutexes: tuple[str, ...] = ()


NONE = Conditions()
KEYS = ("retries", "timeout", "env", "resources", "mutex")
RESOURCES = ("cpus", "memory", "gpus")


def read_conditions(path: Path, stage: str, meta: Any) -> Conditions:
    """Return what a stage's `meta` asks; `path` is the `dvc.yaml` it stands in.

    Raises:
        Invalid: an unknown key, or a value that is none; file and line are named.
    """
    if not isinstance(meta, Mapping) or "penstock" not in meta:
        return NONE
    reader = _Reader(path, stage)
    asked = reader.mapping(meta["penstock"], (), KEYS)
    resources = reader.mapping(asked.get("resources", {}), ("resources",), RESOURCES)
    mutex = asked.get("mutex", [])
    names = [mutex] if isinstance(mutex, str) else mutex
    if not isinstance(names, list) or not all(isinstance(name, str) and name for name in names):
        raise reader.refuse(("mutex",), "expected a name, or a list of names")
    return Conditions(
        reader.count(asked.get("retries", 0), ("retries",)),
        reader.seconds(asked.get("timeout"), ("timeout",)),
        reader.environment(asked.get("env", {}), ("env",)),
        Resources(
            reader.share(resources.get("cpus", 1), ("resources", "cpus")),
            reader.size(resources.get("memory", 0), ("resources", "memory")),
            reader.share(resources.get("gpus", 0), ("resources", "gpus")),
        ),
        tuple(dict.fromkeys(names)),
    )


class _Reader:
    """Reads values below `meta.penstock` of one stage."""

    def __init__(self, path: Path, stage: str) -> None:
        self.path, self.stage = path, stage

    def refuse(self, keys: Sequence[str], problem: str, hint: str | None = None) -> Invalid:
        from penstock.base.settings import line_of

        field_name = ".".join(["meta.penstock", *keys])
        name = self.stage.partition("@")[0]
        ways = ([name], [name, "do"])
        lines = (line_of(self.path, ["stages", *way, "meta", "penstock", *keys]) for way in ways)
        line = next((one for one in lines if one is not None), None)
        where = f"{self.path}:{line}" if line is not None else str(self.path)
        return Invalid(
            f"{where}: stage `{self.stage}`: {problem} in `{field_name}`",
            code="pipeline.bad_stage",
            hint=hint or f"edit the stage in {self.path.name}",
            file=str(self.path),
            line=line,
            stage=self.stage,
        )

    def mapping(self, value: Any, keys: Sequence[str], known: Iterable[str]) -> Mapping[str, Any]:
        if value is None:
            return {}
        if not isinstance(value, Mapping):
            raise self.refuse(keys, "expected a mapping (key: value)")
        for key in value:
            if key not in known:
                import difflib

                near = difflib.get_close_matches(str(key), list(known), n=1, cutoff=0.5)
                hint = f"did you mean `{near[0]}`?" if near else f"known keys: {', '.join(known)}"
                raise self.refuse((*keys, str(key)), f"unknown key `{key}`", hint)
        return value

    def count(self, value: Any, keys: Sequence[str]) -> int:
        if type(value) is not int or not 0 <= value <= 1000:
            raise self.refuse(keys, "expected a whole number from 0 to 1000")
        return value

    def share(self, value: Any, keys: Sequence[str]) -> float:
        if type(value) not in (int, float) or not 0 <= value < 1e6:
            raise self.refuse(keys, "expected a number, 0 or more")
        return float(value)

    def seconds(self, value: Any, keys: Sequence[str]) -> float | None:
        if value is None:
            return None
        found = _TIME.match(str(value)) if type(value) in (int, float, str) else None
        seconds = float(found[1]) * _SECONDS[found[2] or "s"] if found else 0.0
        if seconds <= 0:
            raise self.refuse(keys, "expected seconds, or a time such as 90s, 10m or 2h")
        return seconds

    def size(self, value: Any, keys: Sequence[str]) -> int:
        found = _SIZE.match(str(value)) if type(value) in (int, str) else None
        if found is None:
            raise self.refuse(keys, "expected bytes, or a size such as 512MB or 2GB")
        return int(float(found[1]) * _BYTES.get(found[2] or "", 1))

    def environment(self, value: Any, keys: Sequence[str]) -> dict[str, str]:
        if not isinstance(value, Mapping):
            raise self.refuse(keys, "expected a mapping of names to values")
        for name, text in value.items():
            if not isinstance(name, str) or not _NAME.match(name):
                raise self.refuse((*keys, str(name)), f"`{name}` is no name of a variable")
            if type(text) not in (str, int, float):
                raise self.refuse((*keys, name), "expected a text or a number; quote it")
        return {name: str(text) for name, text in value.items()}
