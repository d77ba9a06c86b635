"""Prometheus rules of an endpoint that batch jobs alone answer for: nobody is paged since nothing serves it."""

from __future__ import annotations

from flows.production.scoring.bench import Bench, bench
from penstock.flows.observing.alerting import prove_rules, rules_of
from penstock.monitoring.prometheus.rules import Rule
from serving.fixtures import released_root

__all__ = ["bench", "released_root"]


def absent(bench: Bench) -> dict[str, Rule]:
    made = rules_of(bench.sample.project, ["late"])
    prove_rules(made)
    names = ("PenstockEndpointNotServed", "PenstockEndpointNotWatched")
    return {one.name: one for one in made.alerts if one.name in names}


def test_no_process_and_no_policy_is_missed_of_an_endpoint_of_batches(bench: Bench) -> None:
    found = absent(bench)
    assert len(found) == 2
    summary = found["PenstockEndpointNotWatched"].annotations["summary"]
    assert summary == "nothing watches late: it has no policy, or no controller runs"
    bench()
    assert absent(bench) == {}
