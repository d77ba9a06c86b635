"""KServe and Seldon Core 1: their own objects, with our server as the container that answers.

Canaries, shadows and rollbacks stay Penstock's: all replicas follow the endpoint's revision in the store, and these
objects change only when image or settings do. Source: KServe `serving.kserve.io/v1beta1` (custom predictor), Seldon
Core `machinelearning.seldon.io/v1` (protocol v2).
"""

from __future__ import annotations

import shlex

from penstock.serving.manifests.deployable import Deployable, metadata, pod, secret_example, text_of

_SECRET_SAYS = "Fill in and apply; do not commit what you filled in."


def render_kserve(deployable: Deployable) -> dict[str, str]:
    """Return an `InferenceService` whose predictor is our container; KServe wants it named so, with one port."""
    predicting = pod(deployable, "kserve-container", ("*",))
    predicting["containers"][0]["ports"] = predicting["containers"][0]["ports"][:1]
    service = {
        "apiVersion": "serving.kserve.io/v1beta1",
        "kind": "InferenceService",
        "metadata": metadata(deployable),
        "spec": {"predictor": {"minReplicas": 2, "maxReplicas": 10, **predicting}},
    }
    return {
        "inferenceservice.yaml": text_of(
            service, f"Made by `penstock deploy {shlex.quote(deployable.endpoint)} --manifest kserve`."
        ),
        "secret.example.yaml": text_of(secret_example(deployable), _SECRET_SAYS),
    }


def render_seldon(deployable: Deployable) -> dict[str, str]:
    """Return a `SeldonDeployment` of one predictor that speaks Open Inference."""
    name = deployable.name
    service = {
        "apiVersion": "machinelearning.seldon.io/v1",
        "kind": "SeldonDeployment",
        "metadata": metadata(deployable),
        "spec": {
            "protocol": "v2",
            "predictors": [
                {
                    "name": "default",
                    "replicas": 2,
                    "componentSpecs": [{"spec": pod(deployable, name, ("*",))}],
                    "graph": {"name": name, "type": "MODEL"},
                }
            ],
        },
    }
    return {
        "seldondeployment.yaml": text_of(
            service,
            f"Made by `penstock deploy {shlex.quote(deployable.endpoint)} --manifest seldon`, for Seldon Core 1.",
            "Its keys are those of the types of Seldon's own client; it was not tried in a cluster.",
        ),
        "secret.example.yaml": text_of(secret_example(deployable), _SECRET_SAYS),
    }
