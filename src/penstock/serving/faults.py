"""Whose fault it is that a version cannot be served: its own, or that of the host which tries.

What the system refuses (files, memory, network), what is not installed, keys and files that cannot be had are the host's: the
same version loads elsewhere, or later. What remains is the version's own where it fails twice, the second time in a fresh
process, in which nothing else is loaded. Whether it was ever loaded is asked of the store, in
`penstock.flows.production.controlling.unloadable`.

This file is also that process: python -m penstock.serving.faults, `ModelFiles` as JSON in.
"""

from __future__ import annotations

import logging
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import msgspec

from penstock.base.errors import PenstockError, Unavailable, described
from penstock.serving.loaders import load_model
from penstock.serving.loaders.model import ModelFiles
from penstock.serving.repository import LoadedModel, prove

logger = logging.getLogger(__name__)
OWN = frozenset(
    {
        "serving.model_does_not_load",
        "serving.self_test_failed",
        "serving.load_failed",
        "serving.signature_mismatch",
        "serving.flavour_unknown",
    }
)
"""Errors that a version may be at fault for."""
JUDGED = frozenset({"gate.no_passing_verdict", "gate.verdict_damaged"})
"""Errors that the store tells of a version on every host alike: no second attempt says more."""
OF_THE_HOST = (OSError, MemoryError, ImportError)
"""What the system refused and what is not installed, wherever in a failure it stands."""
FRESH_S = 120.0
"""So long a fresh process may take; one that takes longer proves nothing."""
PROVEN = 65
"""How a fresh process ends in which the version failed by itself."""


def may_be_own(error: PenstockError) -> bool:
    """Whether a version that cannot be served may be at fault itself: nothing in its failure is the host's."""
    if isinstance(error, Unavailable) or error.code not in OWN | JUDGED:
        return False
    return not any(isinstance(one, (*OF_THE_HOST, Unavailable)) for one in _causes_of(error))


def needs_proof(error: PenstockError) -> bool:
    """Whether a second attempt may end otherwise than the first."""
    return error.code not in JUDGED and error.code != "serving.signature_mismatch"


def fails_afresh(files: ModelFiles) -> bool:
    """Load and prove a version in a fresh process; say whether it fails there too, by itself. Blocks."""
    try:
        done = _afresh(files, FRESH_S)
    except (OSError, subprocess.SubprocessError) as error:
        logger.warning("%s version %s is not tried afresh: %s", files.name, files.version, error)
        return False
    logger.info(
        "%s version %s in a fresh process: exit code %s: %s",
        files.name,
        files.version,
        done.returncode,
        done.stderr[-500:].decode(errors="replace").strip(),
    )
    return done.returncode == PROVEN


def failure_afresh(files: ModelFiles, limit_s: float) -> str | None:
    """Load and prove a version in a fresh process; return why that fails, whosever fault it is, or None. Blocks."""
    try:
        done = _afresh(files, limit_s)
    except subprocess.TimeoutExpired:
        return f"it was not loaded within {limit_s:g} s"
    except OSError as error:
        return f"it was not tried: {error.strerror}"
    if done.returncode < 0:
        return f"loading it ends its process by signal {-done.returncode}"
    told = done.stderr.decode(errors="replace").strip()
    return (
        None
        if done.returncode == 0
        else told.rpartition("\n")[2] or f"its process ended with {done.returncode}"
    )


def _afresh(files: ModelFiles, limit_s: float) -> subprocess.CompletedProcess[bytes]:
    command = [sys.executable, "-P", "-m", "penstock.serving.faults"]  # -P: nothing of the working directory
    asked = msgspec.json.encode({**msgspec.structs.asdict(files), "path": str(files.path)})
    return subprocess.run(command, input=asked, capture_output=True, timeout=limit_s, check=False)


def _causes_of(error: BaseException) -> Iterator[BaseException]:
    """Yield an exception and those that it came of."""
    seen: set[int] = set()
    one: BaseException | None = error
    while one is not None and id(one) not in seen:
        seen.add(id(one))
        yield one
        one = one.__cause__ if one.__cause__ is not None or one.__suppress_context__ else one.__context__


def main() -> int:
    """Load and prove a version; return `PROVEN` where it fails by itself."""
    files = msgspec.json.decode(sys.stdin.buffer.read(), type=ModelFiles, dec_hook=_path)
    try:
        prove(LoadedModel(files, load_model(files)), files)
    except PenstockError as error:
        told = f"{error.message}: {error.hint}" if error.hint else error.message
        print(" ".join(told.split()), file=sys.stderr)
        return PROVEN if may_be_own(error) else 1
    except Exception as error:  # noqa: BLE001 - a model may raise anything
        print(" ".join(described(error).split()), file=sys.stderr)
        return 1 if any(isinstance(one, OF_THE_HOST) for one in _causes_of(error)) else PROVEN
    return 0


def _path(kind: type, value: Any) -> Any:
    return kind(value)


if __name__ == "__main__":
    sys.exit(main())
