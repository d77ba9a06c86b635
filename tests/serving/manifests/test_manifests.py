"""Manifests: valid by Kubernetes' schemas, run by the real server, never written over what is there."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx
import kubernetes_validate
import pytest
import yaml
from click.testing import CliRunner, Result

from patience import PATIENCE_S
from penstock.access.users import add_user
from penstock.base.errors import Conflict, Invalid, NotFound
from penstock.cli.main import cli
from penstock.flows.ci.manifests import KINDS, plan_manifests, write_manifests
from penstock.flows.production.deploying import plan_deployment
from penstock.flows.production.revising import apply_deployment
from penstock.registry.entities import Manifest, ModelVersion, Provenance
from penstock.registry.versions import add_version
from penstock.serving.manifests.deployable import Deployable
from projects import Sample
from stories.live import wait_until

pytestmark = pytest.mark.usefixtures("published")
VERSIONS = ("1.27", kubernetes_validate.latest_version())


def written(sample: Sample, kind: str) -> dict[str, Any]:
    """Return the YAML files of a kind, read back."""
    plan = plan_manifests(
        sample.project, "delay", kind, sample.root / "out" / kind, image="registry.example.org/delay:7"
    )
    write_manifests(plan)
    return {
        name: yaml.safe_load((plan.folder / name).read_text())
        for name in plan.files
        if name.endswith(".yaml")
    }


def test_every_object_and_every_pod_is_valid_by_the_schemas_of_kubernetes(released: Sample) -> None:
    apply_deployment(released.project, plan_deployment(released.project, "delay", "late@champion"))
    files = {kind: written(released, kind) for kind in KINDS}
    plain = [
        one
        for name, one in files["k8s"].items()
        if one.get("apiVersion", "").count("k8s.io") == 0 and "kind" in one
    ]
    assert sorted(one["kind"] for one in plain) == [
        "Deployment", "HorizontalPodAutoscaler", "PodDisruptionBudget", "Secret", "Service",
    ]  # fmt: skip
    predictor = dict(files["kserve"]["inferenceservice.yaml"]["spec"]["predictor"])
    assert predictor["containers"][0]["name"] == "kserve-container"
    del predictor["minReplicas"], predictor["maxReplicas"]
    seldon = files["seldon"]["seldondeployment.yaml"]["spec"]["predictors"][0]
    assert seldon["graph"]["name"] == seldon["componentSpecs"][0]["spec"]["containers"][0]["name"]
    pods = [
        {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "delay"}, "spec": spec}
        for spec in (predictor, seldon["componentSpecs"][0]["spec"])
    ]
    for version in VERSIONS:
        for document in (*plain, *pods):
            kubernetes_validate.validate(document, version, strict=True)
    wrong = {**plain[0], "spec": {**plain[0]["spec"], "replica": 2}}
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(wrong, VERSIONS[-1], strict=True)
    services = files["k8s"]["compose.yaml"]["services"]
    assert {"postgres", "server", "serve", "prometheus", "grafana"} == set(services)


def test_the_server_runs_with_the_arguments_of_its_container_and_answers_its_probes(released: Sample) -> None:
    apply_deployment(released.project, plan_deployment(released.project, "delay", "late@champion"))
    with released.project.database.write() as connection:
        add_user(connection, "ada", "admin", None, "test")
    container = written(released, "k8s")["deployment.yaml"]["spec"]["template"]["spec"]["containers"][0]
    arguments = [
        re.sub(r"^--(port|grpc-port)=\d+$", r"--\1=0", one).replace("--host=0.0.0.0", "--host=127.0.0.1")
        for one in container["args"]
    ]
    log = released.root / "serve.log"
    command = [sys.executable, "-m", "penstock.cli", "-C", str(released.root), *arguments]
    with log.open("wb") as output:
        process = subprocess.Popen(command, stdout=output, stderr=output)
    try:
        wait_until(lambda: b"serving on" in log.read_bytes() or process.poll() is not None)
        found = re.search(r"serving on (\S+),", log.read_text())
        assert found, log.read_text()
        for probe in ("livenessProbe", "readinessProbe"):
            path = container[probe]["httpGet"]["path"]
            wait_until(lambda path=path: is_answered(found[1] + path))
        named = {"host": "delay.default.svc.cluster.local"}
        assert httpx.get(f"{found[1]}/v2/models/delay", headers=named).status_code == 401
        assert (
            httpx.get(f"{found[1]}/v2/models/delay", headers={"host": "evil.example.org"}).status_code == 403
        )
    finally:
        process.terminate()
        process.wait(PATIENCE_S)


def is_answered(url: str) -> bool:
    """Whether a probe finds the container well."""
    try:
        return httpx.get(url, timeout=PATIENCE_S).status_code == 200
    except httpx.TransportError:
        return False


def test_files_that_somebody_changed_are_kept_unless_told_otherwise(released: Sample) -> None:
    folder = released.root / "out"

    def deploy(*flags: str) -> Result:
        words = ["-C", str(released.root), "deploy", "delay", "--manifest", "k8s", str(folder), *flags]
        return CliRunner().invoke(cli, words)

    assert deploy("--dry-run").exit_code == 0
    assert not folder.exists()
    assert deploy().exit_code == 0
    (folder / "service.yaml").write_text("mine: true\n")
    refused = deploy().exception
    assert isinstance(refused, Conflict) and "service.yaml exists with other content" in refused.message
    assert (folder / "service.yaml").read_text() == "mine: true\n"
    assert deploy("--force").exit_code == 0
    assert "kind: Service" in (folder / "service.yaml").read_text()


def test_flags_that_would_say_nothing_are_refused(released: Sample) -> None:
    folder = str(released.root / "out")
    for flags in (
        ["--canary", "5"], ["--shadow", "late/1"], ["--no-shadow"], ["--reason", "why"],
        ["--no-wait"], ["--timeout", "1"],
    ):  # fmt: skip
        words = ["-C", str(released.root), "deploy", "delay", "--manifest", "k8s", folder, *flags]
        refused = CliRunner().invoke(cli, words)
        assert refused.exit_code == 2 and "--manifest only writes files" in refused.output, flags
        assert flags[0].replace("--no-", "--") in refused.output.replace("--no-", "--"), flags
    assert not (released.root / "out").exists()
    for flag in ("--image", "--namespace"):
        refused = CliRunner().invoke(cli, ["-C", str(released.root), "deploy", "delay", flag, "x"])
        assert refused.exit_code == 2 and f"{flag} needs --manifest" in refused.output


def test_a_version_of_another_model_than_the_endpoint_is_declared_with_is_noted(
    released: Sample, tmp_path: Path
) -> None:
    draft = ModelVersion(
        model="other", number=0, digest=f"{7:064x}", created_ms=0, actor="ci", path="m",
        manifest=Manifest(()), provenance=Provenance(),
    )  # fmt: skip
    with released.project.database.write() as connection:
        add_version(connection, draft, reuse=True)
    words = "declares delay with late@champion, and other/1 is of another model"
    for model, is_told in (("other/1", True), ("late/1", False), (None, False)):
        notes = plan_manifests(released.project, "delay", "k8s", tmp_path, model=model).notes
        assert any(words in one for one in notes) == is_told, notes


def test_names_that_no_cluster_takes_and_endpoints_that_nobody_knows_are_told(
    released: Sample, tmp_path: Path
) -> None:
    assert Deployable("Delay_EU 2", "i").name == "delay-eu-2"
    for wrong in ("7", "é", "x" * 54):
        with pytest.raises(Invalid):
            _ = Deployable(wrong, "i").name
    with pytest.raises(NotFound):
        plan_manifests(released.project, "nosuch", "k8s", tmp_path)
    with pytest.raises(NotFound):
        plan_manifests(released.project, "delay", "k8s", tmp_path, model="late/9")
    folder = tmp_path / "out"
    folder.mkdir()
    (folder / "README.md").write_text("mine")
    with pytest.raises(Conflict):
        write_manifests(plan_manifests(released.project, "delay", "k8s", folder))
    assert [path.name for path in folder.iterdir()] == ["README.md"]


@pytest.mark.parametrize("namespace", ["Bad_NS", "", "-a", "a-", "a.b", "x" * 64, "a\n"])
def test_a_namespace_that_no_cluster_takes_is_refused(namespace: str) -> None:
    with pytest.raises(Invalid) as caught:
        Deployable("delay", "i", namespace)
    assert caught.value.code == "serving.bad_namespace"


@pytest.mark.parametrize(
    "image", ["bad image;rm", "", "Upper", "a:", "a@sha256:12", "/a", "a//b", "a:b/c:d", "a\n", "x" * 256]
)
def test_an_image_that_is_none_is_refused(image: str) -> None:
    with pytest.raises(Invalid) as caught:
        Deployable("delay", image)
    assert caught.value.code == "serving.bad_image"


def test_images_and_namespaces_as_people_write_them_are_taken() -> None:
    digest = "sha256:" + "0f" * 32
    for image in ("i", "a/b__c.d-e:v1.2", "localhost:5000/a:latest", f"Registry.example.org/a/b@{digest}"):
        assert Deployable("delay", image, "ns-1").image == image


def test_the_image_has_what_its_user_writes_to_and_git_only_where_a_package_needs_it(
    released: Sample,
) -> None:
    def dockerfile() -> str:
        return plan_manifests(released.project, "delay", "k8s", released.root / "out").files["Dockerfile"]

    assert "chown 10001:10001 /app/.penstock /artifacts" in dockerfile()
    (released.root / "requirements.txt").write_text("# git+https://example.org/no\nnumpy\n-r more.txt\n")
    assert "install --yes --no-install-recommends git" not in dockerfile()
    (released.root / "more.txt").write_text("tool @ git+https://example.org/tool\n")
    text = dockerfile()
    assert text.index("--no-install-recommends git") < text.index("pip install -r requirements.txt")
