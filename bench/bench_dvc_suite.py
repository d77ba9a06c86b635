"""DVC's own benchmark suite (`dvc.testing.benchmarks`) against the real `dvc` and against `penstock`.

    .venv/bin/python bench/bench_dvc_suite.py [--files 1000] [--size 2000] [--repeat 1]

The suite drives a program by `--dvc-bin` and sets everything else up with DVC's Python API. It brings its own
data set by pulling a repository; here that repository is made of random files, with a local remote. The cases
`exp_show` and `plots` need repositories from the network and are left out. Results go to
`bench/results/dvc-suite.json`; ends with 1 where a case fails.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from bench_data import PROGRAMS, ROOT

PEER_PYTHON = Path(PROGRAMS["dvc"]).with_name("python")


def run(command: list[str], cwd: Path, environment: dict[str, str]) -> str:
    """Run a program and return what it prints; a failure ends the benchmark with its last lines."""
    done = subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise SystemExit(f"{' '.join(command)} failed:\n{(done.stdout + done.stderr)[-4000:]}")
    return done.stdout


def make_repository(work: Path, count: int, size: int, environment: dict[str, str]) -> Path:
    """Make the repository that the suite pulls its data set from."""
    root = work / "source"
    folder = root / "data" / "generated" / "dataset"
    folder.mkdir(parents=True)
    chosen = random.Random(1)
    for number in range(count):
        (folder / f"f{number:06d}.bin").write_bytes(chosen.randbytes(size))
    dvc = PROGRAMS["dvc"]
    for command in (
        ["git", "init", "-q"],
        [dvc, "init", "-q"],
        [dvc, "remote", "add", "-q", "-d", "local", str(work / "remote")],
        [dvc, "add", "-q", "data/generated/dataset"],
        [dvc, "push", "-q"],
        ["git", "add", "-A"],
        ["git", "commit", "-qm", "Add data"],
    ):
        run(command, root, environment)
    return root


def run_suite(program: str, source: Path, work: Path, environment: dict[str, str]) -> dict[str, float]:
    """Return the suite's medians in seconds, by case."""
    report = work / f"{Path(program).name}.json"
    command = [
        *(str(PEER_PYTHON), "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "dvc.testing.plugin"),
        *("--pyargs", "dvc.testing.benchmarks", "--dvc-bin", program, "--dataset", "generated"),
        *(
            "--dvc-bench-repo",
            str(source),
            "-k",
            "not exp_show and not plots",
            "--benchmark-json",
            str(report),
        ),
    ]
    print(run(command, work, environment).splitlines()[-1], flush=True)
    cases = json.loads(report.read_text())["benchmarks"]
    return {str(case["name"]).removesuffix("[None]"): float(case["stats"]["median"]) for case in cases}


def main() -> int:
    """Run the suite on both programs, print the table, write the results."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--files", type=int, default=1000)
    parser.add_argument("--size", type=int, default=2000, help="bytes of each file")
    parser.add_argument("--repeat", type=int, default=1)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="bench-dvc-suite-") as folder:
        work = Path(folder)
        environment = {
            **os.environ,
            **{
                f"GIT_{who}_{what}": "b@example.org"
                for who in ("AUTHOR", "COMMITTER")
                for what in ("NAME", "EMAIL")
            },
            "DVC_TEST": "true",
            "DVC_NO_ANALYTICS": "1",
            "DVC_SITE_CACHE_DIR": str(work / "site"),
            "HOME": folder,
        }
        source = make_repository(work, options.files, options.size, environment)
        measured: dict[str, dict[str, list[float]]] = {}
        for _ in range(options.repeat):
            for name, program in PROGRAMS.items():
                for case, seconds in run_suite(program, source, work, environment).items():
                    measured.setdefault(case, {one: [] for one in PROGRAMS})[name].append(seconds)
    print(f"{'case':<46}{'dvc ms':>10}{'penstock ms':>13}{'ratio':>8}")
    rows = {}
    for case, values in sorted(measured.items()):
        dvc, ours = (statistics.median(values[name]) for name in PROGRAMS)
        rows[case] = {"dvc_s": values["dvc"], "penstock_s": values["penstock"], "ratio": dvc / ours}
        print(f"{case:<46}{1000 * dvc:>10.0f}{1000 * ours:>13.0f}{dvc / ours:>7.1f}x")
    target = ROOT / "bench" / "results" / "dvc-suite.json"
    target.write_text(
        json.dumps({"files": options.files, "size_bytes": options.size, "cases": rows}, indent=2) + "\n"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
