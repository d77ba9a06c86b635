"""Drift of two Parquet tables by Evidently or NannyML, each as its own documentation shows it; tells time and memory.

Runs in the peers' environment: `peers.py evidently|nannyml REFERENCE CURRENT`. Imports are not counted.
"""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path
from typing import Any

os.environ |= {"DO_NOT_TRACK": "1", "NML_DISABLE_USAGE_LOGGING": "1"}
import pandas as pd


def peak_mb() -> int:
    """Return the most memory this process had; the kernel's count of resources has that of its parent too."""
    (line,) = [one for one in Path("/proc/self/status").read_text().splitlines() if one.startswith("VmHWM")]
    return round(int(line.split()[1]) / 1024)


def evidently(reference: pd.DataFrame, current: pd.DataFrame) -> int:
    """Return how many columns drifted, by the preset's own measures and limits."""
    from evidently import Report
    from evidently.presets import DataDriftPreset

    found = Report([DataDriftPreset()]).run(current, reference).dict()
    return int(found["metrics"][0]["value"]["count"])


def nannyml(reference: pd.DataFrame, current: pd.DataFrame) -> int:
    """Return how many columns drifted, by the calculator's default measure, the whole table as one chunk."""
    import nannyml as nml

    calculator = nml.UnivariateDriftCalculator(column_names=list(reference.columns), chunk_number=1)
    calculator.fit(reference)
    table = calculator.calculate(current).filter(period="analysis").to_df()
    return sum(bool(table[(name, "jensen_shannon", "alert")].iloc[0]) for name in reference.columns)


PEERS: dict[str, Any] = {"evidently": evidently, "nannyml": nannyml}


def main(name: str, reference: str, current: str) -> None:
    """Measure, and print it as JSON."""
    __import__(name)
    wall, cpu = time.perf_counter(), time.process_time()
    drifted = PEERS[name](pd.read_parquet(reference), pd.read_parquet(current))
    done = {
        "wall_s": round(time.perf_counter() - wall, 2),
        "cpu_s": round(time.process_time() - cpu, 2),
        "peak_mb": peak_mb(),
        "drifted": drifted,
    }
    print(json.dumps(done), flush=True)
    os._exit(0)  # their telemetry threads would wait for the network


if __name__ == "__main__":
    main(*sys.argv[1:])
