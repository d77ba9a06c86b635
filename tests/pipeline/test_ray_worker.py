"""What a worker of Ray runs is ended whole, at whatever moment its task is cancelled. Ray itself: `tests/contracts`."""

from __future__ import annotations

import _thread
import subprocess
from pathlib import Path
from typing import Any

import pytest

from penstock.pipeline.executors import ray_worker
from penstock.pipeline.executors.ray_worker import Order, carry_out
from stories.live import is_running


def test_a_cancellation_while_a_command_or_its_guard_begins_or_ends_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`_thread.interrupt_main` is what Ray calls."""
    real = subprocess.Popen
    begun: list[subprocess.Popen[bytes]] = []

    def popen(*words: Any, **options: Any) -> subprocess.Popen[bytes]:
        if len(begun) == moment == 0:
            _thread.interrupt_main()
        begun.append(real(*words, **options))
        if len(begun) == moment:
            _thread.interrupt_main()
        return begun[-1]

    def end(process: subprocess.Popen[bytes]) -> None:
        if moment == 3:
            _thread.interrupt_main()
        really(process)

    really = ray_worker._end
    monkeypatch.setattr(ray_worker.subprocess, "Popen", popen)
    monkeypatch.setattr(ray_worker, "_end", end)
    monkeypatch.setattr(ray_worker.tempfile, "mkdtemp", lambda prefix: str(made))
    for moment in range(4):
        begun.clear()
        made = tmp_path / f"{moment}"
        made.mkdir()
        command = "true" if moment == 3 else "sleep 1000 & wait"
        order = Order((command,), ".", (), {}, None, "SECRET")
        with pytest.raises(KeyboardInterrupt):
            carry_out(order, (), lambda _: b"", lambda _: None)
        assert len(begun) == 2
        assert not any(is_running(one.pid) for one in begun)
        assert not made.exists()
    moment = 9
    made = tmp_path / "9"
    made.mkdir()
    assert (
        carry_out(Order(("true",), ".", (), {}, None, "SECRET"), (), lambda _: b"", lambda _: None).ending
        == "done"
    )
