"""Whose fault it is that a version cannot be served: its own, or that of the host which tries.

What the system refuses (files, memory, network), what is not installed, keys and files that cannot be had are the host's: the
same version loads elsewhere, or later. What remains is the version's own where it fails twice, the second time in a fresh
process, in which nothing else is loaded. Whether it was ever loaded is asked of the store, in
`penstock.flows.production.controlling.unloadable`.

This file is also that process: python -m penstock.serving.faults DESCRIPTOR, `ModelFiles` as JSON in. To the descriptor, a
pipe of its own that nothing else writes to, it says `BEGUN` right before it touches the version, and at last a `Trial` as JSON.
One that never began says nothing of the version; one that began and does not say how it went was ended by it.
"""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from typing import Any, Literal, NamedTuple

import msgspec

from penstock.base.errors import Invalid, PenstockError, Unavailable, described
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
BEGUN = b"begun\n"
WHY_MAX_CHARS = 4000
"""So much fits into a pipe whoever reads it."""
ENDED = frozenset({"ends", "killed"})
"""How a trial goes that leaves no process."""


End = Literal["loads", "fails", "ends", "killed", "hindered"]


class Trial(NamedTuple):
    """How a version did in a fresh process, and in words why it does not load.

    `fails`: by itself. `ends`: it ends its process. `killed`: somebody kills that, as a system without memory does.
    `hindered`: the host keeps it from loading or from being tried, or it is not known.
    """

    end: End
    why: str = ""


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
    tried = try_afresh(files)
    if tried.why:
        logger.info("%s version %s in a fresh process: %s", files.name, files.version, tried.why)
    return tried.end == "fails"


def failure_afresh(files: ModelFiles, limit_s: float) -> str | None:
    """Load and prove a version in a fresh process; return why that fails, whosever fault it is, or None. Blocks."""
    return try_afresh(files, limit_s).why or None


def try_afresh(files: ModelFiles, limit_s: float = FRESH_S) -> Trial:
    """Load and prove a version in a fresh process, which nothing suffers from that ends there. Blocks."""
    asked = msgspec.json.encode({**msgspec.structs.asdict(files), "path": str(files.path)})
    reader, writer = os.pipe()
    try:
        done = subprocess.run(
            _command(writer),
            input=asked,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            timeout=limit_s,
            pass_fds=(writer,),
            check=False,
        )
        os.set_blocking(reader, False)  # what the version began may live, and hold the pipe
        with suppress(BlockingIOError):
            return _trial_of(done, os.read(reader, 65536))
        return _trial_of(done, b"")
    except subprocess.TimeoutExpired:
        return Trial("hindered", f"it was not loaded within {limit_s:g} s")
    except OSError as error:
        return Trial("hindered", f"it was not tried: {error.strerror}")
    finally:
        os.close(reader)
        os.close(writer)


def _command(tells: int) -> list[str]:
    """Return what begins the fresh process; -P: it does not look for modules where this one works."""
    return [sys.executable, "-P", "-m", "penstock.serving.faults", str(tells)]


def _trial_of(done: subprocess.CompletedProcess[bytes], said: bytes) -> Trial:
    how = f"by signal {-done.returncode}" if done.returncode < 0 else f"with exit code {done.returncode}"
    if not said.startswith(BEGUN):
        last = done.stderr.decode(errors="replace").strip().rpartition("\n")[2]
        return Trial("hindered", f"it was not tried: {last or f'the process for it ended {how}'}")
    if said == BEGUN:  # whatever the code is, it is not this program's
        end: End = "killed" if done.returncode == -signal.SIGKILL else "ends"
        return Trial(end, f"loading it, or its self-test, ends its process {how}")
    return msgspec.json.decode(said.removeprefix(BEGUN), type=Trial)


def require_alive(files: ModelFiles) -> None:
    """Make sure that loading a version, and its self-test, end no process, before this one does it. Blocks.

    Raises:
        Invalid: they do.
    """
    tried = try_afresh(files)
    if tried.end in ENDED:
        raise Invalid(
            f"{files.name}/{files.version} cannot be served: {tried.why}",
            code="serving.ends_process",
            hint="its code or its library ends the process; killed by signal 9, it may have had too little memory",
        )


def _causes_of(error: BaseException) -> Iterator[BaseException]:
    """Yield an exception and those that it came of."""
    seen: set[int] = set()
    one: BaseException | None = error
    while one is not None and id(one) not in seen:
        seen.add(id(one))
        yield one
        one = one.__cause__ if one.__cause__ is not None or one.__suppress_context__ else one.__context__


def main() -> None:
    """Load and prove a version, and tell how it went."""
    tells = int(sys.argv[1])
    os.set_inheritable(tells, False)
    files = msgspec.json.decode(sys.stdin.buffer.read(), type=ModelFiles, dec_hook=_path)
    os.write(tells, BEGUN)
    os.write(tells, msgspec.json.encode(_try(files)))


def _try(files: ModelFiles) -> Trial:
    try:
        prove(LoadedModel(files, load_model(files)), files)
    except PenstockError as error:
        told = f"{error.message}: {error.hint}" if error.hint else error.message
        return _failed(told, is_own=may_be_own(error))
    except Exception as error:  # noqa: BLE001 - a model may raise anything
        return _failed(
            described(error), is_own=not any(isinstance(one, OF_THE_HOST) for one in _causes_of(error))
        )
    return Trial("loads")


def _failed(told: str, *, is_own: bool) -> Trial:
    return Trial("fails" if is_own else "hindered", " ".join(told.split())[:WHY_MAX_CHARS])


def _path(kind: type, value: Any) -> Any:
    return kind(value)


if __name__ == "__main__":
    main()
