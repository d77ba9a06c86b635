"""Plain Kubernetes: a Deployment with probes, its Service, and what keeps enough of them running.

Source: kubernetes.io API reference, apps/v1, autoscaling/v2, policy/v1.
"""

from __future__ import annotations

import shlex
from typing import Any

from penstock.serving.manifests.deployable import (
    GRPC_PORT,
    HTTP_PORT,
    Deployable,
    labels,
    metadata,
    pod,
    secret_example,
    text_of,
)


def render_kubernetes(deployable: Deployable) -> dict[str, str]:
    """Return the files by name; the same endpoint gives the same bytes."""
    made = f"Made by `penstock deploy {shlex.quote(deployable.endpoint)} --manifest k8s`."
    objects = {
        "deployment.yaml": _deployment(deployable),
        "service.yaml": _service(deployable),
        "autoscaling.yaml": _autoscaler(deployable),
        "disruption.yaml": _budget(deployable),
    }
    kustomization = {
        "apiVersion": "kustomize.config.k8s.io/v1beta1",
        "kind": "Kustomization",
        "resources": list(objects),
    }
    return {
        **{name: text_of(one, made) for name, one in objects.items()},
        "kustomization.yaml": text_of(kustomization, made),
        "secret.example.yaml": text_of(
            secret_example(deployable), "Fill in and apply; do not commit what you filled in."
        ),
    }


def _deployment(deployable: Deployable) -> dict[str, Any]:
    annotations = {
        "prometheus.io/scrape": "true",
        "prometheus.io/port": str(HTTP_PORT),
        "prometheus.io/path": "/metrics",
    }
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": metadata(deployable),
        "spec": {
            "replicas": 2,
            "selector": {"matchLabels": labels(deployable)},
            "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 0, "maxSurge": 1}},
            "template": {
                "metadata": {"labels": labels(deployable), "annotations": annotations},
                "spec": {
                    **pod(deployable, "serve", deployable.hosts),
                    "topologySpreadConstraints": [
                        {
                            "maxSkew": 1,
                            "topologyKey": "kubernetes.io/hostname",
                            "whenUnsatisfiable": "ScheduleAnyway",
                            "labelSelector": {"matchLabels": labels(deployable)},
                        }
                    ],
                },
            },
        },
    }


def _service(deployable: Deployable) -> dict[str, Any]:
    ports = [
        {"name": name, "port": port, "targetPort": port, "protocol": "TCP", "appProtocol": protocol}
        for name, port, protocol in (("http", HTTP_PORT, "http"), ("grpc", GRPC_PORT, "kubernetes.io/h2c"))
    ]
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": metadata(deployable),
        "spec": {"selector": labels(deployable), "ports": ports},
    }


def _autoscaler(deployable: Deployable) -> dict[str, Any]:
    target = {"type": "Utilization", "averageUtilization": 70}
    return {
        "apiVersion": "autoscaling/v2",
        "kind": "HorizontalPodAutoscaler",
        "metadata": metadata(deployable),
        "spec": {
            "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": deployable.name},
            "minReplicas": 2,
            "maxReplicas": 10,
            "metrics": [{"type": "Resource", "resource": {"name": "cpu", "target": target}}],
        },
    }


def _budget(deployable: Deployable) -> dict[str, Any]:
    return {
        "apiVersion": "policy/v1",
        "kind": "PodDisruptionBudget",
        "metadata": metadata(deployable),
        "spec": {"minAvailable": 1, "selector": {"matchLabels": labels(deployable)}},
    }
