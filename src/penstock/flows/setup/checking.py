"""What each part of Penstock still lacks here, and the command that mends it. Reads and asks; what it writes is in `state`."""

from __future__ import annotations

import os
import shutil
import socket
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Literal

from penstock.base.errors import NotFound, PenstockError
from penstock.base.git import Git
from penstock.base.store.events import check_writes
from penstock.data.repository import DataRepository
from penstock.flows.models.evidence.measured import unmeasured
from penstock.flows.models.wrapping import FLAVOUR_OF_SUFFIX
from penstock.flows.production.controlling.untold import list_untold
from penstock.flows.production.live.undelivered import list_undelivered
from penstock.flows.production.policing import compare_file
from penstock.flows.setup.state import check_state
from penstock.flows.tracked.unpulled import can_be_pulled
from penstock.pipeline.definition import load_all_stages
from penstock.project.checks import Check
from penstock.project.places import SETTINGS_FILE
from penstock.project.project import Project
from penstock.project.settings import ModelSettings, ProjectSettings
from penstock.records.flavours import OWN, choose_flavour
from penstock.registry.package import MODEL_FILE, describe_model
from penstock.registry.webhooks import list_failing_webhooks
from penstock.storage.resolve import shown_url

PACKAGES: Mapping[str, tuple[str, str]] = {"ssh": ("asyncssh", "ssh")}
"""By what needs it: the package, and the extra of Penstock that installs it."""
SKLEARN = "pip install 'penstock[sklearn]'"
FREE_BYTES = 1 << 30
WAIT_S = 0.2


def check_machine() -> list[Check]:
    """Return what is known without a repository: the git program, and packages for models."""
    checks = []
    if shutil.which("git") is None:
        checks.append(Check("git", "broken", "the git program is not installed", "apt-get install git"))
    served = [entry for entry in OWN.values() if entry.install]
    there = [entry.name for entry in served if all(find_spec(root) is not None for root in entry.roots)]
    if not there:
        checks.append(
            Check(
                "models", "missing", "no library whose models can be saved and served is installed", SKLEARN
            )
        )
    else:
        checks.append(Check("models", "ok", f"models of {', '.join(there)} can be saved and served"))
    return checks


def check_repository(repo: DataRepository) -> Iterator[Check]:
    """Yield what is known of git, the cache and the default remote; the remote is asked."""
    yield from _git(repo)
    yield from _cache(repo)
    yield from _remote(repo)


def check_project(project: Project, ports: Mapping[str, int]) -> Iterator[Check]:
    """Yield what is known of settings, pipeline, model, store and of the ports that servers would take."""
    settings = project.settings
    names = ", ".join(one.name for one in settings.all_models)
    file = project.root / SETTINGS_FILE
    if not file.is_file():
        yield Check(
            "settings", "missing", f"there is no {SETTINGS_FILE}: no gates, no endpoints", "penstock start"
        )
    elif not settings.all_models:
        yield Check("settings", "missing", f"{SETTINGS_FILE} names no model", "penstock start --force")
    else:
        yield Check("settings", "ok", f"{SETTINGS_FILE}: model {names}")
    yield _guarded("pipeline", lambda: _pipeline(project))
    for model in settings.all_models:
        yield _guarded("model", partial(_model, project, model))
        yield from _belongings(project, model)
        yield from _measured(project, model)
    if settings.all_models:
        yield from _watching(settings)
    yield _guarded("store", lambda: _store(project))
    yield from check_state(project)
    yield from _policies(project)
    for one in list_undelivered(project.home):
        yield Check("watch", "missing", f"{one.endpoint}: {one.sentence}", None)
    for name, port in ports.items():
        yield _port(name, port)


def _guarded(part: str, check: Callable[[], Check]) -> Check:
    try:
        return check()
    except PenstockError as error:
        return Check(part, "broken", error.message, error.hint)


def _git(repo: DataRepository) -> Iterator[Check]:
    if repo.git_root() is None:
        yield Check(
            "git", "missing", "no git repository: commits are not known, and CI cannot run", "git init"
        )
        return
    git = Git(repo.root)
    try:
        git.run("var", "GIT_COMMITTER_IDENT")
    except PenstockError:
        hint = "git config user.name …, and git config user.email …"
        yield Check("git", "missing", "git does not know who you are, so nothing can be committed", hint)
        return
    try:
        yield Check("git", "ok", f"at commit {git.resolve('HEAD')[:7]}")
    except PenstockError:
        yield Check("git", "missing", "nothing is committed yet", "git add -A && git commit")


def _cache(repo: DataRepository) -> Iterator[Check]:
    root = repo.cache.root
    place = next(path for path in (root, *root.parents) if path.exists())
    if not os.access(place, os.W_OK):
        yield Check("cache", "broken", f"{root} cannot be written to", "penstock cache dir PATH")
        return
    free = shutil.disk_usage(place).free
    if free < FREE_BYTES:
        yield Check(
            "cache",
            "broken",
            f"{free >> 20} MB are free where {root} lies",
            "penstock gc -w, then empty the disk",
        )
        return
    yield Check("cache", "ok", f"{root}, {free >> 30} GB free")


def _remote(repo: DataRepository) -> Iterator[Check]:
    try:
        name = repo.remote_name()
    except NotFound as error:
        yield Check("remote", "missing", f"{error.message}: data are on this machine alone", error.hint)
        return
    except PenstockError as error:
        yield Check("remote", "broken", error.message, error.hint)
        return
    try:
        url, _ = repo.remote_settings(name)
        if url.startswith("ssh://") and find_spec(PACKAGES["ssh"][0]) is None:
            yield Check(
                "remote",
                "broken",
                f"{name} is reached over SSH, and asyncssh is not installed",
                _install("ssh"),
            )
            return
        backend = repo.remote(name)
        try:
            has_place = backend.has_place()
        finally:
            backend.close()
    except PenstockError as error:
        yield Check("remote", "broken", f"{name}: {error.message}", error.hint)
        return
    if has_place:
        yield Check("remote", "ok", f"{name} at {shown_url(url)} answers")
    else:
        yield Check(
            "remote", "missing", f"{name} at {shown_url(url)} is empty or not made yet", "penstock push"
        )


def _pipeline(project: Project) -> Check:
    stages = load_all_stages(project.data)
    if not stages:
        return Check(
            "pipeline", "missing", "there is no dvc.yaml: nothing is reproduced", "penstock stage add"
        )
    return Check("pipeline", "ok", f"{len(stages)} stage{'s' if len(stages) > 1 else ''}")


def _model(project: Project, model: ModelSettings) -> Check:
    folder = project.root / model.path
    if folder.is_file() and folder.suffix in FLAVOUR_OF_SUFFIX:
        return Check("model", "ok", f"{model.path} ({FLAVOUR_OF_SUFFIX[folder.suffix]}) is a file of a model")
    if not (folder / MODEL_FILE).is_file():
        what = "is a file, not a model folder" if folder.is_file() else "is not there"
        hint = "write it with penstock.save_model"
        if not folder.exists():
            hint = "penstock pull" if can_be_pulled(project.data, [model.path]) else "penstock repro"
        return Check("model", "missing", f"{model.path} {what}", hint)
    try:
        flavour = choose_flavour(describe_model(folder).flavours)
    except PenstockError as error:
        what = f"{model.path} cannot be served: {error.message}"
        return Check("model", "broken", what, error.hint or "save it again")
    return Check("model", "ok", f"{model.path} ({flavour}) can be served")


def _belongings(project: Project, model: ModelSettings) -> Iterator[Check]:
    """Yield what penstock.yaml names beside a model and is not there."""
    keys = ("reference", "metrics", "test")
    named = {key: name for key in keys if (name := getattr(model, key)) is not None}
    absent = {key: name for key, name in named.items() if not (project.root / name).exists()}
    there = can_be_pulled(project.data, absent.values())
    for key, name in absent.items():
        hint = "penstock pull" if name in there else "penstock repro, or mend the name"
        yield Check("model", "missing", f"`{key}: {name}` is not there", hint)


def _measured(project: Project, model: ModelSettings) -> Iterator[Check]:
    """Yield that a model's metrics are made by a stage that knows nothing of it."""
    found, sentence = unmeasured(project, model)
    if sentence:
        state: Literal["broken", "missing"] = "broken" if found == "other" else "missing"
        hint = f"`metrics:` of model {model.name}: a file of a stage that makes or measures it"
        yield Check("model", state, sentence, hint)


def _watching(settings: ProjectSettings) -> Iterator[Check]:
    """Yield what the endpoints' guardrails would not see."""
    if not settings.endpoints:
        yield Check(
            "endpoints",
            "missing",
            f"{SETTINGS_FILE} names no endpoint: nothing is watched",
            "penstock start --force",
        )
    known = {one.name: one for one in settings.all_models}
    for name, endpoint in settings.endpoints.items():
        served = known.get(endpoint.model_name)
        model = served or settings.all_models[0]
        if served is None:
            hint = f"model: {model.name}@champion, unless {name} serves another model on purpose"
            yield Check(
                "endpoints",
                "missing",
                f"{name} serves {endpoint.model}, and the model here is {model.name}",
                hint,
            )
        kinds = {entry.kind for entry in endpoint.guardrails}
        if not endpoint.guardrails:
            yield Check(
                "endpoints", "missing", f"{name} has no guardrails: nothing takes a bad model back", None
            )
        of_reference = [kind for kind in ("drift", "multivariate", "outliers", "values") if kind in kinds]
        if of_reference and model.reference is None:
            yield Check(
                "endpoints",
                "missing",
                f"{name}: no {' or '.join(of_reference)} without a reference",
                "`reference:` under `model:`",
            )
        compared = any(one.quality is not None and one.quality.bound is None for one in endpoint.guardrails)
        if compared and model.metrics is None:
            yield Check(
                "endpoints",
                "missing",
                f"{name}: quality has no offline value to be compared with",
                "`metrics:` under `model:`",
            )


def _policies(project: Project) -> Iterator[Check]:
    """Yield which deployed endpoints are watched by something else than what the file says, and whose alerts nobody takes."""
    file = project.places.store_file
    if file is not None and not file.is_file():
        return
    try:
        told = compare_file(project)
        with project.database.read() as connection:
            untold = list_untold(connection)
            failing_hooks = list_failing_webhooks(connection)
    except PenstockError:
        return  # the check of the store has told it
    for name, failing in untold.items():
        for words in failing:
            yield Check("alerts", "broken", f"{name}: {words}", f"mend the webhook, or {SETTINGS_FILE}")
    for words in failing_hooks:
        hint = "mend its receiver, or the webhook with MLflow's client (update_webhook, delete_webhook)"
        yield Check("webhooks", "broken", words, hint)
    for name, words in told.items():
        yield Check("endpoints", "missing", f"{name}: {words}", None)


def _store(project: Project) -> Check:
    url = project.places.store_url
    if url.startswith("sqlite") and not Path(url.removeprefix("sqlite:///").partition("?")[0]).exists():
        return Check("store", "ok", "made with the first run")
    with project.database.write() as connection:
        kind = connection.dialect.name
        check_writes(connection)
    return Check("store", "ok", f"{kind} answers and takes writes")


def _port(name: str, port: int) -> Check:
    with socket.socket() as probe:
        probe.settimeout(WAIT_S)
        is_taken = probe.connect_ex(("127.0.0.1", port)) == 0
    if is_taken:
        return Check(
            "ports", "missing", f"{port} is in use: the {name} runs already, or needs another port", None
        )
    return Check("ports", "ok", f"{port} is free for the {name}")


def _install(extra: str) -> str:
    return f"pip install 'penstock[{extra}]'"
