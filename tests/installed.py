"""As if Penstock had been installed from elsewhere: what an installer notes of it, found before what is really there."""

from __future__ import annotations

import json
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest

from penstock import __version__

INDEX: dict[str, Any] = {}


def install_from(monkeypatch: pytest.MonkeyPatch, folder: Path, came_from: dict[str, Any]) -> None:
    """Let this process find the notes of an installation from there; of one from an index there is none."""
    described = metadata.distribution("penstock")
    info = folder / f"penstock-{__version__}.dist-info"
    info.mkdir(parents=True)
    for name in ("METADATA", "entry_points.txt"):
        (info / name).write_text(described.read_text(name) or "")
    if came_from:
        (info / "direct_url.json").write_text(json.dumps(came_from))
    monkeypatch.syspath_prepend(str(folder))
