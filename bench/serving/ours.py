"""Penstock's serve process over one model, as `penstock serve` runs it: python ours.py FOLDER PORT."""

from __future__ import annotations

import argparse
import pickle
from pathlib import Path
from typing import Any

from models import FEATURES, KINDS

import penstock.monitoring.findings
import penstock.monitoring.lease
import penstock.serving.workers  # noqa: F401 - each declares its tables
from penstock.base.store.database import connect, metadata
from penstock.http.inference import build_inference_app
from penstock.processes.serve import ServeOptions, ServeProcess
from penstock.records.signature import Column, Signature
from penstock.serving.deployments import RevisionDraft, append_revision
from penstock.serving.engine.options import EngineOptions
from penstock.serving.loaders import ModelFiles
from penstock.serving.loaders.quick_skops import import_skops
from penstock.serving.recorder import Exchange, RecorderState


class NoRecorder:
    """Forgets everything."""

    state = RecorderState(used_bytes=0, max_bytes=0, dropped={})

    def record(self, exchange: Exchange) -> None:
        """Do nothing."""


class OneModel:
    """A source of one model."""

    def __init__(self, files: ModelFiles) -> None:
        self.files = files

    def fetch(self, model: str, version: int) -> ModelFiles:
        """Return it."""
        return self.files

    def allow(self, model: str, version: int) -> None:
        """Let every version be asked for."""

    def edges(self, model: str, version: int) -> dict[str, Any]:
        """Know no reference."""
        return {}


def files_of(folder: Path, kind: str) -> ModelFiles:
    """Save the estimator as a skops file, and describe it by named columns."""
    with (folder / "model.pkl").open("rb") as file:
        estimator: Any = pickle.load(file)
    skops = import_skops()
    skops.dump(estimator, folder / "model.skops")
    trusted = skops.get_untrusted_types(file=folder / "model.skops")
    return ModelFiles(
        path=folder,
        name="bench",
        version=1,
        digest=kind,
        flavour="sklearn",
        options={"skops_trusted_types": trusted, "serialization_format": "skops"},
        signature=Signature(
            inputs=tuple(Column(f"f{index}", "FP64") for index in range(FEATURES)),
            outputs=(Column("prediction", "INT64"), Column("probability", "FP64")),
        ),
    )


def main() -> None:
    """Serve until SIGTERM."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("port", type=int)
    parser.add_argument("--kind", choices=KINDS, default="logistic")
    parser.add_argument("--no-recording", action="store_true")
    parser.add_argument("--max-rows", type=int, default=EngineOptions().max_rows)
    options = parser.parse_args()
    store = connect(f"sqlite:///{options.folder}/bench.db")
    metadata.create_all(store.engine)
    with store.write() as connection:
        draft = RevisionDraft(model="bench", stable=1, actor="bench", reason="bench")
        append_revision(connection, "bench", draft, expected=None)
    process = ServeProcess(
        store,
        OneModel(files_of(options.folder, options.kind)),
        build_inference_app,
        ServeOptions(port=options.port, engine=EngineOptions(max_rows=options.max_rows)),
    )
    if options.no_recording:
        process.dataplane._recorder = NoRecorder()
    process.run()


if __name__ == "__main__":
    main()
