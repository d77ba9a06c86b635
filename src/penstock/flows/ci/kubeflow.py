"""A project's pipeline for Kubeflow: which stages are components, what they wait for, where they find the code."""

from __future__ import annotations

import math
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

from penstock.base.errors import Invalid, Refused
from penstock.base.git import Git
from penstock.base.web.image_references import IMAGE_FORM, is_image_reference
from penstock.ci.installing import Installation
from penstock.ci.jobs import REMOTE_SECRETS, STORE_SECRETS
from penstock.ci.kubeflow import Component, KubeflowPipeline, executor_output, render_kubeflow
from penstock.pipeline.definition import load_all_stages
from penstock.pipeline.graph import upstream_of
from penstock.pipeline.running.conditions import Resources
from penstock.pipeline.stage import Stage
from penstock.project.project import Project

__all__ = ["compile_pipeline", "executor_output"]


def compile_pipeline(
    project: Project, git_root: Path, installation: Installation, python: str, *, has_remote: bool
) -> tuple[str, tuple[str, ...]]:
    """Return the pipeline as Kubeflow takes it, and what its reader should know.

    Raises:
        Invalid: there is no stage to run, two stages make the same, or the settings name no image.
        Refused: no default remote passes data from component to component.
    """
    if not has_remote:
        raise Refused(
            "Kubeflow's components pass data through the default remote, and there is none",
            code="ci.no_remote",
            hint="penstock remote add -d NAME s3://…",
        )
    stages = load_all_stages(project.data)
    live = [stage for stage in stages if not stage.is_frozen]
    if not live:
        raise Invalid(
            "there is no stage to make a component of", code="ci.no_stages", hint="penstock stage add"
        )
    upstream = upstream_of(stages, active=True)
    running = {stage.address for stage in live}
    image = project.settings.ci.image
    if image is not None and not is_image_reference(image):
        raise Invalid(
            f"`ci: {{image: …}}` in penstock.yaml is {image!r}, which is no reference of a container image",
            code="ci.bad_image",
            hint=f"write it as {IMAGE_FORM}, the name in lower case",
        )
    repository = _cloned_from(git_root)
    pipeline = KubeflowPipeline(
        name=project.settings.project,
        image=image or f"python:{python}",
        components=tuple(
            _component(stage, tuple(one for one in upstream[stage.address] if one in running))
            for stage in live
        ),
        install=() if image else installation.commands,
        root=project.root.relative_to(git_root).as_posix(),
        repository=repository,
        secrets=(*STORE_SECRETS, *REMOTE_SECRETS),
        is_judged=bool(project.settings.all_models),
    )
    notes = [] if image else [
        *installation.notes,
        "each component installs the packages anew: `ci: {image: …}` in penstock.yaml names an image that has them",
    ]  # fmt: skip
    if repository is None:
        notes.append(
            "a run must say what to clone (`repository`): this clone has no origin that others reach"
        )
    return render_kubeflow(pipeline), tuple(notes)


def _component(stage: Stage, after: tuple[str, ...]) -> Component:
    """Return a stage as a component; what it asks for but resources, `penstock ci stage` keeps inside."""
    asked = stage.conditions.resources
    cpus = asked.cpus if asked.cpus != Resources().cpus else 0.0
    return Component(stage.address, after, cpus, asked.memory_bytes, math.ceil(asked.gpus))


def _cloned_from(git_root: Path) -> str | None:
    """Return the address of `origin` without a user's secret, or None where only this machine knows it."""
    url = Git(git_root).run("config", "--get", "remote.origin.url", check=False).strip()
    if "://" not in url:
        return url if "@" in url.partition(":")[0] and ":" in url else None
    parts = urlsplit(url)
    if parts.scheme == "file" or not parts.hostname:
        return None
    user = f"{parts.username}@" if parts.scheme == "ssh" and parts.username else ""
    port = f":{parts.port}" if parts.port else ""
    return urlunsplit((parts.scheme, f"{user}{parts.hostname}{port}", parts.path, "", ""))
