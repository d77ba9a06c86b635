"""The pipeline for Kubeflow loads in the real SDK, and its components really run, each in a clone of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest
import yaml

from penstock.base.errors import Invalid, Refused
from penstock.ci.kubeflow import Component, KubeflowPipeline, render_kubeflow
from penstock.flows.ci.components import run_component
from penstock.flows.ci.files import apply_ci_file, plan_ci_file
from penstock.workspace import open_workspace
from projects import Sample
from servers.forking import run_penstock

KFP = os.environ.get("PENSTOCK_KFP_PYTHON")
DRIVER = """\
import json, sys, yaml
from google.protobuf import json_format
from kfp import components, local
from kfp.kubernetes import kubernetes_executor_config_pb2 as kubernetes
file, root, repository, out = sys.argv[1:]
platforms = list(yaml.safe_load_all(open(file)))[1]
for executor in platforms["platforms"]["kubernetes"]["deploymentSpec"]["executors"].values():
    json_format.ParseDict(executor, kubernetes.KubernetesExecutorConfig())
pipeline = components.load_component_from_file(file)
local.init(runner=local.SubprocessRunner(use_venv=False), pipeline_root=root, raise_on_error=False)
done = pipeline(repository=repository)
spec = pipeline.pipeline_spec
json.dump({"tasks": sorted(spec.root.dag.tasks), "cached": [t.caching_options.enable_cache for t in spec.root.dag.tasks.values()]}, open(out, "w"))
"""


def shared(sample: Sample, tmp_path: Path) -> None:
    """Give the project a remote, with its data on it, and a container image."""
    assert run_penstock(sample.root, "remote", "add", "-d", "storage", tmp_path / "storage").returncode == 0
    definition = sample.root / "dvc.yaml"
    asked = "  train:\n    meta: {penstock: {resources: {cpus: 2, memory: 1GB}, retries: 1}}\n"
    definition.write_text(definition.read_text().replace("  train:\n", asked))
    settings = sample.root / "penstock.yaml"
    settings.write_text(
        settings.read_text().replace('  tests: "true"', '  tests: "true"\n  image: registry/python-late:1')
    )
    assert run_penstock(sample.root, "push").returncode == 0
    sample.commit("Name the remote and the image")


@pytest.mark.slow
@pytest.mark.skipif(KFP is None, reason="make test installs Kubeflow's SDK")
def test_the_pipeline_runs_under_kubeflows_own_local_runner(sample: Sample, tmp_path: Path) -> None:
    shared(sample, tmp_path)
    plan = plan_ci_file(sample.project, "kubeflow", is_self_hosted=True)
    apply_ci_file(plan)
    driver = tmp_path / "driver.py"
    driver.write_text(DRIVER)
    store = tmp_path / "store"
    environment = {
        **os.environ,
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "PENSTOCK_STORE": f"sqlite:///{store}.db",
        "PENSTOCK_ARTIFACTS": str(store),
    }

    def run(name: str) -> tuple[dict[str, object], str]:
        out, root = tmp_path / f"{name}.json", tmp_path / f"root of {name}"
        command = [str(KFP), str(driver), str(plan.path), str(root), str(sample.root), str(out)]
        done = subprocess.run(
            command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return json.loads(out.read_text()), done.stdout + done.stderr

    first, said = run("first")
    assert first == {"tasks": ["gate", "split", "train"], "cached": [False, False, False]}
    assert "split: ran" in said
    assert "train: ran" in said
    assert "late/1 registered" in said
    report = next((tmp_path / "root of first").rglob("report"))
    assert "✅ sample: passed" in report.read_text()
    settings = sample.root / "penstock.yaml"
    settings.write_text(settings.read_text().replace("min: 0.6", "min: 0.999"))
    sample.commit("Ask for more")
    _, said = run("refused")
    assert "split: restored" in said
    assert "train: restored" in said
    assert "failed  gate" in said
    assert "❌ sample: refused" in next((tmp_path / "root of refused").rglob("report")).read_text()
    assert "finished with status \x1b[91mFAILURE" in said


@pytest.mark.usefixtures("published")
def test_the_same_project_gives_the_same_bytes_and_a_run_its_own_words(
    sample: Sample, tmp_path: Path
) -> None:
    with closing(open_workspace(sample.root)) as project, pytest.raises(Refused, match="default remote"):
        plan_ci_file(project, "kubeflow")
    shared(sample, tmp_path)
    plan = plan_ci_file(sample.project, "kubeflow", is_self_hosted=True)
    assert plan.text == plan_ci_file(sample.project, "kubeflow", is_self_hosted=True).text
    assert "repository" in " ".join(plan.notes)
    for url, expected in (
        ("https://me:secret@example.org/a/late.git", "https://example.org/a/late.git"),
        ("ssh://git:secret@example.org:22/late.git", "ssh://git@example.org:22/late.git"),
        ("git@example.org:a/late.git", "git@example.org:a/late.git"),
        (str(tmp_path), None),
        (f"file://{tmp_path}", None),
    ):
        sample.project.git.run("config", "remote.origin.url", url)
        text = plan_ci_file(sample.project, "kubeflow", is_self_hosted=True).text
        found = next(yaml.safe_load_all(text))["root"]["inputDefinitions"]["parameters"]["repository"]
        assert found.get("defaultValue") == expected
        assert "secret@" not in text


def test_odd_names_of_stages_and_places_are_kept_apart_and_quoted() -> None:
    pipeline = KubeflowPipeline(
        name="Späte Flüge",
        image="python:3.11",
        components=(
            Component("a@x y", cpus=2.5, memory_bytes=2**30, gpus=1),
            Component("a@x-y", ("a@x y",)),
            Component("gate", ("a@x-y",)),
        ),
        install=("pip install x",),
        root="my models",
        is_judged=True,
    )
    spec = yaml.safe_load(render_kubeflow(pipeline))
    tasks = spec["root"]["dag"]["tasks"]
    assert sorted(tasks) == ["a-x-y", "a-x-y-2", "gate", "gate-2"]
    assert tasks["gate-2"]["dependentTasks"] == ["gate"]
    assert spec["deploymentSpec"]["executors"]["exec-a-x-y"]["container"]["resources"] == {
        "resourceCpuRequest": "2.5",
        "resourceMemoryRequest": str(2**30),
        "resourceMemoryLimit": str(2**30),
        "accelerator": {"resourceType": "nvidia.com/gpu", "resourceCount": "1"},
    }
    assert "resources" not in spec["deploymentSpec"]["executors"]["exec-gate"]["container"]
    script = spec["deploymentSpec"]["executors"]["exec-a-x-y"]["container"]["command"][2]
    assert subprocess.run(["sh", "-n", "-c", script], check=False).returncode == 0
    assert "cd \"$tree\"/'my models'\npip install x\npenstock ci stage 'a@x y'" in script


def test_a_state_writes_nothing_but_what_a_stage_makes(sample: Sample, tmp_path: Path) -> None:
    state, made = tmp_path / "state", tmp_path / "made"
    for text in (
        "no JSON",
        '{"files": {"split.py": ""}}',
        '{"files": {"metrics.json/../split.py": ""}}',
        '{"files": {"metrics.json": "*"}}',
    ):
        state.write_text(text)
        before = (sample.root / "split.py").read_bytes()
        with pytest.raises(Invalid, match="state"):
            run_component(sample.project, "split", [state], made)
        assert (sample.root / "split.py").read_bytes() == before
        assert not made.exists()


def test_an_image_that_is_none_is_refused_where_it_is_used(sample: Sample, tmp_path: Path) -> None:
    shared(sample, tmp_path)
    settings = sample.root / "penstock.yaml"
    for wrong in ("Upper/Case:1", "a b", "x:"):
        settings.write_text(settings.read_text().replace("registry/python-late:1", f'"{wrong}"'))
        with closing(open_workspace(sample.root)) as project:
            assert project.settings.ci.image == wrong  # other commands go on
            with pytest.raises(Invalid, match="no reference of a container image"):
                plan_ci_file(project, "kubeflow", is_self_hosted=True)
        settings.write_text(settings.read_text().replace(f'"{wrong}"', "registry/python-late:1"))
