"""Ask a model about parts of tables on a Ray cluster: an actor for each processor, which has loaded it.

Workers have Penstock and the model's library; the model's files are sent to them. Parts are answered side by side and
handed on in their order, so what is written is what one machine would have written.
"""

from __future__ import annotations

import itertools
import tempfile
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

from penstock.base.errors import Invalid, PenstockError, Unavailable
from penstock.flows.models.folders import files_of_folder
from penstock.flows.production.scoring.answering import Answered, answer
from penstock.pipeline.executors.ray import connect
from penstock.serving.loaders import ModelFiles, load_model
from penstock.serving.loaders.model import Array

MOST_ACTORS = 64
ATTEMPTS = 4
"""How often a part is asked for: an actor that ended is replaced, and its successor asked."""


class Asker:
    """An actor with the model."""

    def __init__(self, files: Mapping[str, bytes], name: str, number: int, digest: str, called: str) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="penstock-model-")
        for path, data in files.items():
            place = Path(self._folder.name, path)
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes(data)
        self._model = load_model(files_of_folder(Path(self._folder.name), name, number, digest))
        self._called = called

    def answer(self, columns: dict[str, Array], count: int) -> Answered | tuple[str, str, str | None]:
        """Return the answers, or code, sentence and hint of what is wrong."""
        started = time.perf_counter()
        try:
            found = answer(self._model, columns, count, self._called)
        except PenstockError as error:
            return error.code, error.message, error.hint
        found.seconds = time.perf_counter() - started
        return found


class RayAnswerer:
    """Answers parts on a cluster, `ahead` of them at once; the address None is this machine's cluster, or a new one."""

    def __init__(self, files: ModelFiles, called: str, address: str | None) -> None:
        try:
            import ray
        except ImportError:
            raise Unavailable(
                "the executor ray needs ray, which is not installed",
                code="pipeline.executor_missing",
                hint="pip install 'penstock[ray]'",
            ) from None
        self._ray: Any = ray
        self._is_ours = not ray.is_initialized()
        if self._is_ours:
            connect(ray, address)
        content = ray.put(
            {
                str(path.relative_to(files.path)): path.read_bytes()
                for path in sorted(files.path.rglob("*"))
                if path.is_file()
            }
        )
        count = max(1, min(MOST_ACTORS, int(ray.cluster_resources().get("CPU", 1))))
        kind = ray.remote(Asker).options(num_cpus=1)
        self._begin = partial(kind.remote, content, files.name, files.version, files.digest, called)
        self._actors = [self._begin() for _ in range(count)]
        self._turns = itertools.cycle(range(count))
        self.ahead = 2 * count

    def submit(self, columns: dict[str, Array], count: int) -> Callable[[], Answered]:
        """Ask about rows; what is returned waits for the answers."""
        turn = next(self._turns)
        actor = self._actors[turn]
        asked = actor.answer.remote(columns, count)

        def wait() -> Answered:
            nonlocal actor, asked
            attempts = 1
            while True:
                try:
                    return _answered(self._ray.get(asked))
                except self._ray.exceptions.RayActorError as error:
                    if attempts == ATTEMPTS:
                        raise _away(error) from None
                except self._ray.exceptions.RayError as error:
                    raise _away(error) from None
                attempts += 1
                actor = self._successor(turn, actor)
                asked = actor.answer.remote(columns, count)

        return wait

    def _successor(self, turn: int, ended: Any) -> Any:
        """Return the actor that replaces one that ended; what else had been asked of that one shares it."""
        if self._actors[turn] is ended:
            with suppress(self._ray.exceptions.RayError):
                self._ray.kill(ended)
            self._actors[turn] = self._begin()
        return self._actors[turn]

    def close(self) -> None:
        """End the actors; a cluster that was begun here ends."""
        for actor in self._actors:
            with suppress(self._ray.exceptions.RayError):
                self._ray.kill(actor)
        if self._is_ours:
            self._ray.shutdown()


def _answered(found: Answered | tuple[str, str, str | None]) -> Answered:
    if isinstance(found, Answered):
        return found
    code, message, hint = found
    raise Invalid(message, code=code, hint=hint)


def _away(error: Exception) -> Unavailable:
    return Unavailable(
        f"the Ray cluster gave no answer: {str(error).strip().partition(chr(10))[0]}",
        code="pipeline.cluster_away",
        hint="the same command goes on where it ended",
    )
