"""A cache that one may only read serves links all the same."""

from __future__ import annotations

import subprocess

from .conftest import Desk


def test_links_are_made_into_a_cache_that_one_may_only_read(desk: Desk) -> None:
    desk.put({"data/a": "a", "data/b": "b", "f": "f"})
    desk.run("config", "cache.type", "symlink")
    desk.run("add", "data", "f")
    subprocess.run(["rm", "-r", "data", "f", ".dvc/cache/tmp"], cwd=desk.root, check=True)
    subprocess.run(["chmod", "-R", "a-w", ".dvc/cache"], cwd=desk.root, check=True)
    desk.obey_modes()
    desk.run("checkout")
    assert (desk.root / "data" / "a").is_symlink()
    assert (desk.root / "f").read_text() == "f"
    subprocess.run(["chmod", "-R", "u+w", ".dvc/cache"], cwd=desk.root, check=True)
