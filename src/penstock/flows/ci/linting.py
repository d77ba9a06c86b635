"""What a CI run on another machine would stumble over, told before the push. Reads and asks; writes nothing."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterator
from functools import partial

from penstock.base.clock import now_ms
from penstock.base.errors import PenstockError
from penstock.base.numbers import counted
from penstock.ci.sealing import is_unedited
from penstock.data.pointers.pointer import list_pointers
from penstock.flows.ci.changes import list_uncommitted
from penstock.flows.ci.files import FILES, RELEASE, installation_of, plan_ci_file
from penstock.flows.ci.hook import find_hook
from penstock.flows.ci.new_data import state_of
from penstock.flows.ci.outlook import look_ahead
from penstock.flows.models.stated import require_stated
from penstock.flows.tracked.remotes.cloud import cloud_status
from penstock.flows.tracked.unpulled import not_pulled
from penstock.pipeline.definition import load_all_stages
from penstock.project.checks import Check
from penstock.project.places import SETTINGS_FILE
from penstock.project.project import Project
from penstock.project.settings import ModelSettings
from penstock.project.worktree import require_git
from penstock.registry.gates.settings import GateEntry, unbound_codes

SHOWN = 3
OWN_FILES = (".dvc", "dvc.yaml", "dvc.lock", SETTINGS_FILE)


def lint(project: Project) -> Iterator[Check]:
    """Yield what would go otherwise on a CI system's machine than here.

    Raises:
        Invalid: the project is not in git, or penstock.yaml is wrong.
    """
    require_git(project)
    yield from _files(project)
    yield from _committed(project)
    yield from _pipeline(project)
    yield from _remote(project)
    yield from _gates(project)
    yield _tests(project)
    yield from _deploys(project)
    yield from _triggers(project)
    yield from _store(project)
    yield from _role(project)


def _files(project: Project) -> Iterator[Check]:
    """Yield whether each CI file there is what `ci init` would write now."""
    git_root = require_git(project)
    found = [name for name, relative in FILES.items() if (git_root / relative).is_file()]
    hook = find_hook(project)
    if hook is not None:
        is_new = hook.before == hook.text
        sentence = (
            f"{hook.path} {'validates what is pushed' if is_new else 'is not what `ci init hook` writes now'}"
        )
        hint = None if is_new else f"penstock ci init hook {shlex.quote(str(hook.path.parent.parent))}"
        yield Check("file", "ok" if is_new else "missing", sentence, hint)
    elif not found:
        hint = f"penstock ci init {'|'.join(FILES)}, or hook for a bare repository of yours"
        yield Check("file", "missing", "no CI system runs this repository", hint)
    for name in found:
        yield _guarded("file", partial(_file, project, name))
    if found and not (found == ["kubeflow"] and project.settings.ci.image is not None):
        yield from _installed(project)


def _installed(project: Project) -> Iterator[Check]:
    """Yield what another machine lacks of the packages; where Penstock came from, the check of the file says."""
    try:
        notes = installation_of(project, is_self_hosted=True).notes
    except PenstockError as error:
        yield Check("install", "broken", error.message, error.hint)
        return
    for note in notes:
        yield Check("install", "missing", note, "ci: {install: …} in penstock.yaml")


def _file(project: Project, name: str) -> Check:
    relative = FILES[name]
    text = (require_git(project) / relative).read_text()
    plans = [plan_ci_file(project, name, is_self_hosted=True)]
    if text != plans[0].text:
        plans.append(plan_ci_file(project, name))
    if all(text != plan.text for plan in plans):
        hint = (
            f"penstock ci init {shlex.quote(name)}"
            if is_unedited(text)
            else f"penstock ci init {shlex.quote(name)} --dry-run shows what it would be, --force replaces it"
        )
        return Check("file", "missing", f"{relative} is not what `ci init {name}` writes now", hint)
    return Check("file", "ok", f"{relative} is up to date")


def _committed(project: Project) -> Iterator[Check]:
    """Yield what is not committed, of the project and of the CI files at git's root: a CI system sees commits alone."""
    files = [f":(top){relative}" for relative in FILES.values()]
    paths = list_uncommitted(project, *files)
    if not paths:
        yield Check("commit", "ok", "everything is committed")
        return
    ours = [path for path in paths if path.endswith(OWN_FILES)]
    first = [*ours, *(path for path in paths if path not in ours)]  # what a CI run reads before all
    shown = ", ".join(first[:SHOWN]) + (f" and {len(first) - SHOWN} more" if len(first) > SHOWN else "")
    count, them = (f"{len(paths)} changes are", "them") if len(paths) > 1 else ("one change is", "it")
    sentence = f"{count} not committed, and CI will not see {them}: {shown}"
    yield Check("commit", "broken" if ours else "missing", sentence, "git add, git commit")


def _pipeline(project: Project) -> Iterator[Check]:
    stages = load_all_stages(project.data)
    if not stages:
        yield Check(
            "pipeline", "broken", "there is no dvc.yaml: a CI run has no pipeline", "penstock stage add"
        )
        return
    ahead = look_ahead(project)
    if ahead.would_run:
        shown = ", ".join(ahead.would_run[:SHOWN])
        yield Check(
            "pipeline",
            "missing",
            f"dvc.lock is not in step: {shown} would run in CI",
            "penstock repro, git commit",
        )
        return
    if ahead.lost:
        shown = ", ".join(ahead.lost[:SHOWN]) + (" …" if len(ahead.lost) > SHOWN else "")
        sentence = (
            f"dvc.lock is in step, but what {shown} made is in no cache that CI has: it would run there again"
        )
        yield Check("pipeline", "missing", sentence, "penstock repro keeps it again, penstock push")
        return
    sentence = f"dvc.lock is in step with {counted(len(stages), 'stage')}"
    if ahead.not_pulled:
        shown = ", ".join(ahead.not_pulled[:SHOWN]) + (" …" if len(ahead.not_pulled) > SHOWN else "")
        sentence += f"; what {shown} made is not pulled here"
    yield Check("pipeline", "ok", sentence)


def _remote(project: Project) -> Iterator[Check]:
    remote = project.data.config.get("core", "remote")
    if remote is None:
        hint = "penstock remote add -d NAME URL, penstock push"
        if tracked := _fetched(project):
            shown = ", ".join(tracked[:SHOWN]) + (" …" if len(tracked) > SHOWN else "")
            sentence = f"there is no default remote: another machine does not get {shown}"
            yield Check("data", "broken", sentence, hint)
            return
        yield Check("data", "missing", "there is no default remote: CI has no data but git's", hint)
        return
    yield _guarded("data", partial(_pushed, project, remote))


def _fetched(project: Project) -> list[str]:
    """Return what is tracked by pointers, which only a remote brings to another machine."""
    outputs = [one for pointer in list_pointers(project.data) for one in pointer.outputs if one.cached]
    return [one.path.relative_to(project.root).as_posix() for one in outputs]


def _pushed(project: Project, remote: str) -> Check:
    status = cloud_status(project.data)
    absent = [path for path, word in status.items() if word in ("new", "missing")]
    if absent:
        shown = ", ".join(absent[:SHOWN]) + (" …" if len(absent) > SHOWN else "")
        return Check(
            "data",
            "broken",
            f"{counted(len(absent), 'object is', 'objects are')} not on {remote}: {shown}",
            "penstock push",
        )
    return Check("data", "ok", f"all that is tracked is on {remote}")


def _gates(project: Project) -> Iterator[Check]:
    models = project.settings.all_models
    if not models:
        sentence = f"{SETTINGS_FILE} names no model: nothing is judged or registered"
        yield Check("gates", "missing", sentence, "penstock start")
    for model in models:
        gates = project.settings.gates_of(model.name)
        if not any(gate.severity == "block" for gate in gates):
            sentence = f"nothing refuses {model.name}: it has no gate that blocks"
            yield Check("gates", "broken", sentence, f"`gates:` in {SETTINGS_FILE}")
            continue
        yield _guarded("gates", partial(_stated, project, model, gates))


def _stated(project: Project, model: ModelSettings, gates: tuple[GateEntry, ...]) -> Check:
    files = [name for gate in gates for name in (*gate.gate.files(gate.settings), *gate.tables)]
    tables = [name for name in (model.test, model.reference) if name is not None]
    if unpulled := not_pulled(project.data, dict.fromkeys((*tables, *files))):
        sentence = (
            f"{next(iter(unpulled))}, which {model.name} is judged with, is not pulled: it was not looked at"
        )
        return Check("gates", "missing", sentence, "penstock pull")
    require_stated(project.root, model)
    absent = [name for name in files if not (project.root / name).exists()]
    if absent:
        hint = "penstock repro, penstock pull, or mend the name"
        return Check(
            "gates", "broken", f"{absent[0]}, which a gate of {model.name} names, is not there", hint
        )
    ended = next((gate for gate in gates if gate.waiver and not gate.waiver.holds_at(now_ms())), None)
    if ended is not None and ended.waiver is not None:
        sentence = f"the waiver of the gate {ended.kind} of {model.name} ended on {ended.waiver.until}"
        return Check("gates", "missing", sentence, "mend what it was about, or take it out of penstock.yaml")
    told = unbound_codes(project.root, gates)
    if told:
        return Check(
            "gates", "missing", told[0], "list those files under the check's `files` in penstock.yaml"
        )
    return Check("gates", "ok", f"{counted(len(gates), 'gate')} of {model.name}")


def _tests(project: Project) -> Check:
    command = project.settings.ci.tests
    if command is None:
        return Check("tests", "missing", f"{SETTINGS_FILE} names no tests", "ci: {tests: pytest -q}")
    return Check("tests", "ok", command)


def _deploys(project: Project) -> Iterator[Check]:
    """Yield whether anything does what `ci.deploy` says: the files of `ci init` validate, the hook alone releases too."""
    deploy = project.settings.ci.deploy
    if deploy == "none":
        return
    git_root = require_git(project)
    texts = [
        path.read_text(errors="replace")
        for relative in FILES.values()
        if (path := git_root / relative).is_file()
    ]
    if find_hook(project) is not None or any("--deploy" in text for text in texts):
        yield Check("deploy", "ok", f"what passes on the default branch goes out: ci.deploy is {deploy}")
        return
    yield Check(
        "deploy",
        "missing",
        f"ci.deploy is {deploy}, and nothing runs with --deploy: nothing goes live",
        RELEASE,
    )


def _triggers(project: Project) -> Iterator[Check]:
    """Yield whether what `ci.on.data` names can be asked."""
    for name in project.settings.ci.on.sources:

        def ask(name: str = name) -> Check:
            state_of(project, name)
            return Check("triggers", "ok", f"{name} begins a run when it changes at its source")

        yield _guarded("triggers", ask)


def _role(project: Project) -> Iterator[Check]:
    """Yield whether the role of `ci.oidc` is of any use: it opens S3, and a file has to ask for it."""
    if project.settings.ci.oidc is None:
        return
    remote = project.data.config.get("core", "remote")
    url = str(project.data.config.remotes().get(remote, {}).get("url", "")) if remote is not None else ""
    places = (url, project.places.artifacts_url)
    if not any(place.startswith("s3://") for place in places):
        sentence = "ci.oidc names a role on AWS, and neither the default remote nor the artifacts are on S3"
        yield Check("oidc", "missing", sentence, "take it out of penstock.yaml, or PENSTOCK_ARTIFACTS=s3://…")
        return
    yield Check("oidc", "ok", f"{project.settings.ci.oidc.role} opens S3, without keys that last")


def _store(project: Project) -> Iterator[Check]:
    """Yield whether another machine would know this store, and whose signature its verdicts would have."""
    is_local = project.places.store_url.startswith("sqlite")
    if not is_local:
        yield Check("store", "ok", "the store is shared")
    elif any(gate.kind == "champion" for gate in _all_gates(project)):
        sentence = "the store is a file of this machine: a hosted runner knows no champion, and what it registers is gone"
        yield Check(
            "store", "missing", sentence, "PENSTOCK_STORE, a secret of the CI system, names a shared one"
        )
    else:
        sentence = "the store is a file of this machine: what a hosted runner registers is gone with it"
        yield Check(
            "store", "missing", sentence, "PENSTOCK_STORE, a secret of the CI system, names a shared one"
        )
    if not is_local and not project.settings.trusted_keys:
        sentence = (
            "penstock.yaml trusts no key: what CI signs is no proof here, nor what is signed here there"
        )
        yield Check("keys", "missing", sentence, "penstock key show, into `trusted_keys:` of penstock.yaml")


def _all_gates(project: Project) -> list[GateEntry]:
    return [gate for model in project.settings.all_models for gate in project.settings.gates_of(model.name)]


def _guarded(part: str, check: Callable[[], Check]) -> Check:
    try:
        return check()
    except PenstockError as error:
        return Check(part, "broken", error.message, error.hint)
