"""Rules that policies make: which there are, what their numbers are, that they are the same for the same policies.

What they do on series is promtool's business: here for several endpoints, else tests/compat/prometheus.
"""

from __future__ import annotations

import re
import shutil

import msgspec
import yaml

from penstock.base.settings import parse_settings
from penstock.flows.observing.alerting import prove_rules
from penstock.http.prometheus.traffic import DURATION_BUCKETS_S
from penstock.monitoring.prometheus.recording import LONGEST_S
from penstock.monitoring.prometheus.rules import quoted
from penstock.monitoring.prometheus.writing import RuleFile, make_rules
from penstock.monitoring.settings import EndpointSettings
from servers.programs import missing


def rules(guardrails: str, name: str = "delay", url: str = "", window_s: int = 60) -> RuleFile:
    text = f"model: m\nmonitor: {{window_s: {window_s}}}\nguardrails: [{guardrails}]\n"
    return make_rules({name: parse_settings(text, EndpointSettings, "policy")}, url)


def expressions(made: RuleFile, alert: str) -> list[str]:
    return [one.expr for one in made.alerts if one.name == alert]


def test_an_objective_burns_fast_and_slowly_with_a_minimum_of_traffic() -> None:
    made = rules("{errors: {max_ratio: 0.01}}")
    (fast,) = expressions(made, "PenstockErrorsBurnFast")
    assert 'ratio1h{endpoint="delay"} > 0.144 and' in fast
    assert 'ratio5m{endpoint="delay"} > 0.144' in fast
    assert 'increase1h{endpoint="delay"} >= 20' in fast
    assert "> 0.06 and" in expressions(made, "PenstockErrorsBurn")[0]


def test_an_alert_can_fire_whatever_the_objective_is() -> None:
    for ratio in (0.0, 0.0001, 0.05, 0.2, 0.95):
        for name in ("PenstockErrorsBurnFast", "PenstockErrorsBurn", "PenstockErrorsBurnSlow"):
            (expr,) = expressions(rules(f"{{errors: {{max_ratio: {ratio}}}}}"), name)
            assert ratio <= float(re.findall(r"> ([\d.e-]+) and", expr)[0]) < 1


def test_a_policy_without_a_guardrail_makes_no_rule_of_it() -> None:
    names = {one.name for one in rules("").alerts}
    assert not {"PenstockErrorsBurn", "PenstockSlow"} & names
    assert {"PenstockEndpointNotServed", "PenstockWindowsStale", "PenstockRolledBack"} <= names


def test_latency_goes_by_the_rank_of_the_policy_and_what_no_bucket_tells_is_said() -> None:
    (expr,) = expressions(rules("{latency: {p95_ms: 50}}"), "PenstockSlow")
    assert ':p95_5m{endpoint="delay"} > 0.05 and' in expr
    made = rules("{latency: {p99_ms: 20000}}")
    assert expressions(made, "PenstockSlow") == []
    assert "20 s on latency is beyond" in made.notes[0]
    assert DURATION_BUCKETS_S[-1] == LONGEST_S


def test_several_limits_on_latency_are_one_alert_and_of_one_rank_the_least_counts() -> None:
    three = "{latency: {p99_ms: 500}}, {latency: {p95_ms: 100}}, {latency: {p99_ms: 900, action: rollback}}"
    made = rules(three)
    (expr,) = expressions(made, "PenstockSlow")
    assert ':p95_5m{endpoint="delay"} > 0.1 or ' in expr
    assert ':p99_5m{endpoint="delay"} > 0.5) and' in expr
    (slow,) = (one for one in made.alerts if one.name == "PenstockSlow")
    assert slow.annotations["summary"].endswith("is over 500 ms")
    assert " is over 100 ms, or p99 of " in slow.annotations["summary"]
    if shutil.which("promtool") is None:
        missing("promtool", "prometheus")
    own = tuple(one for one in made.groups if one.name not in {"penstock.judgement", "penstock.processes"})
    made = msgspec.structs.replace(made, groups=own)
    assert prove_rules(made) == sum(len(one.cases) for one in made.alerts)


def test_windows_are_stale_after_three_of_their_own_lengths() -> None:
    assert "> 960 and" in expressions(rules("", window_s=300), "PenstockWindowsStale")[0]


def test_the_same_policies_give_the_same_bytes_in_any_order() -> None:
    settings = parse_settings("model: m\n", EndpointSettings, "policy")
    one, other = (make_rules(dict.fromkeys(order, settings)) for order in ("abc", "cba"))
    assert (one.text, one.render_tests("x")) == (other.text, other.render_tests("x"))
    assert one.text.startswith("# Written by `penstock monitor rules` from the policies of a, b, c;")


def test_every_alert_says_how_bad_it_is_and_has_cases_that_fire_and_that_do_not() -> None:
    made = rules("{errors: {max_ratio: 0.01}}, {latency: {p99_ms: 50}}", url="http://penstock:5000/")
    for one in made.alerts:
        assert one.labels["severity"] in {"page", "warning", "info"}, one.name
        assert {"summary", "description", "page"} <= set(one.annotations), one.name
        assert {case.fires is None for case in one.cases} == {True, False}, one.name
    assert len({one.name for one in made.alerts}) == len(made.alerts)
    document = yaml.safe_load(made.text)
    told = [rule for group in document["groups"] for rule in group["rules"] if "alert" in rule]
    pages = {rule["annotations"]["page"] for rule in told}
    assert pages == {"http://penstock:5000/", "http://penstock:5000/endpoints/{{ $labels.endpoint }}"}


def test_a_name_cannot_leave_its_quotes() -> None:
    assert quoted('a"} or vector(1) # \n') == '"a\\"} or vector(1) # \\n"'


def test_every_case_holds_for_promtool_where_several_endpoints_are_watched() -> None:
    if shutil.which("promtool") is None:
        missing("promtool", "prometheus")
    settings = parse_settings("model: m\n", EndpointSettings, "policy")
    made = make_rules(dict.fromkeys(("delay", "mins"), settings))
    same = (
        "penstock.judgement",
        "penstock.processes",
    )  # for all endpoints; a test of them takes promtool long
    made = msgspec.structs.replace(made, groups=tuple(one for one in made.groups if one.name not in same))
    assert prove_rules(made) == sum(len(one.cases) for one in made.alerts)
