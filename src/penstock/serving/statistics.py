"""Counts of what each version answered since the processes began, as the protocol's statistics extension tells them.

Processes on one port keep their counts in files of a folder they share, so that each can tell the sum; what a
process counted stays when it has ended. Prometheus metrics are in `http/prometheus`; windows for monitoring are
the recorder's.

Format of a file: 256 entries of `version int64, endpoint 136 bytes UTF-8 padded with zeros, counts 6 × int64`, in the
order in which versions were first asked; an entry whose version is 0, and those after it, are free.
"""

from __future__ import annotations

import mmap
import struct
from pathlib import Path
from typing import Any

from penstock.serving.recorder import Exchange, Recorder, RecorderState

SUCCESS, SUCCESS_NS, FAIL, FAIL_NS, ROWS, LAST_MS = range(6)
"""Where each count stands."""
ENTRIES, NAME_BYTES, SUFFIX = 256, 136, ".counts"
_ENTRY = struct.Struct(f"<q{NAME_BYTES}s6q")
_COUNTS_AT = 8 + NAME_BYTES
Key = tuple[str, int]


class Statistics:
    """See the module. A recorder that counts what it passes on; told by one thread.

    Args:
        folder: where the processes on one port keep their counts; None for a process alone.
        worker: this process's number.
    """

    def __init__(self, recorder: Recorder, folder: str | None = None, worker: int = 0) -> None:
        self._recorder = recorder
        self._folder = None if folder is None else Path(folder)
        self._own = None if self._folder is None else self._folder / f"{worker}{SUFFIX}"
        self._memory = _memory(self._own)
        self._counted: dict[Key, memoryview[int]] = {}
        self._taken_bytes = 0

    @property
    def state(self) -> RecorderState:
        """How full the recorder is."""
        return self._recorder.state

    def record(self, exchange: Exchange) -> None:
        """Pass an exchange on, and count it when a client asked for it."""
        self._recorder.record(exchange)
        if exchange.route == "shadow":
            return
        key = (exchange.endpoint, exchange.version)
        counts = self._counted.get(key) or self._begin(key)
        spent_ns = int(exchange.latency_s * 1e9)
        if exchange.error is None:
            counts[SUCCESS] += 1
            counts[SUCCESS_NS] += spent_ns
            counts[ROWS] += exchange.row_count
            counts[LAST_MS] = exchange.time_ms
        else:
            counts[FAIL] += 1
            counts[FAIL_NS] += spent_ns

    def _begin(self, key: Key) -> memoryview[int]:
        """Return the counts of a version that was not asked before: shared, while there is room for its name."""
        endpoint, version = key
        name, at = endpoint.encode(), self._taken_bytes
        if len(name) > NAME_BYTES or at + _ENTRY.size > len(self._memory):
            found = memoryview(bytearray(_ENTRY.size - _COUNTS_AT)).cast("q")
        else:
            self._taken_bytes += _ENTRY.size
            _ENTRY.pack_into(self._memory, at, 0, name, *[0] * 6)
            found = self._memory[at + _COUNTS_AT : at + _ENTRY.size].cast("q")
            struct.pack_into("<q", self._memory, at, version)  # last: from now on others read it
        self._counted[key] = found
        return found

    def describe(self, endpoint: str, version: int) -> dict[str, Any]:
        """Return one version's counts, those of all processes on the port, in the protocol's words.

        Source:
            Triton, protocol/extension_statistics.md.
        """
        key = (endpoint, version)
        every = [list(self._counted.get(key, [0] * 6)), *(told.get(key, [0] * 6) for told in self._others())]
        found = [sum(counts) for counts in zip(*every, strict=True)]
        return {
            "name": endpoint,
            "version": str(version),
            "last_inference": max(counts[LAST_MS] for counts in every),
            "inference_count": found[ROWS],
            "execution_count": found[SUCCESS],
            "inference_stats": {
                "success": {"count": found[SUCCESS], "ns": found[SUCCESS_NS]},
                "fail": {"count": found[FAIL], "ns": found[FAIL_NS]},
            },
        }

    def _others(self) -> list[dict[Key, list[int]]]:
        if self._folder is None:
            return []
        return [_read(path) for path in self._folder.glob(f"*{SUFFIX}") if path != self._own]


def _memory(path: Path | None) -> memoryview[int]:
    """Return the memory of a new file that others can read; of a process alone, memory of its own."""
    size = ENTRIES * _ENTRY.size
    if path is None:
        return memoryview(bytearray(size))
    with path.open("w+b") as file:
        file.truncate(size)
        return memoryview(mmap.mmap(file.fileno(), size))


def _read(path: Path) -> dict[Key, list[int]]:
    """Return the counts that another process keeps."""
    found = {}
    for version, name, *counts in _ENTRY.iter_unpack(path.read_bytes()[: ENTRIES * _ENTRY.size]):
        if not version:
            break
        found[name.rstrip(b"\0").decode(), version] = counts
    return found
