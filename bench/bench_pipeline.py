"""Real `dvc` and `penstock` in turn on the same pipelines and experiments: seconds on the clock and of the processors.

    .venv/bin/python bench/bench_pipeline.py [--repeat 3] [--stages 200] [--experiments 1000] [--work DIR]

`ninja`, which only compares times of files and keeps nothing, is the floor. Stages copy a small file each, in chains of ten; experiments are commits with parameters, metrics and a lock of their own.
What takes DVC long is run by it once. Where the machine is shared, processor time says more than the clock; what the
load was is noted. Results go to `bench/results/pipeline.json`.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
PROGRAMS = {
    "dvc": os.environ.get("PENSTOCK_DVC") or str(ROOT / ".venv-peers" / "bin" / "dvc"),
    "penstock": str(Path(sys.executable).with_name("penstock")),
}
NINJA = Path(sys.executable).with_name("ninja")
CHAIN = 10
MANY = 10  # times as many stages for the case that shows how the time grows


@dataclass
class Bench:
    """Where it is done, and what was measured: by case and program, pairs of seconds and processor seconds."""

    work: Path
    results: list[dict[str, Any]] = field(default_factory=list)

    def __post_init__(self) -> None:
        """Give both programs the same surroundings."""
        self.environment = {
            **os.environ,
            "DVC_NO_ANALYTICS": "1",
            "DVC_SITE_CACHE_DIR": str(self.work / "site"),
            "HOME": str(self.work),
            **{
                f"GIT_{who}_{what}": "b@example.org"
                for who in ("AUTHOR", "COMMITTER")
                for what in ("NAME", "EMAIL")
            },
        }
        self.environment.pop("PYTHONDONTWRITEBYTECODE", None)

    def run(self, root: Path, *command: str) -> tuple[float, float]:
        """Run a program to its end and return seconds on the clock and of the processors."""
        began = time.perf_counter()
        process = subprocess.Popen(
            command, cwd=root, env=self.environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
        )
        assert process.stderr is not None
        told = process.stderr.read()
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode != 0:
            raise SystemExit(f"{' '.join(command)}: {told.decode()[-2000:]}")
        return time.perf_counter() - began, usage.ru_utime + usage.ru_stime

    def git(self, root: Path, *words: str, data: bytes | None = None) -> str:
        """Run git."""
        done = subprocess.run(
            ["git", *words], cwd=root, env=self.environment, input=data, capture_output=True, check=True
        )
        return done.stdout.decode().strip()

    def case(self, name: str, measured: dict[str, list[tuple[float, float]]], **facts: Any) -> None:
        """Note a case and tell it; the ratio is that of the medians."""
        seconds = {one: [round(clock, 3) for clock, _ in pairs] for one, pairs in measured.items()}
        cpu = {one: [round(used, 3) for _, used in pairs] for one, pairs in measured.items()}
        found: dict[str, Any] = {"case": name, **facts, "seconds": seconds, "cpu_seconds": cpu}
        if {"dvc", "penstock"} <= seconds.keys():
            found["ratio"] = _ratio(seconds)
            found["cpu_ratio"] = _ratio(cpu)
        self.results.append(found)
        print(json.dumps(found), flush=True)

    def make(self, name: str, stages: int) -> Path:
        """Make a repository with a pipeline of so many stages, committed."""
        root = self.work / name
        root.mkdir()
        self.git(root, "init", "-q", "-b", "main")
        self.run(root, PROGRAMS["penstock"], "init")
        (root / "raw").write_text("0\n")
        (root / "params.yaml").write_text("lr: 0.1\n")
        lines = ["stages:"]
        for number in range(stages):
            before = "raw" if number % CHAIN == 0 else f"o{number - 1}"
            lines += [
                f"  s{number}:",
                f"    cmd: cp {before} o{number}",
                f"    deps: [{before}]",
                f"    outs: [o{number}]",
            ]
        (root / "dvc.yaml").write_text("\n".join(lines) + "\n")
        rules = ["rule copy", "  command = cp $in $out"]
        for number in range(stages):
            before = "raw" if number % CHAIN == 0 else f"n{number - 1}"
            rules.append(f"build n{number}: copy {before}")
        (root / "build.ninja").write_text("\n".join(rules) + "\n")
        (root / ".gitignore").write_text("/n[0-9]*\n/.ninja*\n")
        self.git(root, "add", "-A")
        self.git(root, "commit", "-qm", "pipeline")
        return root


def _ratio(values: dict[str, list[float]]) -> float:
    return round(statistics.median(values["dvc"]) / statistics.median(values["penstock"]), 2)


def pipelines(bench: Bench, stages: int, repeat: int) -> None:
    """Measure pipelines from scratch and with nothing to do."""
    origin = bench.make("origin", stages)
    jobs = "--jobs" in subprocess.run(
        [PROGRAMS["penstock"], "repro", "--help"], capture_output=True, text=True, check=True
    ).stdout.replace("-j,", "--jobs")
    roots = {}
    measured: dict[str, list[tuple[float, float]]] = {}
    for program, words in (
        ("dvc", []),
        ("penstock", []),
        *((("penstock -j 2", ["-j", "2"]),) if jobs else ()),
    ):
        root = bench.work / program.replace(" ", "")
        shutil.copytree(origin, root, symlinks=True)
        measured[program] = [bench.run(root, PROGRAMS[program.split()[0]], "repro", *words)]
        roots[program] = root
    for jobs_of_ninja in ("1", "2") if NINJA.exists() else ():
        root = bench.work / f"ninja{jobs_of_ninja}"
        shutil.copytree(origin, root, symlinks=True)
        measured[f"ninja -j {jobs_of_ninja}"] = [bench.run(root, str(NINJA), "-j", jobs_of_ninja)]
        roots["ninja"] = root
    bench.case(f"{stages} stages from scratch", measured)
    for name, words in (("repro", ["repro"]), ("status", ["status"])):
        measured = {one: [] for one in PROGRAMS}
        for _ in range(repeat):
            for one, program in PROGRAMS.items():
                measured[one].append(bench.run(roots[one], program, *words))
        if "ninja" in roots:
            measured["ninja"] = [bench.run(roots["ninja"], str(NINJA)) for _ in range(repeat)]
        bench.case(f"{stages} stages, nothing to do: {name}", measured)
    large = bench.make("large", stages * MANY)
    bench.run(large, PROGRAMS["penstock"], "repro", "-q")
    pairs = [bench.run(large, PROGRAMS["penstock"], "repro") for _ in range(repeat)]
    bench.case(f"{stages * MANY} stages, nothing to do: repro", {"penstock": pairs})


def experiments(bench: Bench, count: int, repeat: int) -> None:
    """Measure what an experiment costs, and how long many take to be shown."""
    root = bench.make("experiments", 0)
    (root / "dvc.yaml").write_text(
        "stages:\n  s:\n    cmd: cp params.yaml m.yaml\n    params: [lr]\n    metrics: [m.yaml: {cache: false}]\n"
    )
    bench.run(root, PROGRAMS["penstock"], "repro")
    bench.git(root, "add", "-A")
    bench.git(root, "commit", "-qm", "experiments")
    command = bench.run(root, "/bin/sh", "-c", "cp params.yaml copy")
    measured: dict[str, list[tuple[float, float]]] = {one: [] for one in PROGRAMS}
    for number in range(repeat):
        for at, one in enumerate(PROGRAMS):
            bench.run(root, PROGRAMS[one], "--version")
            value = f"lr={2 + number * 2 + at}"
            measured[one].append(bench.run(root, PROGRAMS[one], "exp", "run", "-S", value))
            bench.git(root, "checkout", "-q", ".")
    bench.case("one experiment in the workspace", measured, command_seconds=round(command[0], 3))
    few = bench.run(root, PROGRAMS["penstock"], "exp", "run", "-S", "lr=range(100,102)")
    many = bench.run(root, PROGRAMS["penstock"], "exp", "run", "-S", "lr=range(200,222)")
    each = ((many[0] - few[0]) / 20, (many[1] - few[1]) / 20)
    bench.case("each further experiment of a sweep, -j 1", {"penstock": [each]})
    _fill(bench, root, count)
    shutil.rmtree(root / ".dvc" / "tmp" / "penstock-experiments", ignore_errors=True)
    for name, times in (("read for the first time", 1), ("known", repeat)):
        measured = {
            one: [bench.run(root, PROGRAMS[one], "exp", "show", "--csv") for _ in range(times)]
            for one in PROGRAMS
        }
        bench.case(f"{count} experiments: exp show, {name}", measured)


def _fill(bench: Bench, root: Path, count: int) -> None:
    head = bench.git(root, "rev-parse", "HEAD")
    lock = (root / "dvc.lock").read_text()
    lines = []
    for number in range(count):
        text = f"lr: {number + 1000}\n"
        files = {"params.yaml": text, "m.yaml": text, "dvc.lock": lock.replace("lr: 0.1", text.strip())}
        lines.append(
            f"commit refs/exps/{head[:2]}/{head[2:]}/e{number}\ncommitter b <b@example.org> {1_700_000_000 + number} +0000"
        )
        lines.append(f"data 1\nx\nfrom {head}")
        lines += [f"M 100644 inline {path}\ndata {len(data)}\n{data}" for path, data in files.items()]
    bench.git(root, "fast-import", "--quiet", data="\n".join([*lines, ""]).encode())


def main() -> None:
    """Measure everything and write the results."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--stages", type=int, default=200)
    parser.add_argument("--experiments", type=int, default=1000)
    parser.add_argument("--work", type=Path)
    chosen = parser.parse_args()
    work = Path(tempfile.mkdtemp(prefix="penstock-bench-", dir=chosen.work))
    bench = Bench(work)
    load = os.getloadavg()
    parts: list[Callable[[], None]] = [
        lambda: experiments(bench, chosen.experiments, chosen.repeat),
        lambda: pipelines(bench, chosen.stages, chosen.repeat),
    ]
    try:
        for part in parts:
            part()
            document = {
                "cpus": os.cpu_count(),
                "load_before": load,
                "load_after": os.getloadavg(),
                "results": bench.results,
            }
            (ROOT / "bench" / "results" / "pipeline.json").write_text(json.dumps(document, indent=1) + "\n")
    finally:
        shutil.rmtree(work, ignore_errors=True)


if __name__ == "__main__":
    main()
