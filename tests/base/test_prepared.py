"""Threads may read values of a type at once whose first use this is, when it was made ready."""

from __future__ import annotations

import subprocess
import sys

PROGRAM = """
import sys, threading, types
import msgspec
from penstock.base.prepared import prepare_types

sys.setswitchinterval(1e-6)
FIELDS = "".join(f"    f{number}: tuple[int, ...] | dict[str, list[float]] | None = None\\n" for number in range(12))
HEAD = "from __future__ import annotations\\nimport msgspec\\n"
for number in range(20):
    module = sys.modules[f"made{number}"] = types.ModuleType(f"made{number}")
    exec(HEAD + "class Inner(msgspec.Struct):\\n" + FIELDS, module.__dict__)
    exec(HEAD + "class Outer(msgspec.Struct):\\n    inner: Inner | None = None\\n" + FIELDS, module.__dict__)
    prepare_types()
    barrier = threading.Barrier(8)

    def read(kind=module.Outer, barrier=barrier):
        barrier.wait()
        assert msgspec.convert({"inner": {"f1": [1]}, "f3": {"a": [1.0]}}, kind).inner.f1 == (1,)

    threads = [threading.Thread(target=read) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
print("whole")
"""


def test_types_that_were_made_ready_are_read_by_many_threads_at_once() -> None:
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "whole\n", "")
