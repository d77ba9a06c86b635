"""A project rated by the ML Test Score, from what is recorded: settings, verdicts, CI reports, deployments, labels.

A rating reads; it asks nobody's word for anything. What no record tells is `not known`, which counts as nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from penstock.base.errors import NotFound
from penstock.base.numbers import counted
from penstock.ci.report import CiReport
from penstock.ci.rubric import Group, Rated, State
from penstock.monitoring.settings import EndpointSettings
from penstock.project.ci_reports import load_report
from penstock.project.places import SETTINGS_FILE
from penstock.project.project import Project
from penstock.project.settings import ModelSettings, require_model
from penstock.registry.aliases import find_alias
from penstock.registry.entities import CheckResult, ModelVersion
from penstock.registry.verdicts import glance_verdict
from penstock.registry.versions import find_newest, get_version
from penstock.serving.deployments import Revision, list_endpoints, list_revisions
from penstock.tracking.runs import list_runs

ENOUGH_RUNS = 3
NOT_KNOWN = "no record tells"


@dataclass(frozen=True)
class Facts:
    """What is recorded of one model: the version that is rated, its checks, its endpoints and their past."""

    model: ModelSettings
    version: ModelVersion | None
    checks: tuple[CheckResult, ...]
    gates: frozenset[str]
    report: CiReport | None
    has_tests: bool
    endpoints: tuple[EndpointSettings, ...]
    revisions: tuple[Revision, ...]
    tuned: int
    rolled_back: int


def rate(project: Project, name: str | None = None) -> list[Rated]:
    """Return the 28 tests of a model of penstock.yaml, the first unless named: its champion, else its newest version.

    Raises:
        NotFound: penstock.yaml names no model, or none of that name.
    """
    facts = _gather(project, name)
    return [*_data(facts), *_model(facts), *_infrastructure(facts), *_monitoring(facts)]


def _gather(project: Project, name: str | None) -> Facts:
    settings = project.settings
    model = _named(project, name)
    try:
        report = load_report(project)
    except NotFound:
        report = None
    with project.database.read() as connection:
        alias = find_alias(connection, model.name, "champion")
        version = (
            get_version(connection, model.name, alias.version)
            if alias
            else find_newest(connection, model.name)
        )
        verdict = glance_verdict(connection, model.name, version.digest) if version else None
        served = [one for one in list_endpoints(connection) if one.model == model.name]
        revisions = [past for one in served for past in list_revisions(connection, one.endpoint)]
        runs = list_runs(connection, experiment=settings.project, limit=1000)
        rolled_back = sum(one.kind == "rolled_back" for one in revisions)
    return Facts(
        model=model,
        version=version,
        checks=verdict.checks if verdict else (),
        gates=frozenset(gate.kind for gate in settings.gates_of(model.name)),
        report=report,
        has_tests=settings.ci.tests is not None,
        endpoints=tuple(
            one for one in settings.endpoints.values() if one.model_name == model.name
        ),
        revisions=tuple(revisions),
        tuned=len({tuple(sorted(run.params.items())) for run in runs if run.params}),
        rolled_back=rolled_back,
    )  # fmt: skip


def _named(project: Project, name: str | None) -> ModelSettings:
    first = require_model(project.settings, project.root)
    if name is None:
        return first
    for one in project.settings.all_models:
        if one.name == name:
            return one
    known = ", ".join(one.name for one in project.settings.all_models)
    raise NotFound(
        f"{SETTINGS_FILE} names no model {name!r}", code="settings.no_model", hint=f"it names {known}"
    )


def _rated(group: Group, number: int, asks: str, found: tuple[State, str]) -> Rated:
    return Rated(group, number, asks, *found)


def _gate(facts: Facts, *kinds: str) -> tuple[State, str]:
    """Return whether a gate of one of the kinds is set, and what it found on the version that is rated."""
    checks = [check for check in facts.checks if check.kind in kinds]
    for check in checks:
        if check.status == "pass":
            return "done", f"gate {check.kind}: {check.sentence}"
    if checks:
        return "partly", f"gate {checks[0].kind} is set and did not pass: {checks[0].sentence}"
    asked = [kind for kind in kinds if kind in facts.gates]
    if asked:
        return "partly", f"gate {asked[0]} is set, and has judged no version yet"
    return "no", f"no gate {' or '.join(kinds)} in {SETTINGS_FILE}"


def _watched(facts: Facts, limit: str) -> tuple[State, str]:
    """Return whether every endpoint of the model has a guardrail of a kind."""
    if not facts.endpoints:
        return "no", f"{SETTINGS_FILE} names no endpoint for {facts.model.name}"
    have = [one for one in facts.endpoints if any(getattr(entry, limit) for entry in one.guardrails)]
    if not have:
        return "no", f"no guardrail `{limit}` on an endpoint"
    state: State = "done" if len(have) == len(facts.endpoints) and facts.revisions else "partly"
    return state, f"guardrail `{limit}` on {len(have)} of {counted(len(facts.endpoints), 'endpoint')}" + (
        "" if facts.revisions else ", none of them deployed yet"
    )


def _both(first: tuple[State, str], second: tuple[State, str]) -> tuple[State, str]:
    """Return what two facts say together: done when both are, partly when one is."""
    states = {first[0], second[0]}
    state: State = "done" if states == {"done"} else "no" if states == {"no"} else "partly"
    return state, f"{first[1]}; {second[1]}"


def _step(facts: Facts, *names: str) -> tuple[State, str]:
    """Return whether the last CI run passed its steps of these names."""
    if facts.report is None:
        return "no", "no CI run is recorded here: penstock ci run"
    found = {step.name: step for step in facts.report.steps if step.name in names}
    commit = facts.report.commit[:10]
    for name in names:
        if name not in found or found[name].status != "passed":
            what = found[name].sentence if name in found else "it was not reached"
            return "partly" if name in found else "no", f"CI on {commit}: {name}: {what}"
    return "done", f"CI on {commit} passed {' and '.join(names)}"


def _unknown(why: str = "") -> tuple[State, str]:
    return "not known", f"{NOT_KNOWN}{f': {why}' if why else ''}"


def _data(facts: Facts) -> Sequence[Rated]:
    asked = (
        ("Feature expectations are captured in a schema", _gate(facts, "schema")),
        ("All features are beneficial", _unknown("no gate measures what each feature adds")),
        ("No feature's cost is too much", _unknown()),
        (
            "Features adhere to meta-level requirements",
            _unknown("a `python:` or `command:` gate may check them"),
        ),
        ("The data pipeline has appropriate privacy controls", _unknown()),
        ("New features can be added quickly", _unknown()),
        ("All input feature code is tested", _tested_features(facts)),
    )
    return [_rated("data", number, asks, found) for number, (asks, found) in enumerate(asked, 1)]


def _tested_features(facts: Facts) -> tuple[State, str]:
    state, fact = _step(facts, "tests")
    if state != "done":
        return state, fact
    return "partly", f"{fact}; which code they reach is not recorded"


def _model(facts: Facts) -> Sequence[Rated]:
    asked = (
        ("Model specs are reviewed and submitted", _submitted(facts)),
        ("Offline and online metrics correlate", _correlated(facts)),
        ("All hyperparameters have been tuned", _tuned(facts)),
        ("The impact of model staleness is known", _impact_of_age(facts)),
        ("A simpler model is not better", _gate(facts, "baseline")),
        ("Model quality is sufficient on important data slices", _gate(facts, "slices")),
        ("The model is tested for considerations of inclusion", _gate(facts, "fairness")),
    )
    return [_rated("model", number, asks, found) for number, (asks, found) in enumerate(asked, 1)]


def _impact_of_age(facts: Facts) -> tuple[State, str]:
    state, fact = _gate(facts, "staleness")
    return (
        ("partly", f"{fact}; what age does to the metric is not recorded")
        if state == "done"
        else (state, fact)
    )


def _submitted(facts: Facts) -> tuple[State, str]:
    if facts.version is None:
        return "no", f"no version of {facts.model.name} is registered"
    origin = facts.version.provenance
    if origin.commit is None:
        return "no", f"{facts.version.ref} comes from no commit"
    if origin.dirty_digest is not None:
        return (
            "partly",
            f"{facts.version.ref} comes from {origin.commit[:10]} with changes that were not committed",
        )
    return "done", f"{facts.version.ref} comes from commit {origin.commit[:10]}"


def _correlated(facts: Facts) -> tuple[State, str]:
    quality = [entry.quality for one in facts.endpoints for entry in one.guardrails if entry.quality]
    if not quality or facts.version is None or not facts.version.metrics:
        return "no", "no live metric is compared with an offline one"
    shared = [one.metric for one in quality if one.metric in facts.version.metrics]
    if not shared:
        return "no", "the live metric has no offline value"
    return (
        "partly",
        f"live {shared[0]} is compared with the offline {facts.version.metrics[shared[0]]:.4g} of one version",
    )


def _tuned(facts: Facts) -> tuple[State, str]:
    if facts.tuned >= ENOUGH_RUNS:
        return (
            "partly",
            f"{counted(facts.tuned, 'set')} of parameters recorded; whether that is enough is not",
        )
    return "no", f"{counted(facts.tuned, 'set')} of parameters recorded"


def _infrastructure(facts: Facts) -> Sequence[Rated]:
    asked = (
        ("Training is reproducible", _reproducible(facts)),
        ("Model specs are unit tested", _step(facts, "tests")),
        ("The ML pipeline is integration tested", _step(facts, "pipeline", "gate", "register")),
        ("Model quality is validated before serving", _gate(facts, "metric", "champion")),
        ("The model is debuggable", _debuggable(facts)),
        ("Models are canaried before serving", _canaried(facts)),
        ("Serving models can be rolled back", _rolled_back(facts)),
    )
    return [_rated("infrastructure", number, asks, found) for number, (asks, found) in enumerate(asked, 1)]


def _reproducible(facts: Facts) -> tuple[State, str]:
    report, version = facts.report, facts.version
    if report is not None and version is not None and report.version == version.ref:
        if not report.is_new_version:
            return "done", f"CI on {report.commit[:10]} made {version.ref} again, the same to the byte"
        return "partly", f"CI on {report.commit[:10]} made {version.ref}; it was not made a second time"
    if version is not None and version.provenance.lock_digest is not None:
        return "partly", f"{version.ref} has a lock of all its inputs; it was not made a second time"
    return "no", "nothing says from what the version was made"


def _debuggable(facts: Facts) -> tuple[State, str]:
    kept = [one.monitor.feature_ratio for one in facts.endpoints]
    if not kept or max(kept) == 0:
        return "no", "no endpoint keeps the features of a prediction"
    return "done", f"the features of {max(kept):.0%} of predictions are kept: penstock why PREDICTION"


def _canaried(facts: Facts) -> tuple[State, str]:
    canaries = sum(one.kind == "canary" for one in facts.revisions)
    if canaries:
        return "done", f"{canaries} canaries so far"
    if any(one.rollout.steps[0] < 100 for one in facts.endpoints):
        return "partly", "a rollout by steps is set, and none was made yet"
    return "no", "no rollout by steps"


def _rolled_back(facts: Facts) -> tuple[State, str]:
    if facts.rolled_back:
        return "done", f"{facts.rolled_back} rollbacks so far"
    if facts.revisions:
        return "partly", "it can be: penstock rollback; it never was"
    return "no", "nothing is deployed"


def _monitoring(facts: Facts) -> Sequence[Rated]:
    live: tuple[State, str] = (
        ("done", "every answer is looked at") if facts.revisions else ("no", "nothing is deployed")
    )
    asked = (
        (
            "Dependency changes result in notification",
            _unknown("versions keep their packages, nobody is told of changes"),
        ),
        (
            "Data invariants hold in training and serving inputs",
            _both(_gate(facts, "schema"), _watched(facts, "drift")),
        ),
        ("Training and serving features compute the same values", _gate(facts, "parity", "skew", "drift")),
        ("Models are not too stale", _stale(facts)),
        ("The model is numerically stable", live),
        (
            "Performance in training, latency and throughput has not regressed",
            _both(_gate(facts, "latency"), _watched(facts, "latency")),
        ),
        ("Prediction quality has not regressed on served data", _watched(facts, "quality")),
    )
    return [_rated("monitoring", number, asks, found) for number, (asks, found) in enumerate(asked, 1)]


def _stale(facts: Facts) -> tuple[State, str]:
    retrained = [one for one in facts.endpoints if one.retrain is not None]
    found = _gate(facts, "staleness")
    if retrained and found[0] == "no":
        return "partly", "a finding starts a retraining; the age of the data is not limited"
    return found
