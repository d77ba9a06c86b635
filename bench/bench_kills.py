"""Kill the controller and serve a hundred times at random moments of rollouts and rollbacks, and audit the store.

On SQLite and on PostgreSQL. `make bench-kills` writes bench/results/kills.json; the suite has a smaller form
(tests/stories/test_production_kills.py).
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "tests"))

import sharing  # noqa: E402
from servers.postgres import PostgresServer  # noqa: E402
from servers.receiver import run_receiver  # noqa: E402
from stories.production_kills import Production  # noqa: E402

RESULTS = Path(__file__).parent / "results" / "kills.json"


def measure(kind: str, kills: int, seed: int, folder: Path) -> dict[str, Any]:
    """Kill on one kind of store and return what came of it."""
    store = None
    if kind == "postgresql":
        server: PostgresServer = sharing.shared_server("postgres")
        store = server.new_schema()
    begun = time.monotonic()
    with run_receiver() as receiver:
        outcome = Production(folder / kind, receiver, store, seed).run(kills)
    for fault in outcome.faults:
        print(f"{kind}: {fault}", file=sys.stderr)
    return {
        "kills": outcome.kills.total(),
        "killed": dict(outcome.kills),
        "moments": dict(outcome.moments),
        "versions": dict(outcome.stories),
        "faults": outcome.faults,
        "counts": outcome.counts,
        "start_median_s": {
            name: round(statistics.median(all_s), 2) for name, all_s in outcome.starts_s.items()
        },
        "seconds": round(time.monotonic() - begun),
    }


def main() -> None:
    """Measure and write the result; exit 1 where anything was not whole."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--seed", type=int, default=11)
    parser.add_argument("--stores", nargs="+", default=["sqlite", "postgresql"])
    parser.add_argument("--results", type=Path, default=RESULTS)
    options = parser.parse_args()
    sharing.begin()
    try:
        with tempfile.TemporaryDirectory(prefix="penstock-kills-") as folder:
            found = {
                kind: measure(kind, options.kills, options.seed, Path(folder)) for kind in options.stores
            }
    finally:
        sharing.end()
    options.results.write_text(json.dumps({"seed": options.seed, **found}, indent=2) + "\n")
    print(json.dumps(found, indent=2))
    sys.exit(any(one["faults"] for one in found.values()))


if __name__ == "__main__":
    main()
