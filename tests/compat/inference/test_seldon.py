"""Seldon Core 1's object, held against the types of Seldon's own client: its CRD's schema is in no package.

The client's types say which keys there are, also in the pods, and not which values they take. Nothing here has a cluster.
"""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from penstock.serving.manifests.deployable import Deployable
from penstock.serving.manifests.inference_services import render_seldon
from servers.programs import missing

pytestmark = pytest.mark.slow
CHECK = Path(__file__).with_name("check_with_seldon.py")
ABSENT = "No module named 'seldon_deploy_sdk'"


def unknown_keys(document: Any) -> list[str]:
    """Return the keys that the client's types do not have; without the client the test is skipped."""
    python = os.environ.get("PENSTOCK_KSERVE_PYTHON")
    if not python or not Path(python).exists():
        missing("Seldon's client (set PENSTOCK_KSERVE_PYTHON)", "python3-venv")
    done = subprocess.run(
        [python, str(CHECK)],
        input=json.dumps(document),
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    if ABSENT in done.stderr:
        missing("Seldon's client (make .venv-kserve/.installed)", "python3-venv")
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


def test_its_types_have_every_key_of_the_manifest() -> None:
    files = render_seldon(Deployable("delay", "registry.example.org/delay:7"))
    made = yaml.safe_load(files["seldondeployment.yaml"])
    assert unknown_keys(made) == []
    (predictor,) = made["spec"]["predictors"]
    predictor["minReplicas"] = 2
    predictor["componentSpecs"][0]["spec"]["containers"][0]["imagePull"] = "Always"
    assert unknown_keys(made) == [
        "deployment.spec.predictors.0.componentSpecs.0.spec.containers.0.imagePull",
        "deployment.spec.predictors.0.minReplicas",
    ]
    assert "was not tried in a cluster" in files["seldondeployment.yaml"].splitlines()[1]
