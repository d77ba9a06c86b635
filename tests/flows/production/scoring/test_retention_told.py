"""What the store deletes of its own accord is told, and nothing is kept for less than an hour."""

from __future__ import annotations

from datetime import timedelta

import pytest

from flows.production.scoring.bench import Bench, bench
from penstock.base.clock import now_ms
from penstock.base.errors import Invalid
from penstock.base.store.events import list_events
from penstock.flows.production.live import housekeeping
from penstock.project.settings import load_project_settings
from servers.forking import run_penstock
from serving.fixtures import released_root

__all__ = ["bench", "released_root"]
LATER_MS = timedelta(days=100) // timedelta(milliseconds=1)


def test_a_deletion_writes_one_event_with_what_went(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    bench()
    project = bench.sample.project
    monkeypatch.setattr(housekeeping, "now_ms", lambda: now_ms() + LATER_MS)
    keeping = housekeeping.Housekeeping(project)
    keeping.clean()
    keeping.clean()
    with project.database.read() as connection:
        told = [one for one in list_events(connection) if one.kind == "store.retention"]
    (event,) = told
    assert event.cause["deleted"]["predictions"] == 1000
    assert event.cause["retention"]["predictions_days"] == 90.0
    assert event.summary.startswith("1,000 predictions were deleted, past their retention")
    assert "predictions and labels 90 days" in event.summary


def test_a_retention_of_minutes_is_refused_and_apply_tells_the_one_that_holds(bench: Bench) -> None:
    root = bench.sample.project.root
    file = root / "penstock.yaml"
    text = file.read_text()
    file.write_text(f"{text}retention: {{predictions_days: 0.0001}}\n")
    with pytest.raises(Invalid, match=r"at least 0\.042 \(an hour\)"):
        load_project_settings(root)
    file.write_text(f"{text}retention: {{predictions_days: 0.5, features_days: null}}\n")
    said = run_penstock(root, "endpoint", "apply").stderr
    assert "predictions and labels 0.5 days, features for ever" in said
