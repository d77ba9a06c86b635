"""The small form of bench/bench_soak.py: changes and kills under load."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from serving.clients import Clients
from serving.soaking import Story
from stories.live import wait_until

pytestmark = pytest.mark.slow
CLIENTS = 4


def wait_for_answers(clients: Clients, seen: int, version: str) -> None:
    """Wait for twenty answers after those that were seen, and for one of a version among them."""

    def are_there() -> bool:
        new = clients.answers[seen:]
        return len(new) >= 20 and any(one.version == version for one in new)

    wait_until(are_there)


def test_only_requests_of_a_killed_worker_fail_while_versions_change(
    two_versions_root: Path, tmp_path: Path
) -> None:
    root = tmp_path / "project"
    shutil.copytree(two_versions_root, root, symlinks=True)
    story = Story(root, 2)
    try:
        with Clients(story.url, CLIENTS) as clients:
            for number in range(4):
                seen = len(clients.answers)
                story.deploy(number)
                if number == 1:
                    story.kill_worker()
                if number == 2:
                    story.kill_controller()
                wait_for_answers(clients, seen, "2" if number == 2 else "1")
            wait_until(lambda: len(story.alive()) == 2)
    finally:
        story.stop()
    assert {one.status for one in clients.answers} == {200}
    # a client may lose the request at work and, coming back at once, the connection that waited at the dead worker
    assert len(clients.broken) <= 2 * CLIENTS * story.killed
