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
from pathlib import Path
from typing import Any

from penstock.base.errors import Invalid, PenstockError, Unavailable
from penstock.flows.models.folders import files_of_folder
from penstock.flows.production.scoring.answering import Answered, answer
from penstock.pipeline.executors.ray import connect
from penstock.serving.loaders import ModelFiles, load_model
from penstock.serving.loaders.model import Array

MOST_ACTORS = 64
RESTARTS = 3
"""How often an actor that was killed is replaced, and what it was asked is asked again."""


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
        self._content = ray.put(  # kept as long as an actor may be begun anew
            {
                str(path.relative_to(files.path)): path.read_bytes()
                for path in sorted(files.path.rglob("*"))
                if path.is_file()
            }
        )
        count = max(1, min(MOST_ACTORS, int(ray.cluster_resources().get("CPU", 1))))
        kind = ray.remote(Asker).options(num_cpus=1, max_restarts=RESTARTS, max_task_retries=RESTARTS)
        self._actors = [
            kind.remote(self._content, files.name, files.version, files.digest, called) for _ in range(count)
        ]
        self._next = itertools.cycle(self._actors)
        self.ahead = 2 * count

    def submit(self, columns: dict[str, Array], count: int) -> Callable[[], Answered]:
        """Ask about rows; what is returned waits for the answers."""
        asked = next(self._next).answer.remote(columns, count)

        def wait() -> Answered:
            try:
                found = self._ray.get(asked)
            except self._ray.exceptions.RayError as error:
                raise Unavailable(
                    f"the Ray cluster gave no answer: {str(error).strip().partition(chr(10))[0]}",
                    code="pipeline.cluster_away",
                    hint="the same command goes on where it ended",
                ) from None
            if isinstance(found, Answered):
                return found
            code, message, hint = found
            raise Invalid(message, code=code, hint=hint)

        return wait

    def close(self) -> None:
        """End the actors; a cluster that was begun here ends."""
        for actor in self._actors:
            with suppress(self._ray.exceptions.RayError):
                self._ray.kill(actor)
        if self._is_ours:
            self._ray.shutdown()
