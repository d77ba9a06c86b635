"""Judge a model by the project's gates. What a verdict allows is in `flows/models/aliases` and `flows/production/deploying`."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from functools import partial

import msgspec

from penstock.base.errors import Invalid, NotFound, PenstockError
from penstock.base.store.events import record_event
from penstock.flows.models.candidates import Candidate, find_candidate, require_as_made
from penstock.flows.models.evidence.held_out import HeldOutTable, held_out_digest
from penstock.flows.models.evidence.measured import Order, require_measured
from penstock.flows.models.evidence.origin import Origin
from penstock.flows.models.evidence.recorded import RecordedTraffic
from penstock.flows.models.evidence.retraining import Retraining
from penstock.flows.models.evidence.subjects import ModelSubject
from penstock.flows.models.folders import fetch_model, files_of_folder
from penstock.flows.models.provenance import data_digests
from penstock.flows.models.stated import require_stated
from penstock.pipeline.definition import load_all_stages
from penstock.pipeline.outputs import list_kind
from penstock.pipeline.parameters import load_metrics
from penstock.pipeline.running.survivors import end_survivors, noted
from penstock.project.project import Project
from penstock.project.settings import ModelSettings, require_model, unknown_model
from penstock.registry.aliases import find_alias
from penstock.registry.entities import ModelVersion, Verdict
from penstock.registry.gates.check import Evidence, Named
from penstock.registry.gates.judge import make_verdict, run_checks
from penstock.registry.gates.settings import GateEntry
from penstock.registry.proof import seal_verdict
from penstock.registry.references import resolve_version
from penstock.registry.verdicts import add_verdict
from penstock.registry.versions import get_version
from penstock.serving.loaders import ModelFiles, load_model


def run_gate(project: Project, path: str | None = None, name: str | None = None) -> Verdict:
    """Judge a model in the working tree, the first of penstock.yaml unless named; write the verdict and its event, and return it.

    Raises:
        NotFound, Invalid: the model, its settings or its files cannot be used, or a gate's metrics are of another model.
    """
    candidate = find_candidate(project, path, name)
    metrics_file = candidate.settings.metrics
    metrics = load_metrics(project.root / metrics_file) if metrics_file else {}
    gates = project.settings.gates_of(candidate.settings.name)
    for gate in gates:
        for table in gate.tables:
            require_as_made(project, table)
    is_asked = any(gate.kind == "metric" for gate in gates)
    note = require_measured(project, candidate.settings) if is_asked else ""
    told = _metrics_from(project, candidate.settings, gates)
    return _judge(project, candidate, metrics, told, None, note)


def run_gate_on(project: Project, reference: str) -> Verdict:
    """Judge a registered version, also one that a client uploaded, on the data of the working tree.

    Its metrics are those it was registered with; what is measured on the held-out table is measured here.

    Raises:
        NotFound: there is no such version; a bare name is then held to be meant for a model of penstock.yaml.
        Refused: its files are not kept here.
        Invalid: the project names no model, or the version's files cannot be used.
    """
    try:
        with project.database.read() as connection:
            version = resolve_version(connection, reference)
    except NotFound:
        if project.settings.all_models and not {"/", "@"} & set(reference):
            raise unknown_model(project.settings, reference) from None
        raise
    own = (one for one in project.settings.all_models if one.name == version.model)
    settings = next(own, None) or require_model(project.settings, project.root)
    gates = project.settings.gates_of(version.model)
    for name in (settings.test, *(table for gate in gates for table in gate.tables)):
        if name is not None:
            require_as_made(project, name)
    named = msgspec.structs.replace(settings, name=version.model)
    candidate = Candidate(named, fetch_model(project, version), version.manifest)
    told = f"what {version.ref} was registered with"
    return _judge(project, candidate, version.metrics, told, version)


def _metrics_from(project: Project, model: ModelSettings, gates: Sequence[GateEntry]) -> str:
    """Return where metrics were read.

    Raises:
        Invalid: a gate asks for one, nothing says where they are, and dvc.yaml would know.
    """
    if model.metrics is not None or not any(gate.kind == "metric" for gate in gates):
        return model.metrics or ""
    declared = [path.relative_to(project.root).as_posix() for path in list_kind(project.data, "metric")]
    if not declared:
        return ""
    order = Order(project.root, load_all_stages(project.data))
    own = [one for one in declared if order.measures(one, model.path) in {"own", "unknown"}]
    if not own:
        return ""
    raise Invalid(
        "a gate asks for a metric, and penstock.yaml does not say where the metrics are",
        code="gate.no_metrics_file",
        hint=f"write `metrics: {own[0]}` under `model:` in penstock.yaml",
    )


def _judge(
    project: Project,
    candidate: Candidate,
    metrics: dict[str, float],
    metrics_from: str,
    version: ModelVersion | None,
    metrics_note: str = "",
) -> Verdict:
    name = candidate.settings.name
    end_survivors(project.root)  # of a judgement that was killed
    require_stated(project.root, candidate.settings)
    files = files_of_folder(candidate.folder, name, 0, candidate.digest)
    _require_loadable(files, candidate.settings.path)
    champion_files = _champion_files(project, name)
    gates = project.settings.gates_of(name)
    subjects = [ModelSubject(files, "the candidate", candidate.settings.label)]
    if champion_files is not None and champion_files.digest != files.digest:
        called = f"{champion_files.name}/{champion_files.version}"
        subjects.append(ModelSubject(champion_files, called, candidate.settings.label))
    evidence = Evidence(
        root=project.root,
        metrics=metrics,
        held_out=HeldOutTable(project.root, candidate, files, champion_files),
        metrics_from=metrics_from,
        metrics_note=metrics_note,
        named=Named(
            candidate.settings.test,
            candidate.settings.label,
            candidate.settings.reference,
            candidate.settings.time,
        ),
        candidate=subjects[0],
        champion=subjects[1] if len(subjects) > 1 else None,
        facts=Origin(project, candidate, version),
        traffic=RecordedTraffic(project, name),
        retraining=Retraining(project, candidate, version),
        keep=project.artifacts.put,
        guard=partial(noted, project.root),
    )
    try:
        checks = run_checks(gates, evidence)
    finally:
        for subject in subjects:
            subject.close()
    verdict = make_verdict(
        name,
        candidate.digest,
        gates,
        checks,
        {**data_digests(project), **held_out_digest(project, candidate.settings.test)},
        project.actor,
        root=project.root,
    )
    verdict = seal_verdict(verdict, project.keys.signing_key())
    failed = verdict.blocking or [check for check in checks if check.status != "pass"]
    with project.database.write() as connection:
        add_verdict(connection, verdict)
        record_event(
            connection,
            "gate.passed" if verdict.passed else "gate.refused",
            f"model:{name}",
            project.actor,
            verdict.summary + (f": {failed[0].sentence}" if failed else ""),
            cause={"verdict": verdict.id, "digest": candidate.digest},
        )
    return verdict


def _require_loadable(files: ModelFiles, path: str) -> None:
    """Load a candidate as a serve process will: what cannot be loaded is not judged, and so never promoted.

    Raises:
        Invalid: it does not load, or its flavour cannot be served.
    """
    try:
        load_model(files)
    except Invalid as error:
        raise Invalid(
            error.message.replace(f"{files.name} version {files.version}", f"the model in {path}"),
            code=error.code,
            hint="put the classes it needs into a module beside the training script, import them from there, and save it again"
            if "__main__" in error.message
            or ("ModuleNotFoundError" in error.message and "class" not in files.options)
            else error.hint,
            path=path,
        ) from None


def _champion_files(project: Project, name: str) -> ModelFiles | None:
    with project.database.read() as connection:
        alias = find_alias(connection, name, "champion")
        version = get_version(connection, name, alias.version) if alias else None
    if version is None:
        return None
    try:
        return files_of_folder(fetch_model(project, version), name, version.number, version.digest)
    except PenstockError as error:
        error.message = (
            f"the champion cannot be compared with, and nothing is wrong with the candidate: {error.message}"
        )
        error.hint = f"{error.hint}; or penstock promote another version of {shlex.quote(name)} meanwhile"
        raise
