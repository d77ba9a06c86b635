"""A serve process with both HTTP and gRPC on the small model, for a whole module of tests."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import sharing
from penstock.base.store.database import connect, metadata
from penstock.http.listen import Tls
from penstock.processes.front_options import FrontOptions
from penstock.processes.fronts import make_fronts
from penstock.processes.serve import ServeProcess
from penstock.processes.serve_options import ServeOptions
from penstock.serving.recorder import Tracer
from serving.fixtures import train
from serving.models import FolderSource, deploy, files_of


def serve_both(folder: Path, tls: Tls | None = None, tracer: Tracer | None = None) -> Iterator[ServeProcess]:
    """Serve `delay` over HTTP and gRPC until a fixture ends."""
    database = connect(f"sqlite:///{folder}/penstock.db")
    metadata.create_all(database.engine)
    deploy(database, "delay", 1)
    made = make_fronts(FrontOptions(grpc_port=0, tls=tls), database)
    options = ServeOptions(port=0, poll_s=0.02, flush_s=0.1, tls=tls)
    models: Path = sharing.made("serving-models", train)
    source = FolderSource(files_of(models, 1, seed=1), files_of(models, 2, seed=2))
    process = ServeProcess(
        database, source, made.application, options, companion=made.companion, tracer=tracer
    )
    process.start()
    yield process
    process.stop()
    database.close()
