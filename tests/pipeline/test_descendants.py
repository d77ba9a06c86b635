"""Only a process that can be told from a later one of its number is signalled."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator

import pytest

from penstock.base.running import look_at, name_process
from penstock.pipeline.running import descendants
from penstock.pipeline.running.descendants import end_all, writers

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="asks /proc")


@pytest.fixture
def sleeping() -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen(["sleep", "300"], stdout=subprocess.PIPE)
    yield process
    process.kill()
    process.communicate()


def test_what_ends_while_it_is_looked_at_has_no_name(
    sleeping: subprocess.Popen[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert sleeping.stdout is not None
    pipe = os.fstat(sleeping.stdout.fileno()).st_ino
    name = name_process(sleeping.pid)
    assert writers({pipe}) == {name}
    assert descendants.descendants({name_process()}) >= {name}
    can_write = descendants._can_write

    def ends(pid: int, links: set[str]) -> bool:
        if not (found := can_write(pid, links)):
            return False
        sleeping.kill()
        sleeping.wait()
        return found

    monkeypatch.setattr(descendants, "_can_write", ends)
    assert writers({pipe}) == set()
    assert look_at(sleeping.pid) is None
    assert name not in descendants.descendants({name_process()})


def test_a_name_that_does_not_tell_when_its_process_began_is_sent_nothing(
    sleeping: subprocess.Popen[bytes],
) -> None:
    pid, began, place = name_process(sleeping.pid).split(".")
    end_all({f"{pid}..{place}", f"{pid}.{int(began) - 1}.{place}", f"{pid}.{began}.elsewhere"}, 0.0)
    assert sleeping.poll() is None
    end_all({f"{pid}.{began}.{place}"}, 0.0)
    assert sleeping.poll() is not None


def test_what_a_session_s_leader_that_has_ended_left_in_it_descends_from_it() -> None:
    with subprocess.Popen(
        ["sh", "-c", "sleep 300 >/dev/null & echo $!"], stdout=subprocess.PIPE, start_new_session=True
    ) as leader:
        name = name_process(leader.pid)
        assert leader.stdout is not None
        left = int(leader.stdout.readline())
        for _ in range(2):
            assert descendants.descendants({name}) == {name_process(left)}
            leader.wait()
        assert descendants.descendants({f"{os.getpid()}.1.elsewhere"}) == set()
        end_all({name_process(left)}, 0.0)
        assert look_at(left) is None
