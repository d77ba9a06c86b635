"""What penstock.yaml says of an endpoint, and whether it can be judged on the version that is served."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from penstock.base.errors import Invalid, NotFound, PenstockError
from penstock.base.settings import line_of
from penstock.flows.models.folders import find_signature
from penstock.monitoring.guardrails.judgeable import obstacles, unknown_features, unknown_slices
from penstock.monitoring.guardrails.measured import Reference
from penstock.monitoring.policies import PolicyBody
from penstock.monitoring.profile import Profile
from penstock.monitoring.rowwise.learned import rows_of
from penstock.monitoring.rowwise.redaction import is_redacted
from penstock.monitoring.settings import EndpointSettings, RuleSettings
from penstock.project.places import SETTINGS_FILE
from penstock.project.project import Project
from penstock.records.classes import PREDICTION, PROBABILITY, is_probability
from penstock.records.signature import Column, Signature
from penstock.registry.entities import ModelVersion
from penstock.serving.matching import check_inputs
from penstock.stats.metric_names import OF_ANSWERS, OF_NUMBERS


def policy_in_file(project: Project, endpoint: str) -> PolicyBody | None:
    """Return what the project's settings say of an endpoint, or None when they do not name it."""
    settings = project.settings.endpoints.get(endpoint)
    return None if settings is None else PolicyBody(endpoint=settings, alerts=project.settings.alerts)


def tell_other_model(
    endpoint: str, settings: EndpointSettings, version: ModelVersion, where: str = SETTINGS_FILE
) -> tuple[str, ...]:
    """Say that a version is of another model than the one that an endpoint is declared with, where it is so.

    Args:
        where: what declares it.
    """
    if settings.model_name == version.model:
        return ()
    follows = f": {settings.model} stays, whatever becomes of it here" if settings.alias else ""
    return (
        f"{where} declares {endpoint} with {settings.model}, and {version.ref} is of another model{follows}",
    )


def check_rules(project: Project, rules: Iterable[RuleSettings], model: str, stable: int) -> tuple[str, ...]:
    """Say in words which versions that rules name cannot answer beside the stable one; what cannot be told now is not.

    No model is fetched or loaded.
    """
    found: list[str] = []
    live = _signature(project, model, stable)
    for number in dict.fromkeys(rule.version for rule in rules):
        ref = f"{model}/{number}"
        try:
            inputs = find_signature(project, model, number)
            if live is not None and inputs is not None:
                check_inputs(ref, inputs, live)
        except (Invalid, NotFound) as error:
            found.append(
                f"traffic.rules name {ref}, and its requests go by shares without it: {error.message}"
            )
    return tuple(found)


def check_guardrails(
    project: Project,
    endpoint: str,
    settings: EndpointSettings | None,
    version: ModelVersion,
    outputs: frozenset[str] | None = None,
    *,
    is_canary: bool = False,
) -> tuple[str, ...]:
    """Return in words what the guardrails will not be able to judge of a version.

    Args:
        settings: what will watch the endpoint; None: nothing does.
        outputs: the names of what the model answers, where they are known.

    Raises:
        Invalid: a guardrail names a feature that the version does not have, or a metric that it can never have; the error
            says where.
    """
    if settings is None or not settings.guardrails:
        return (
            f"nothing guards {endpoint}: write `guardrails:` under endpoints.{endpoint} in penstock.yaml",
        )
    reference = _reference(project, version, outputs)
    answers_classes = _answers_classes(project, version)
    found: list[str] = []
    ratio = settings.monitor.feature_ratio
    for index, entry in enumerate(settings.guardrails):
        wrong = unknown_features(entry, reference)
        if wrong:
            raise _unknown(project, endpoint, settings, index, wrong, reference)
        judged = entry.quality or entry.slices
        if answers_classes and judged is not None and judged.metric in OF_NUMBERS:
            raise _unfit(project, endpoint, settings, index, judged.metric, version)
        against = obstacles(entry, reference, is_canary=is_canary, feature_ratio=ratio)
        found += [words for _, _, words in against]
    sliced = [one.feature for one in settings.monitor.slices]
    found += [f"monitor.slices: {words}" for _, _, words in unknown_slices(sliced, reference)]
    redacted = settings.monitor.redacted
    known = {*reference.profile.column_names, *(outputs or ())} if reference.profile else set(redacted)
    misspelled: list[str] = []
    for name in redacted:
        if name not in known and not any(is_redacted(one, (name,)) for one in known):
            misspelled.append(
                f"payloads redact {name!r}, which is none of the inputs and outputs of {version.ref}: where one of them is "
                "meant, look how it is spelled"
            )
    held = found and is_canary and settings.rollout.unjudged == "hold"
    words = [f"{version.ref} is not judged in all: {one}" for one in dict.fromkeys(found)]
    if held:
        words.append("the canary will not advance by itself; `rollout: {unjudged: allow}` lets it")
    return (*words, *misspelled)


def _reference(project: Project, version: ModelVersion, outputs: frozenset[str] | None) -> Reference:
    profile, kept, problem = None, None, ""
    if version.profile_digest is not None:
        try:
            profile = project.artifacts.load(version.profile_digest, Profile.from_bytes)
            kept = rows_of(profile)
        except PenstockError as error:
            problem = f"the reference profile of {version.ref} cannot be read: {error.message}"
    return Reference(profile=profile, metrics=version.metrics, outputs=outputs, problem=problem, rows=kept)


def _answers_classes(project: Project, version: ModelVersion) -> bool:
    """Whether a version surely answers classes: it has probabilities, or a prediction that is no fraction."""
    signature = _signature(project, version.model, version.number)
    return answers_classes(signature.outputs if signature is not None else ())


def _signature(project: Project, model: str, number: int) -> Signature | None:
    try:
        return find_signature(project, model, number)
    except PenstockError:
        return None  # what is away now is told where it is asked for


def answers_classes(columns: Sequence[Column]) -> bool:
    """Whether outputs are surely those of a classifier: a probability, or a prediction that is no fraction.

    What a regression calls `probability_late` beside its fractions makes no classifier of it.
    """
    outputs = {one.name: one for one in columns}
    answer = outputs.get(PREDICTION)
    if answer is None or PROBABILITY in outputs:
        return any(is_probability(name) for name in outputs)
    return not answer.is_tensor and not answer.datatype.startswith("FP")


def _unfit(
    project: Project,
    endpoint: str,
    settings: EndpointSettings,
    index: int,
    metric: str,
    version: ModelVersion,
) -> Invalid:
    kind = settings.guardrails[index].kind
    where, path, line = _place(project, endpoint, index, kind, "metric")
    return Invalid(
        f"{where}: a {kind} guardrail is on {metric}, a metric of numbers, and {version.ref} answers classes",
        code="settings.metric_unfit",
        hint=f"metrics of classes: {', '.join(sorted(OF_ANSWERS))}",
        file=path,
        line=line,
        metric=metric,
    )


def _place(project: Project, endpoint: str, index: int, kind: str, key: str) -> tuple[str, str, int | None]:
    """Return where a key of a guardrail stands, in words, and its file and line."""
    path = project.root / SETTINGS_FILE
    line = line_of(path, ("endpoints", endpoint, "guardrails", index, kind, key))
    return (f"{path}:{line}" if line else str(path)), str(path), line


def _unknown(
    project: Project,
    endpoint: str,
    settings: EndpointSettings,
    index: int,
    wrong: list[str],
    reference: Reference,
) -> Invalid:
    where, path, line = _place(project, endpoint, index, settings.guardrails[index].kind, "features")
    known = ", ".join(sorted(reference.profile.column_names)[:20]) if reference.profile else ""
    return Invalid(
        f"{where}: a {settings.guardrails[index].kind} guardrail names {', '.join(map(repr, wrong))}, which the model's reference does not have",
        code="settings.feature_unknown",
        hint=f"known features: {known}",
        file=path,
        line=line,
        features=wrong,
    )
