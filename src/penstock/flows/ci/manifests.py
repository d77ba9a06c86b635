"""Write the files with which an endpoint runs in a cluster or in containers; the store is not changed."""

from __future__ import annotations

import platform
import re
import shlex
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from penstock.base.errors import Conflict, NotFound
from penstock.base.files import write_atomic
from penstock.flows.ci.files import installation_of, needs_git
from penstock.flows.production.checking import tell_other_model
from penstock.project.project import Project
from penstock.registry.references import resolve_version
from penstock.registry.versions import get_version
from penstock.serving.deployments import find_revision
from penstock.serving.manifests.containers import render_compose, render_dockerfile, render_dockerignore
from penstock.serving.manifests.deployable import SECRET, Deployable
from penstock.serving.manifests.inference_services import render_kserve, render_seldon
from penstock.serving.manifests.kubernetes import render_kubernetes

KINDS: dict[str, tuple[Callable[[Deployable], dict[str, str]], str]] = {
    "k8s": (
        render_kubernetes,
        "The objects are valid by the schemas of Kubernetes 1.27 and later; they were not run on a cluster.",
    ),
    "kserve": (
        render_kserve,
        "The pod in it is valid by the schemas of Kubernetes; the `InferenceService` was not tried on a KServe.",
    ),
    "seldon": (
        render_seldon,
        "The pod in it is valid by the schemas of Kubernetes; the `SeldonDeployment` (Seldon Core 1) was not tried.",
    ),
}
"""Kinds of manifests by name: what writes them, and how far they were tried."""


@dataclass(frozen=True)
class ManifestPlan:
    """Files to write below a folder, by name; `notes` are what their reader should know."""

    folder: Path
    files: dict[str, str]
    notes: tuple[str, ...]

    @property
    def different(self) -> list[str]:
        """Names of files that exist with other content."""
        return [
            name
            for name, text in self.files.items()
            if (self.folder / name).exists() and (self.folder / name).read_bytes() != text.encode()
        ]


def plan_manifests(
    project: Project,
    endpoint: str,
    kind: str,
    folder: Path,
    *,
    model: str | None = None,
    image: str | None = None,
    namespace: str = "default",
) -> ManifestPlan:
    """Return the files with which an endpoint runs elsewhere.

    Args:
        kind: a name of `KINDS`.
        model: the version to reckon its memory by, `NAME/3` or `NAME@alias`; by default what it serves.
        image: what the image is called; by default after the project.

    Raises:
        NotFound: neither the store nor penstock.yaml knows the endpoint, or there is no such version.
        Invalid: its name cannot be that of an object in a cluster, or the image or the namespace is none.
    """
    with project.database.read() as connection:
        revision = find_revision(connection, endpoint)
        version = get_version(connection, revision.model, revision.stable) if revision else None
        if model is not None:
            version = resolve_version(connection, model)
    if revision is None and endpoint not in project.settings.endpoints:
        raise NotFound(
            f"neither the store nor penstock.yaml knows an endpoint {endpoint!r}",
            code="serving.endpoint_unknown",
            hint="penstock endpoint list",
        )
    declared = project.settings.endpoints.get(endpoint)
    other = tell_other_model(endpoint, declared, version) if declared and version else ()
    installation = installation_of(project)
    deployable = Deployable(
        endpoint=endpoint,
        image=f"{_slug(project.root.name)}-serve:latest" if image is None else image,
        namespace=namespace,
        trusted_keys=tuple(sorted(key.text for key in project.keys.trusted.values())),
        model_bytes=sum(file.size for file in version.manifest.files) if version else 0,
        install=installation.commands,
        python=".".join(platform.python_version_tuple()[:2]),
        needs_git=needs_git(project.root, installation),
    )
    render, tried = KINDS[kind]
    files = {
        **render(deployable),
        "Dockerfile": render_dockerfile(deployable),
        "Dockerfile.dockerignore": render_dockerignore(),
        **render_compose(deployable),
        "README.md": _readme(deployable, kind, tried),
    }
    unknown = () if version else (f"{endpoint} is not deployed: memory is asked for without its model",)
    unsigned = (
        ()
        if deployable.trusted_keys
        else (
            "no key is trusted here yet: versions that a key signed are not loaded there; judge first (penstock gate run), then write again",
        )
    )
    return ManifestPlan(folder, files, (*other, *installation.notes, *unknown, *unsigned, tried))


def write_manifests(plan: ManifestPlan, *, force: bool = False) -> None:
    """Write the files.

    Raises:
        Conflict: one exists with other content and `force` was not given; nothing is written.
    """
    if plan.different and not force:
        raise Conflict(
            f"{plan.folder / plan.different[0]} exists with other content",
            code="serving.manifest_exists",
            hint="write to another directory, or use --force",
            files=plan.different,
        )
    plan.folder.mkdir(parents=True, exist_ok=True)
    for name, text in plan.files.items():
        write_atomic(plan.folder / name, text.encode())


def _slug(name: str) -> str:
    """Return a name as that of an image may be."""
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-") or "project"


def _readme(deployable: Deployable, kind: str, tried: str) -> str:
    apply = {"k8s": "kubectl apply -k .", "kserve": "kubectl apply -f inferenceservice.yaml"}
    return f"""# {deployable.endpoint} elsewhere

Made by `penstock deploy {shlex.quote(deployable.endpoint)} --manifest {kind}`. {tried} The image was not built, the compose file not run.

Every replica follows the endpoint's revision in the shared store: `penstock deploy`, canaries and rollbacks need no
new manifest. These files change when the image or the settings do.

## In a cluster

1. Build and push the image, at the project's root: `docker build -f Dockerfile -t {deployable.image} .` (the paths are
   those of this folder).
2. Copy `secret.example.yaml`, fill in the store (PostgreSQL) and the artifacts (S3), apply it. Credentials of S3 go
   into a secret `{SECRET}-credentials` as `AWS_ACCESS_KEY_ID` and `AWS_SECRET_ACCESS_KEY`.
3. `{apply.get(kind, "kubectl apply -f seldondeployment.yaml")}`

Callers need a token (`penstock user add`, `penstock token create NAME --scope infer --endpoint {shlex.quote(deployable.endpoint)}`);
Prometheus one with the scope `metrics`. One `penstock server` beside them is the controller that rolls back.

## On one machine

`compose.yaml` runs PostgreSQL, the server, `serve`, Prometheus and Grafana. Once before:

```sh
echo "POSTGRES_PASSWORD=$(openssl rand -hex 16)" > .env
penstock monitor rules --out rules.yaml
penstock monitor dashboard grafana --prometheus-url http://prometheus:9090 --path /var/lib/grafana/dashboards
touch token        # then a token with the scope metrics
docker compose up
```
"""
