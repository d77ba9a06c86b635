"""Models read and proved in a process of their own that ends, so that the one which serves need not import their library.

scikit-learn and scipy take 100 MB of a process. A linear model that was proved equal to its numbers is served by these
alone: a child reads it, proves it and hands over arrays. Whatever the child does not say is decided as before, by reading
the model in this process. This file is also the child: python -m penstock.serving.loaders.compiled.apart, `ModelFiles` as JSON in.
"""

from __future__ import annotations

import json
import logging
import subprocess
import sys
import threading
import zipfile
from collections.abc import Mapping
from typing import Any

import msgspec

from penstock.base.errors import PenstockError
from penstock.records.flavours import import_flavour
from penstock.serving.loaders import load_model
from penstock.serving.loaders.compiled.estimator import Numbers, of_linear
from penstock.serving.loaders.compiled.portable import Portable, from_bytes, to_bytes
from penstock.serving.loaders.compiled.proved import Facts, ShortcutPredictor
from penstock.serving.loaders.fed import FedPredictor
from penstock.serving.loaders.model import ModelFiles, Predictor

logger = logging.getLogger(__name__)
CHILD_S = 120.0
"""So long a child may take; then the model is read here."""
SCHEMA = "schema.json"
LIKELY = frozenset(
    {
        "BayesianRidge", "ElasticNet", "Lasso", "LinearRegression", "LogisticRegression",
        "LogisticRegressionCV", "Pipeline", "Ridge", "SGDRegressor",
    }
)  # fmt: skip
"""Estimators that may turn out to be nothing but numbers; of others no child is asked."""


class HandedOver(Portable, frozen=True, kw_only=True):
    """What a child says of a model: of which files, what it takes and gives, and its numbers."""

    digest: str
    facts: Facts
    numbers: Numbers


def load_lightly(files: ModelFiles) -> Predictor:
    """Load a version as `load_model`, without its library where that is not needed to answer.

    Raises:
        PenstockError: as `load_model`.
    """
    if not may_be_numbers(files):
        return load_model(files)
    handed = _ask_child(files)
    if handed is None:
        return load_model(files)
    return ShortcutPredictor(
        handed.facts, of_linear(handed.numbers.end, handed.numbers.steps), _Library(files)
    )


def may_be_numbers(files: ModelFiles) -> bool:
    """Whether a child is worth asking: the library is not in memory anyway, and nothing says that it will be needed.

    Only a file that runs no code is handed to a child, and only where each request brings every number.
    """
    if files.flavour != "sklearn" or "sklearn" in sys.modules:
        return False
    options = files.options
    is_plain = options.get("serialization_format", "skops") == "skops" and not options.get("code")
    inputs = files.signature.inputs
    has_numbers = all(
        column.required and column.datatype != "BYTES" and not column.meaning for column in inputs
    )
    return is_plain and has_numbers and bool(inputs) and _class_in(files) in LIKELY


def _class_in(files: ModelFiles) -> str | None:
    """Return the class that a skops file says it holds."""
    try:
        with zipfile.ZipFile(files.path / str(files.options.get("pickled_model", "model.skops"))) as archive:
            schema: Mapping[str, Any] = json.loads(archive.read(SCHEMA))
        return str(schema["__class__"])
    except (OSError, KeyError, ValueError, TypeError, zipfile.BadZipFile):
        return None


def _ask_child(files: ModelFiles) -> HandedOver | None:
    command = [
        sys.executable,
        "-P",
        "-m",
        "penstock.serving.loaders.compiled.apart",
    ]  # -P: nothing of the working directory
    asked = msgspec.json.encode({**msgspec.structs.asdict(files), "path": str(files.path)})
    try:
        done = subprocess.run(
            command, input=asked, capture_output=True, timeout=CHILD_S, check=False
        )  # it ends by itself, also without us
        if done.returncode or not done.stdout:
            logger.debug("%s is read here: %s", files.name, done.stderr[-500:].decode(errors="replace"))
            return None
        handed = from_bytes(done.stdout, HandedOver)
    except (OSError, subprocess.SubprocessError, msgspec.DecodeError, ValueError, TypeError) as error:
        logger.info("%s version %s is read here: %s", files.name, files.version, error)
        return None
    return handed if handed.digest == files.digest else None


class _Library:
    """The library's own predictor, read when it is first asked for. Thread-safe."""

    def __init__(self, files: ModelFiles) -> None:
        self._files = files
        self._found: FedPredictor | None = None
        self._lock = threading.Lock()

    def __call__(self) -> FedPredictor:
        with self._lock:
            if self._found is None:
                flavour = import_flavour(self._files.flavour)
                model = flavour.read_with_code(self._files.path, self._files.options)
                self._found = FedPredictor(flavour, model, self._files)
            return self._found


def main() -> int:
    """Read a model and hand over its numbers; say nothing where there is more to it."""
    files = msgspec.json.decode(sys.stdin.buffer.read(), type=ModelFiles, dec_hook=_path)
    try:
        predictor = load_model(files)
    except PenstockError as error:
        print(error.message, file=sys.stderr)
        return 1
    if not isinstance(predictor, ShortcutPredictor) or predictor.compiled.numbers is None:
        return 1
    handed = HandedOver(digest=files.digest, facts=predictor.facts, numbers=predictor.compiled.numbers)
    sys.stdout.buffer.write(to_bytes(handed))
    return 0


def _path(kind: type, value: Any) -> Any:
    return kind(value)


if __name__ == "__main__":
    sys.exit(main())
