"""Real `dvc` and `penstock` in turn on the same data: seconds, peak memory and their ratio, case by case.

    .venv/bin/python bench/bench_data.py [--repeat 3] [--scale 1.0] [--only NAME] [--work DIR]

Every case is run `repeat` times by both programs, alternating, each on its own copy; the ratio is that of
the medians. What a case removes is moved aside, not deleted: ext4 avoids the inodes of freshly deleted files
at a cost that grows with their square, which would be measured in place of either program. For the same reason
it waits, before it starts, until files deleted by others are forgotten (five minutes). An S3 server takes its share
of the processors, which is noted too. Results go to `bench/results/data.json`.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import random
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "tests"))
from penstock.storage.resolve import open_backend  # noqa: E402
from servers.s3 import S3Server, run_s3  # noqa: E402  the tests' server, not part of the package

PROGRAMS = {
    "dvc": os.environ.get("PENSTOCK_DVC") or str(ROOT / ".venv-peers" / "bin" / "dvc"),
    "penstock": str(Path(sys.executable).with_name("penstock")),
}
CALM_US = 40.0
FORGOTTEN_S = 330.0
S3_BYTES = 10 << 30  # both programs, three times, a gigabyte and a copy that waits for its removal


@dataclass
class Result:
    """Times and peak memory of one case, by program; `least` is the ratio asked for."""

    name: str
    least: float
    seconds: dict[str, list[float]] = field(default_factory=lambda: {name: [] for name in PROGRAMS})
    peak_mb: dict[str, float] = field(default_factory=lambda: dict.fromkeys(PROGRAMS, 0.0))

    @property
    def ratio(self) -> float:
        return statistics.median(self.seconds["dvc"]) / statistics.median(self.seconds["penstock"])


class Bench:
    """The working directory, the results, and how a command is timed."""

    def __init__(self, work: Path) -> None:
        self.work = work
        self.results: dict[str, Result] = {}
        self.environment = {
            **os.environ,
            "DVC_NO_ANALYTICS": "1",
            "DVC_SITE_CACHE_DIR": str(work / "site"),
            "HOME": str(work),
            "GIT_AUTHOR_NAME": "b",
            "GIT_AUTHOR_EMAIL": "b@example.org",
            "GIT_COMMITTER_NAME": "b",
            "GIT_COMMITTER_EMAIL": "b@example.org",
        }
        # Both start from compiled modules, as they do once installed.
        self.environment.pop("PYTHONDONTWRITEBYTECODE", None)
        self._aside = 0
        self.server_cpu_s: dict[str, dict[str, list[float]]] = {}
        self.s3: S3Server | None = None

    def run(self, cwd: Path, program: str, *arguments: str) -> tuple[float, float]:
        """Run a program and return its seconds and peak memory in MB."""
        started = time.perf_counter()
        process = subprocess.Popen(
            [PROGRAMS[program], *arguments],
            cwd=cwd,
            env=self.environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
        )
        assert process.stderr is not None
        words = process.stderr.read()
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - started
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode != 0:
            raise SystemExit(f"{program} {arguments} failed: {words.decode(errors='replace')}")
        return seconds, usage.ru_maxrss / 1024

    def time(self, name: str, least: float, program: str, cwd: Path, *arguments: str) -> None:
        """Run a command as part of a case."""
        seconds, peak = self.run(cwd, program, *arguments)
        result = self.results.setdefault(name, Result(name, least))
        result.seconds[program].append(seconds)
        result.peak_mb[program] = max(result.peak_mb[program], peak)

    @contextmanager
    def serving(self, name: str, program: str) -> Iterator[None]:
        """Note how many seconds of the processors the S3 server takes meanwhile."""
        assert self.s3 is not None
        before = sum(map(cpu_seconds, self.s3.pids))
        yield
        spent = sum(map(cpu_seconds, self.s3.pids)) - before
        self.server_cpu_s.setdefault(name, {}).setdefault(program, []).append(round(spent, 2))

    def repository(self, program: str, name: str) -> Path:
        root = self.work / f"{name}-{program}-{len(list(self.work.glob(f'{name}-*')))}"
        root.mkdir()
        subprocess.run(["git", "init", "-q", str(root)], check=True)
        self.run(root, program, "init")
        self.run(root, program, "remote", "add", "-d", "store", str(root.with_name(f"store-{root.name}")))
        return root

    def aside(self, path: Path) -> Path:
        """Move something out of the way and return where it is now."""
        self._aside += 1
        return path.rename(self.work / f"aside-{self._aside}")


def cpu_seconds(pid: int) -> float:
    """Return the seconds of a processor that a process has taken so far."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def make_files(folder: Path, count: int, size: int) -> None:
    chosen = random.Random(1)
    for number in range(count):
        path = folder / f"{number % 100:02d}" / f"f{number:06d}.bin"
        if number < 100:
            path.parent.mkdir(parents=True)
        path.write_bytes(chosen.randbytes(size))


def many_files(bench: Bench, program: str, source: Path) -> None:
    """The 20,000-file cases."""
    root = bench.repository(program, "many")
    shutil.copytree(source, root / "data")
    bench.time("20k x 4 KB: add", 3.5, program, root, "add", "data")
    bench.time("20k: add, nothing changed", 6, program, root, "add", "data")
    (root / "data" / "00" / "f000000.bin").write_bytes(b"changed")
    bench.time("20k: add, one file changed", 6, program, root, "add", "data")
    bench.time("20k: status", 6, program, root, "status")
    bench.time("20k: push to a local remote", 5, program, root, "push")
    bench.time("20k: push, nothing to do", 8, program, root, "push")
    bench.aside(root / "data")
    bench.time("20k: checkout after removal", 4, program, root, "checkout")
    bench.aside(root / ".dvc" / "cache")
    bench.time("20k: fetch", 5, program, root, "fetch")


def tiny_files(bench: Bench, program: str, source: Path) -> None:
    """The 70,000-file cases."""
    root = bench.repository(program, "tiny")
    shutil.copytree(source, root / "data")
    bench.time("70k x 300 B: add", 3, program, root, "add", "data")
    bench.time("70k: status", 8, program, root, "status")


def many_pointers(bench: Bench, program: str, _source: Path) -> None:
    """The 500-pointer cases."""
    root = bench.repository(program, "pointers")
    names = [f"p{number:03d}" for number in range(500)]
    for name in names:
        (root / name).write_text(name)
    bench.run(root, program, "add", *names)
    bench.time("500 .dvc files: status", 15, program, root, "status")
    (root / "extra").write_text("extra")
    bench.time("500 .dvc files: add of one", 15, program, root, "add", "extra")
    (root / "p250").unlink()
    bench.time("500 .dvc files: checkout of one", 12, program, root, "checkout", "p250")


def large_file(bench: Bench, program: str, source: Path) -> None:
    """The 2 GB case."""
    root = bench.repository(program, "large")
    shutil.copyfile(source / "large.bin", root / "large.bin")
    bench.time("one file of 2 GB: add", 1, program, root, "add", "large.bin")
    shutil.rmtree(root)  # few files, much space


def s3_files(bench: Bench, program: str, source: Path) -> None:
    """The S3 cases, against Ceph's gateway on loopback, which shares the processors with both programs."""
    assert bench.s3 is not None
    root = bench.repository(program, "s3")
    bucket = bench.s3.make_bucket()
    bench.run(root, program, "remote", "add", "-f", "-d", "store", f"s3://{bucket}/data")
    for key, value in bench.s3.options().items():
        bench.run(root, program, "remote", "modify", "--local", "store", key, value)
    shutil.copytree(source / "small", root / "data")
    shutil.copyfile(source / "large.bin", root / "large.bin")
    bench.run(root, program, "add", "data", "large.bin")
    for name, least, target in (("5k x 4 KB", 5, "data.dvc"), ("one file of 1 GB", 1.2, "large.bin.dvc")):
        with bench.serving(f"S3: push of {name}", program):
            bench.time(f"S3: push of {name}", least, program, root, "push", target)
    aside = bench.aside(root / ".dvc" / "cache")
    for name, least, target in (("5k x 4 KB", 5, "data.dvc"), ("one file of 1 GB", 1.2, "large.bin.dvc")):
        with bench.serving(f"S3: fetch of {name}", program):
            bench.time(f"S3: fetch of {name}", least, program, root, "fetch", target)
    for folder in (root, aside):
        drop_large(folder)


def drop_large(folder: Path) -> None:
    """Remove the few files that take most of the space."""
    for path in folder.rglob("*"):
        if path.is_file() and path.stat().st_size > 1 << 28:
            path.unlink()


def million(bench: Bench, count: int) -> dict[str, object]:
    """A million tiny files, by Penstock alone: seconds and peak memory of each command.

    DVC needs minutes and gigabytes for each of them; the 70,000-file cases compare the two.
    """
    root = bench.repository("penstock", "million")
    for number in range(count):
        folder = root / "data" / f"{number // 1000:04d}"
        if number % 1000 == 0:
            folder.mkdir(parents=True)
        (folder / f"{number % 1000:03d}").write_bytes(b"%d" % number)
    found: dict[str, object] = {"files": count}
    for name, arguments in (
        ("add", ["add", "data"]),
        ("add, nothing changed", ["add", "data"]),
        ("status", ["status"]),
        ("verify", ["verify"]),
        ("checkout", ["checkout"]),
    ):
        if name == "checkout":
            bench.aside(root / "data")
        seconds, peak_mb = bench.run(root, "penstock", *arguments)
        per_file = peak_mb * (1 << 20) / count
        print(
            f"{count:,} files: {name:22} {seconds:8.1f} s {peak_mb:7.0f} MB, {per_file:4.0f} bytes a file",
            flush=True,
        )
        found[name] = {"seconds": round(seconds, 2), "peak_mb": round(peak_mb, 1)}
    return found


def settle(work: Path) -> float:
    """Wait until new files cost what they usually do, ext4's five minutes at most; return microseconds a file."""
    until = time.monotonic() + FORGOTTEN_S
    for attempt in itertools.count():
        folder = work / f"probe-{attempt}"
        folder.mkdir()
        started = time.perf_counter()
        for number in range(1000):
            os.close(os.open(folder / str(number), os.O_WRONLY | os.O_CREAT))
        each_us = (time.perf_counter() - started) * 1000
        if each_us < CALM_US or time.monotonic() > until:
            return each_us
        if attempt == 0:
            print(
                f"a new file costs {each_us:.0f} us here: waiting for the file system to settle", flush=True
            )
        time.sleep(15)
    raise AssertionError


@contextmanager
def working_directory(where: Path | None) -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="bench-data-", dir=where) as name:
        yield Path(name)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--scale", type=float, default=1.0, help="share of the full file counts and sizes")
    parser.add_argument(
        "--only", choices=["many", "tiny", "pointers", "large", "s3", "million"], action="append"
    )
    parser.add_argument("--work", type=Path, help="directory on the file system to measure")
    options = parser.parse_args()
    groups: dict[str, Callable[[Bench, str, Path], None]] = {
        "many": many_files,
        "tiny": tiny_files,
        "pointers": many_pointers,
        "large": large_file,
        "s3": s3_files,
    }
    wanted = options.only or [*groups, "million"]
    with working_directory(options.work) as work, ExitStack() as stack:
        bench = Bench(work)
        notes: dict[str, Any] = {"new_file_us": round(settle(work), 1)}
        for group in [group for group in wanted if group != "million"]:
            source = work / f"source-{group}"
            source.mkdir()
            if group in {"many", "tiny"}:
                count, size = (20_000, 4096) if group == "many" else (70_000, 300)
                make_files(source, max(100, int(count * options.scale)), size)
            if group == "large":
                with (source / "large.bin").open("wb") as file:
                    for _ in range(int(2048 * options.scale) or 1):
                        file.write(os.urandom(1 << 20))
            if group == "s3":
                make_files(source / "small", int(5000 * options.scale), 4096)
                with (source / "large.bin").open("wb") as file:
                    for _ in range(int(1024 * options.scale) or 1):
                        file.write(os.urandom(1 << 20))
                bench.s3 = stack.enter_context(run_s3(work / "ceph", memory_bytes=S3_BYTES))
                warm = open_backend(f"s3://{bench.s3.make_bucket()}", bench.s3.options())
                warm.put("first", b"the store makes its pools now")
                notes["s3_server_cpu_s"] = bench.server_cpu_s
            for number in range(options.repeat):
                for program in PROGRAMS if number % 2 == 0 else reversed(PROGRAMS):
                    groups[group](bench, program, source)
            report(bench, options.scale, notes)
            bench.results.clear()
        if "million" in wanted:
            notes["million"] = million(bench, int(1_000_000 * options.scale))
            report(bench, options.scale, notes)


def report(bench: Bench, scale: float, notes: dict[str, Any]) -> None:
    rows = []
    print(f"{'case':34} {'dvc s':>8} {'ours s':>8} {'ratio':>7} {'least':>6}  {'dvc MB':>7} {'ours MB':>7}")
    for result in bench.results.values():
        dvc, ours = (statistics.median(result.seconds[name]) for name in ("dvc", "penstock"))
        met = "" if result.ratio >= result.least else "  BELOW"
        print(
            f"{result.name:34} {dvc:8.2f} {ours:8.2f} {result.ratio:6.1f}x {result.least:5.1f}x"
            f"  {result.peak_mb['dvc']:7.0f} {result.peak_mb['penstock']:7.0f}{met}"
        )
        rows.append(
            {
                "case": result.name,
                "scale": scale,
                "least": result.least,
                "ratio": round(result.ratio, 2),
                "seconds": result.seconds,
                "peak_mb": {name: round(value, 1) for name, value in result.peak_mb.items()},
            }
        )
    for name, spent in notes.get("s3_server_cpu_s", {}).items():
        if name in bench.results:
            least = statistics.median(spent["penstock"]) / (os.cpu_count() or 1)
            print(
                f"{name}: the server alone keeps {os.cpu_count()} processors busy for {least:.2f} s of ours"
            )
    out = ROOT / "bench" / "results"
    out.mkdir(parents=True, exist_ok=True)
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    document = {"cpus": os.cpu_count(), "open_files": limit, "results": rows, "notes": notes}
    path = out / "data.json"
    if path.exists():
        earlier = json.loads(path.read_text())  # cases that were not run this time stay
        names = {row["case"] for row in rows}
        document["results"] = [row for row in earlier["results"] if row["case"] not in names] + rows
        document["notes"] = {**earlier.get("notes", {}), **notes}
    path.write_text(json.dumps(document, indent=1) + "\n")


if __name__ == "__main__":
    main()
