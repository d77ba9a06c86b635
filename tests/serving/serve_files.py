"""Serve models from a folder as a process of its own: python serve_files.py STORE MODELS PORT."""

from __future__ import annotations

import sys
from pathlib import Path

from penstock.base.store.database import connect
from penstock.http.inference.app import build_inference_app
from penstock.processes.serve import ServeProcess
from penstock.processes.serve_options import ServeOptions
from penstock.serving.loaders import ModelFiles
from serving.models import SIGNATURE, FolderSource


def main(store: str, models: str, port: str) -> None:
    """Serve until a signal comes; print the URL when requests are answered."""
    source = FolderSource()
    for folder in sorted(Path(models).iterdir()):
        name, _, version = folder.name.rpartition("-")
        source.add(
            ModelFiles(
                path=folder,
                name=name,
                version=int(version),
                digest=folder.name,
                flavour="sklearn",
                options={"pickled_model": "model.skops"},
                signature=SIGNATURE,
            )
        )
    process = ServeProcess(
        connect(f"sqlite:///{store}"), source, build_inference_app, ServeOptions(port=int(port), flush_s=0.2)
    )
    print(process.url, flush=True)
    process.run()


if __name__ == "__main__":
    main(*sys.argv[1:])
