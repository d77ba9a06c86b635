"""What a killed push or fetch left on its way goes with the next one."""

from __future__ import annotations

import shutil
import subprocess

from penstock.base.staging import new_token

from .conftest import Desk


def test_the_next_transfer_clears_away(desk: Desk) -> None:
    process = subprocess.Popen(["true"])
    process.wait()
    left = f"{process.pid}-{new_token()}-4"
    store = desk.root.with_name("store")
    desk.run("remote", "add", "-d", "store", store)
    desk.put({"f": "1", f"../store/.penstock-tmp/{left}": "half"})
    desk.run("add", "f")
    desk.run("push")
    assert not (store / ".penstock-tmp").exists()
    shutil.rmtree(desk.root / ".dvc/cache")
    desk.put({f".dvc/cache/tmp/{left}": "half"})
    desk.run("fetch")
    assert list((desk.root / ".dvc/cache/tmp").iterdir()) == []
