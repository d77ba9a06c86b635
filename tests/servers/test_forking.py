"""The server of forks outlives callers that are killed in the middle of a call."""

from __future__ import annotations

import os
import socket
from pathlib import Path

from servers.forking import penstock_server


def test_callers_that_go_away_take_nothing_along(tmp_path: Path) -> None:
    server, nothing = penstock_server(), os.open(os.devnull, os.O_RDWR)
    for sent in (b"", (1 << 20).to_bytes(8, "big"), (100).to_bytes(8, "big") + b"{"):
        for _ in range(3):
            with socket.socket(socket.AF_UNIX) as caller:
                caller.connect(server.address())
                if sent:
                    socket.send_fds(caller, [sent[:8]], [nothing] * 3)
                    caller.sendall(sent[8:])
    os.close(nothing)
    assert server.run(["--version"], cwd=tmp_path, env=os.environ).returncode == 0
