"""What a real program did, recorded: the other side of a comparison without the other program.

A comparison runs a scenario with Penstock and asks for the fact of the same scenario with the real program. Facts are in
`tests/recorded/`, one file for each module of tests, each with the digest of what it depends on: the source of the
scenario with all that it uses of the tests, its inputs, and the version of the program in `constraints-peers.txt`, or in the constraints of its own environment.
A fact that is missing, or whose digest is another one, fails the test. `make test-real` makes them anew: there every
comparison runs the real program again.

A file's content stands in a fact as text only where it is a document of the format or short; else its digest does.
"""

from __future__ import annotations

import dataclasses
import fcntl
import hashlib
import inspect
import json
import os
import types
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

TESTS = Path(__file__).parent
FOLDER = TESTS / "recorded"
PINS = (
    TESTS.parent / "constraints-peers.txt",
    TESTS.parent / "bench" / "monitoring" / "constraints-monitoring.txt",
)
RECORD = "PENSTOCK_RECORD_FACTS"
DOCUMENTS = (".dvc", ".dir", "dvc.yaml", "dvc.lock", ".gitignore", ".dvc/config")
SHORT_BYTES = 64
_made: dict[tuple[Path, str], Any] = {}  # in this process: a test that runs on two stores asks once


def is_recording() -> bool:
    """Say whether the real programs run and their facts are written."""
    return os.environ.get(RECORD, "") not in {"", "0"}


def fact(
    scenario: Callable[..., object],
    make: Callable[[], object],
    *,
    program: str,
    case: object = (),
    inputs: object = None,
) -> Any:
    """Return what the real program did in a scenario, as JSON; `make` runs it where facts are recorded.

    Args:
        program: the name of its distribution in one of `PINS`.
        case: what tells the calls of one scenario apart.
        inputs: what else the fact depends on.
    """
    name = f"{scenario.__name__} {json.dumps(case)}" if case != () else scenario.__name__
    path = FOLDER / f"{scenario.__module__.removeprefix('tests.')}.json"
    digest = digest_of(scenario, case, inputs, version_of(program))
    if is_recording():
        if (path, name) not in _made:
            _made[path, name] = plain(make())
            write(path, name, {"digest": digest, "found": _made[path, name]})
        return _made[path, name]
    known = json.loads(path.read_text()).get(name) if path.exists() else None
    if known is None or known["digest"] != digest:
        state = "is missing" if known is None else "is stale"
        pytest.fail(
            f"the fact of {program} for {name!r} {state} in {path.name}: make test-real", pytrace=False
        )
    return known["found"]


def version_of(program: str) -> str:
    """Return the pinned versions of a program and of its own parts."""
    lines = [line for path in PINS for line in path.read_text().splitlines() if line.startswith(program)]
    assert any(line.startswith(f"{program}==") for line in lines), program
    return "\n".join(sorted(lines))


def digest_of(*things: object) -> str:
    """Return the digest of values, and of functions with all that they use of the tests."""
    texts: dict[str, str] = {}
    for number, thing in enumerate(things):
        _gather(str(number), thing, texts)
    return hashlib.sha256(json.dumps(texts, sort_keys=True).encode()).hexdigest()[:16]


def plain(value: object, name: str = "") -> Any:
    """Return a value as JSON has it; `name` is the file whose content it is."""
    if isinstance(value, bytes):
        if name.endswith(DOCUMENTS) or len(value) <= SHORT_BYTES:
            return value.decode(errors="surrogateescape")
        return f"sha256:{hashlib.sha256(value).hexdigest()[:24]} of {len(value)} bytes"
    if isinstance(value, dict):
        return {str(key): plain(item, str(key)) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item, name) for item in value]
    assert value is None or isinstance(value, str | int | float | bool), value
    return value


def _gather(name: str, thing: object, texts: dict[str, str]) -> None:
    """Note the text of a thing under its name, and of what it refers to."""
    if isinstance(thing, type | types.FunctionType):
        if not _is_ours(thing):
            return
        source = " ".join(inspect.getsource(thing).split())
        name = f"{thing.__qualname__} {hashlib.md5(source.encode()).hexdigest()}"
        if name in texts:
            return
        texts[name] = source
        if isinstance(thing, types.FunctionType):
            for used in _names(thing.__code__):
                if used in thing.__globals__:
                    _gather(f"{name}.{used}", thing.__globals__[used], texts)
            for used, cell in zip(thing.__code__.co_freevars, thing.__closure__ or (), strict=True):
                _gather(f"{name}.{used}", cell.cell_contents, texts)
    elif isinstance(thing, list | tuple | dict):
        items = thing.items() if isinstance(thing, dict) else enumerate(thing)
        for key, item in items:
            _gather(f"{name}.{key}", item, texts)
    elif dataclasses.is_dataclass(thing) or isinstance(thing, str | bytes | int | float | bool | None):
        texts[name] = repr(thing)


def _is_ours(thing: object) -> bool:
    try:
        return TESTS in Path(inspect.getfile(thing)).parents  # type: ignore[arg-type]
    except TypeError:
        return False


def _names(code: types.CodeType) -> Iterator[str]:
    yield from code.co_names
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            yield from _names(constant)


def write(path: Path, name: str, fact: dict[str, Any]) -> None:
    """Put one fact into a file that other processes write too."""
    path.parent.mkdir(exist_ok=True)
    lock = os.open(path.parent, os.O_RDONLY)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        known = json.loads(path.read_text()) if path.exists() else {}
        known[name] = fact
        beside = path.with_suffix(".new")
        beside.write_text(json.dumps(known, indent=1, sort_keys=True) + "\n")
        beside.rename(path)
    finally:
        os.close(lock)
