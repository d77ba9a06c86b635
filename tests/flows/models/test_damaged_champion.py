"""A champion whose files are damaged is told by its name, wherever it is met, and is not taken for the candidate."""

from __future__ import annotations

import shutil

from penstock.registry.versions import get_version
from projects import Sample
from servers.forking import run_penstock


def test_the_gate_names_the_champion_whose_file_is_damaged(released: Sample) -> None:
    with released.project.database.read() as connection:
        file = get_version(connection, "late", 1).manifest.files[0]
    released.close()
    for stored in (released.root / ".penstock/artifacts").rglob(file.sha256[2:]):
        stored.chmod(0o644)
        stored.write_bytes(b"damaged")
    shutil.rmtree(released.root / ".penstock/models", ignore_errors=True)
    for words in (("gate", "run"), ("ci", "run")):
        done = run_penstock(released.root, *words)
        said = done.stderr + done.stdout
        assert done.returncode == 1, said
        assert "the champion cannot be compared with, and nothing is wrong with the candidate" in said
        assert f"{file.path} of late/1 cannot be had: artifact {file.sha256[:12]}" in said
        assert "penstock model verify late/1" in said
    done = run_penstock(released.root, "model", "download", "late/1", "-o", "there")
    assert f"{file.path} of late/1 cannot be had" in done.stderr
