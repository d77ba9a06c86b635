"""Shadow versions: they see what clients asked, nobody waits for them, and why they fail is remembered.

What they answered, and how far that is from what the client got, is told to the recorder as any prediction is.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from functools import partial

import msgspec

from penstock.base.errors import PenstockError, described
from penstock.serving.call import Call, is_unknown_category
from penstock.serving.engine.engine import Engine
from penstock.serving.engine.job import Outputs

logger = logging.getLogger(__name__)
REASON_CHARACTERS = 300
WAITED = "too many requests waited for it"


class Failures(msgspec.Struct):
    """How many requests a shadow did not answer, by the kind of reason, and the last reason in words, and its kind."""

    misfit: int = 0
    model_failed: int = 0
    left_out: int = 0
    reason: str = ""
    reason_kind: str = ""

    def sentence(self, name: str, *, is_discreet: bool = False) -> str:
        """Say it in words; discreetly without those of the reason, which may hold what was asked."""
        kinds = (
            (self.model_failed, "failed"),
            (self.misfit, "did not fit it"),
            (self.left_out, "were left out"),
        )
        counts = ", ".join(f"{count} {what}" for count, what in kinds if count)
        return f"{name}: of the requests it saw {counts}; the last: {self.reason_kind if is_discreet else self.reason}"


class Shadows:
    """See the module. Casting is for the loop's thread; what is told may be asked by any."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._failures: dict[tuple[str, int], dict[int, Failures]] = {}
        self._lock = threading.Lock()
        self.discreet: frozenset[str] = frozenset()
        """Endpoints of which is not told what an error says, because it may hold what must not be kept."""

    def cast(self, call: Call, outputs: Outputs) -> None:
        """Let the shadows of a revision predict what a client asked and was answered."""
        revision = call.served.revision
        for version in revision.shadows:
            if version in call.served.left_out:
                continue
            try:
                shadow = call.shadowed(version, outputs)
            except PenstockError as error:
                self._fail(call, version, "misfit", error.message, error.code)
                call.tell_misfit(version)
                continue
            done = partial(self._settle, shadow, version)
            if not self._engine.cast(revision.endpoint, shadow.model, shadow.columns, shadow.row_count, done):
                self._fail(call, version, "left_out", WAITED, WAITED)

    def told(self, endpoint: str, revision: int) -> str:
        """Return in words why the shadows of a revision fail; empty where they do not."""
        is_discreet = endpoint in self.discreet
        with self._lock:
            found = self._failures.get((endpoint, revision), {})
            return "; ".join(
                one.sentence(f"shadow version {version}", is_discreet=is_discreet)
                for version, one in sorted(found.items())
            )

    def _settle(self, shadow: Call, version: int, predicted: asyncio.Future[Outputs]) -> None:
        error = predicted.exception()
        if error is not None:
            if is_unknown_category(error):
                self._fail(shadow, version, "misfit", error.message, error.code)
            else:
                self._fail(shadow, version, "model_failed", described(error), type(error).__name__)
        shadow.settle(predicted)

    def _fail(self, call: Call, version: int, kind: str, reason: str, reason_kind: str) -> None:
        key = (call.served.revision.endpoint, call.served.revision.number)
        with self._lock:
            if key not in self._failures:  # of what was served before nobody asks any more
                self._failures = {one: told for one, told in self._failures.items() if one[0] != key[0]}
                self._failures[key] = {}
            found = self._failures[key].setdefault(version, Failures())
            setattr(found, kind, getattr(found, kind) + 1)
            found.reason, found.reason_kind = reason[:REASON_CHARACTERS], reason_kind
        logger.debug("shadow version %s of %s: %s", version, key[0], reason_kind)
