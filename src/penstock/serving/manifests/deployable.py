"""What is known of an endpoint that shall run somewhere else, and what all its containers have in common."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

import yaml

from penstock.base.errors import Invalid
from penstock.base.web.image_references import IMAGE_FORM, is_image_reference

HTTP_PORT = 8080
GRPC_PORT = 8081
DRAIN_S = 45
"""Seconds until a pod is killed: requests under way have 30, and the load balancer 5 to send no more."""
SECRET = "penstock-store"
_BASE_MB = 400
_DNS_LABEL = re.compile(r"[a-z]([-a-z0-9]{0,51}[a-z0-9])?")
_NAMESPACE = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
"""A label of RFC 1123, as Kubernetes asks of a namespace."""


@dataclass(frozen=True)
class Deployable:
    """One endpoint to run.

    Args:
        endpoint: its name in the store.
        image: the container image with the project's packages and Penstock.
        namespace: where it runs in a cluster.
        trusted_keys: public keys whose signatures on verdicts count.
        model_bytes: the size of the files of what it serves; 0 where it is not known.
        install: commands that install the project's packages in the image.
        python: the version of Python it runs on, such as `3.11`.
        needs_git: whether a package comes from a Git repository.

    Raises:
        Invalid: the image or the namespace is none that a cluster takes.
    """

    endpoint: str
    image: str
    namespace: str = "default"
    trusted_keys: tuple[str, ...] = ()
    model_bytes: int = 0
    install: tuple[str, ...] = ()
    python: str = "3.11"
    needs_git: bool = False

    def __post_init__(self) -> None:
        if not _NAMESPACE.fullmatch(self.namespace):
            raise Invalid(
                f"namespace {self.namespace!r} is none that a cluster takes",
                code="serving.bad_namespace",
                hint="use 1 to 63 lower-case letters, digits and hyphens, a letter or digit first and last",
            )
        if not is_image_reference(self.image):
            raise Invalid(
                f"image {self.image!r} is no reference of a container image",
                code="serving.bad_image",
                hint=f"write it as {IMAGE_FORM}, the name in lower case",
            )

    @property
    def name(self) -> str:
        """The name of its objects in a cluster.

        Raises:
            Invalid: it cannot be made a DNS label.
        """
        label = re.sub(r"[^a-z0-9]+", "-", self.endpoint.lower()).strip("-")
        if not _DNS_LABEL.fullmatch(label):
            raise Invalid(
                f"endpoint {self.endpoint!r} gives no name for a cluster: it must begin with a letter and have at most "
                "53 letters, digits and hyphens",
                code="serving.no_cluster_name",
                hint="deploy under another endpoint name",
            )
        return label

    @property
    def hosts(self) -> tuple[str, ...]:
        """The names by which it is called within a cluster."""
        names = (self.name, f"{self.name}.{self.namespace}", f"{self.name}.{self.namespace}.svc")
        return (*names, f"{self.name}.{self.namespace}.svc.cluster.local")

    @property
    def memory_mb(self) -> int:
        """Memory to ask for: the program's, and a model three times (old, new, and what reading it takes)."""
        return _BASE_MB + 3 * -(-self.model_bytes // (1 << 20))


def serve_arguments(deployable: Deployable, hosts: tuple[str, ...]) -> list[str]:
    """Return the arguments of `penstock` in a container; every caller but probes is asked for a token."""
    return [
        "serve",
        "--host=0.0.0.0",
        f"--port={HTTP_PORT}",
        f"--grpc-port={GRPC_PORT}",
        f"--default={deployable.endpoint}",
        "--auth",
        f"--allowed-hosts={','.join(hosts)}",
    ]


def container(deployable: Deployable, name: str, hosts: tuple[str, ...]) -> dict[str, Any]:
    """Return the container that serves, as any pod has it: probes, limits, no rights."""
    live = {"httpGet": {"path": "/v2/health/live", "port": HTTP_PORT}}
    ready = {"httpGet": {"path": "/v2/health/ready", "port": HTTP_PORT}}
    return {
        "name": name,
        "image": deployable.image,
        "args": serve_arguments(deployable, hosts),
        "env": [
            _from_secret("PENSTOCK_STORE"),
            _from_secret("PENSTOCK_ARTIFACTS"),
            {"name": "PENSTOCK_TRUSTED_KEYS", "value": ",".join(deployable.trusted_keys)},
            {"name": "HOME", "value": "/tmp"},
        ],
        "envFrom": [{"secretRef": {"name": f"{SECRET}-credentials", "optional": True}}],
        "ports": [
            {"name": "http1", "containerPort": HTTP_PORT, "protocol": "TCP"},
            {"name": "grpc", "containerPort": GRPC_PORT, "protocol": "TCP"},
        ],
        "startupProbe": {**live, "periodSeconds": 2, "failureThreshold": 90},
        "livenessProbe": {**live, "periodSeconds": 10, "timeoutSeconds": 5, "failureThreshold": 6},
        "readinessProbe": {**ready, "periodSeconds": 2, "timeoutSeconds": 2, "failureThreshold": 3},
        "lifecycle": {"preStop": {"exec": {"command": ["sleep", "5"]}}},
        "resources": {
            "requests": {"cpu": "500m", "memory": f"{deployable.memory_mb}Mi"},
            "limits": {"memory": f"{2 * deployable.memory_mb}Mi"},
        },
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"]},
            "readOnlyRootFilesystem": True,
        },
        "volumeMounts": [
            {"name": "models", "mountPath": "/app/.penstock"},
            {"name": "tmp", "mountPath": "/tmp"},
        ],
    }


def pod(deployable: Deployable, name: str, hosts: tuple[str, ...]) -> dict[str, Any]:
    """Return a pod's specification with that container."""
    return {
        "automountServiceAccountToken": False,
        "terminationGracePeriodSeconds": DRAIN_S,
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": 10001,
            "fsGroup": 10001,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "containers": [container(deployable, name, hosts)],
        "volumes": [{"name": "models", "emptyDir": {}}, {"name": "tmp", "emptyDir": {}}],
    }


def labels(deployable: Deployable) -> dict[str, str]:
    """Return the labels of all its objects."""
    return {"app.kubernetes.io/name": deployable.name, "app.kubernetes.io/part-of": "penstock"}


def metadata(deployable: Deployable, name: str | None = None) -> dict[str, Any]:
    """Return an object's metadata."""
    return {
        "name": name or deployable.name,
        "namespace": deployable.namespace,
        "labels": labels(deployable),
    }


def secret_example(deployable: Deployable) -> dict[str, Any]:
    """Return the secret that its operator fills in: the addresses of the store and of the artifacts."""
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": metadata(deployable, SECRET),
        "type": "Opaque",
        "stringData": {
            "PENSTOCK_STORE": "postgresql://penstock:CHANGE-ME@postgres.default.svc/penstock",
            "PENSTOCK_ARTIFACTS": "s3://CHANGE-ME/penstock",
        },
    }


def text_of(document: dict[str, Any], *about: str) -> str:
    """Return a document as YAML with lines of comment above it; the same document gives the same bytes."""
    return "".join(f"# {line}\n" for line in about) + yaml.safe_dump(document, sort_keys=False, width=120)


def _from_secret(key: str) -> dict[str, Any]:
    return {"name": key, "valueFrom": {"secretKeyRef": {"name": SECRET, "key": key}}}
