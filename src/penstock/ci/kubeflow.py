"""Kubeflow Pipelines: a pipeline of `dvc.yaml` as KFP v2's intermediate representation, a component a stage.

What a stage makes goes through the remote and the run cache, so Kubeflow's own cache is off: it knows no content, only
names. From component to component goes a small file, the *state*: the lock entries of the stages that ran, and the
outputs that the remote does not keep (`cache: false`).
Source: kubeflow/pipelines `api/v2alpha1/pipeline_spec.proto`, and its `kubernetes_executor_config.proto`.
"""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import yaml

from penstock.base.errors import Invalid

PIPELINE_FILE = "penstock-kubeflow.yaml"
SECRET = "penstock"
"""The Kubernetes secret whose keys are the variables of the components."""
JUDGE = "gate"
_SCHEMA = "2.1.0"
_SDK = "kfp-2.17.3"
_ABSOLUTE = "/*) ;; *)"
_HEAD = "# Made by `penstock ci init kubeflow`; run it again after changing dvc.yaml or penstock.yaml.\n"


@dataclass(frozen=True)
class Component:
    """A stage by its address, with the addresses of the stages that make what it reads, and what its pod asks for."""

    address: str
    after: tuple[str, ...] = ()
    cpus: float = 0.0
    memory_bytes: int = 0
    gpus: int = 0

    @property
    def resources(self) -> dict[str, Any]:
        """What it asks for as the container's resources; empty where it asks for nothing."""
        asked: dict[str, Any] = {}
        if self.cpus:
            asked["resourceCpuRequest"] = f"{self.cpus:g}"
        if self.memory_bytes:
            asked["resourceMemoryRequest"] = asked["resourceMemoryLimit"] = str(self.memory_bytes)
        if self.gpus:
            asked["accelerator"] = {"resourceType": "nvidia.com/gpu", "resourceCount": str(self.gpus)}
        return asked


@dataclass(frozen=True)
class KubeflowPipeline:
    """What is compiled.

    Args:
        install: commands that make the image fit for it; none where it is.
        root: where the project lies in the repository.
        repository: what to clone when a run does not say so.
        secrets: names of environment variables that come from the Kubernetes secret.
        is_judged: whether the gate comes last and what passes is registered.
    """

    name: str
    image: str
    components: tuple[Component, ...]
    install: tuple[str, ...] = ()
    root: str = "."
    repository: str | None = None
    secrets: tuple[str, ...] = ()
    is_judged: bool = False


def render_kubeflow(pipeline: KubeflowPipeline) -> str:
    """Render the pipeline as YAML that Kubeflow takes; same pipeline, same bytes."""
    names = task_names([component.address for component in pipeline.components])
    tasks = [
        _Task(names[one.address], one.address, tuple(names[other] for other in one.after), one.resources)
        for one in pipeline.components
    ]
    if pipeline.is_judged:
        needed = {name for task in tasks for name in task.after}
        last = tuple(task.name for task in tasks if task.name not in needed)
        tasks.append(_Task(_free(JUDGE, {task.name for task in tasks}), None, last))
    spec = {
        "components": {f"comp-{task.name}": _component(task) for task in tasks},
        "deploymentSpec": {
            "executors": {f"exec-{task.name}": {"container": _container(pipeline, task)} for task in tasks}
        },
        "pipelineInfo": {"name": _slug(pipeline.name)},
        "root": {
            "dag": {"tasks": {task.name: _wiring(task) for task in tasks}},
            "inputDefinitions": {"parameters": _inputs(pipeline)},
        },
        "schemaVersion": _SCHEMA,
        "sdkVersion": _SDK,
    }
    texts = [yaml.safe_dump(spec, sort_keys=True, width=100)]
    if pipeline.secrets:
        executors = {f"exec-{task.name}": {"secretAsEnv": _variables(pipeline.secrets)} for task in tasks}
        platforms = {"platforms": {"kubernetes": {"deploymentSpec": {"executors": executors}}}}
        texts.append(yaml.safe_dump(platforms, sort_keys=True, width=100))
    return _HEAD + "---\n".join(texts)


def task_names(addresses: Sequence[str]) -> dict[str, str]:
    """Return what each stage is called in Kubeflow, where names are lower case letters, digits and dashes.

    Example:
        >>> task_names(["train", "sub/dvc.yaml:train", "each@A_b", "each@a-b"])
        {'train': 'train', 'sub/dvc.yaml:train': 'sub-train', 'each@A_b': 'each-a-b', 'each@a-b': 'each-a-b-2'}
    """
    names: dict[str, str] = {}
    for address in addresses:
        names[address] = _free(_slug(address.replace("dvc.yaml:", "")), set(names.values()))
    return names


def executor_output(call: str) -> tuple[str, bytes]:
    """Return the file in which Kubeflow's launcher expects to be told of a component's artifacts, and its content.

    Args:
        call: what Kubeflow puts for `{{$}}`, its `ExecutorInput` as JSON.

    Raises:
        Invalid: it is none.
    """
    try:
        outputs = json.loads(call)["outputs"]
        made = {name: _places(listed["artifacts"]) for name, listed in outputs["artifacts"].items()}
        return str(outputs["outputFile"]), json.dumps({"artifacts": made}).encode()
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise Invalid(
            f"this is not what Kubeflow tells its components: {error!r}", code="ci.bad_executor_input"
        ) from None


def _places(artifacts: Sequence[dict[str, Any]]) -> dict[str, Any]:
    return {
        "artifacts": [{"name": one.get("name", ""), "uri": one["uri"], "metadata": {}} for one in artifacts]
    }


@dataclass(frozen=True)
class _Task:
    name: str
    address: str | None
    after: tuple[str, ...]
    resources: dict[str, Any] = field(default_factory=dict)

    @property
    def states(self) -> dict[str, str]:
        """The states it takes, as inputs by the task that gives them."""
        return {name: f"state_{name.replace('-', '_')}" for name in self.after}


def _component(task: _Task) -> dict[str, Any]:
    parameters = {name: {"parameterType": "STRING"} for name in ("repository", "revision")}
    inputs: dict[str, Any] = {"parameters": parameters}
    if task.after:
        inputs["artifacts"] = {name: _artifact("Artifact") for name in task.states.values()}
    made = {"state": _artifact("Artifact")} if task.address else {"report": _artifact("Markdown")}
    return {
        "executorLabel": f"exec-{task.name}",
        "inputDefinitions": inputs,
        "outputDefinitions": {"artifacts": made},
    }


def _artifact(kind: str) -> dict[str, Any]:
    return {"artifactType": {"schemaTitle": f"system.{kind}", "schemaVersion": "0.0.1"}}


def _container(pipeline: KubeflowPipeline, task: _Task) -> dict[str, Any]:
    made = "state" if task.address else "report"
    args = [
        "{{$.inputs.parameters['repository']}}",
        "{{$.inputs.parameters['revision']}}",
        "{{$}}",
        f"{{{{$.outputs.artifacts['{made}'].path}}}}",
        *(f"{{{{$.inputs.artifacts['{name}'].path}}}}" for name in task.states.values()),
    ]
    container = {
        "image": pipeline.image,
        "command": ["sh", "-ec", _script(pipeline, task), "sh"],
        "args": args,
    }
    return {**container, **({"resources": task.resources} if task.resources else {})}


def _script(pipeline: KubeflowPipeline, task: _Task) -> str:
    what = f"stage {shlex.quote(task.address)}" if task.address else "finish"
    return "\n".join(
        (
            "# kfp.local's SubprocessRunner takes only what names kfp.dsl.executor_main; nothing of kfp is needed here.",
            'repository="$1" revision="$2" call="$3" made="$4"; shift 4',
            'tree="$(mktemp -d)"; trap \'rm -rf "$tree"\' EXIT',
            f'case "$made" in {_ABSOLUTE} made="$PWD/$made" ;; esac; mkdir -p "$(dirname "$made")"',
            'for state in "$@"; do',
            f'  case "$state" in {_ABSOLUTE} state="$PWD/$state" ;; esac',
            '  shift; set -- "$@" --given "$state"',
            "done",
            'git clone --quiet --no-checkout -- "$repository" "$tree"',
            'git -C "$tree" -c advice.detachedHead=false checkout --quiet "$revision"',
            f'cd "$tree"/{shlex.quote(pipeline.root)}',
            *pipeline.install,
            f'penstock ci {what} "$@" --made "$made" --executor-input "$call"',
        )
    )


def _wiring(task: _Task) -> dict[str, Any]:
    inputs: dict[str, Any] = {
        "parameters": {name: {"componentInputParameter": name} for name in ("repository", "revision")}
    }
    wired: dict[str, Any] = {
        "cachingOptions": {},
        "componentRef": {"name": f"comp-{task.name}"},
        "inputs": inputs,
        "taskInfo": {"name": task.address or JUDGE},
    }
    if task.after:
        wired["dependentTasks"] = sorted(task.after)
        inputs["artifacts"] = {
            name: {"taskOutputArtifact": {"outputArtifactKey": "state", "producerTask": producer}}
            for producer, name in task.states.items()
        }
    return wired


def _variables(names: Sequence[str]) -> list[dict[str, Any]]:
    return [
        {"secretName": SECRET, "optional": True, "keyToEnv": [{"secretKey": name, "envVar": name}]}
        for name in names
    ]


def _inputs(pipeline: KubeflowPipeline) -> dict[str, Any]:
    repository: dict[str, Any] = {"parameterType": "STRING", "description": "what git clones"}
    if pipeline.repository is not None:
        repository |= {"defaultValue": pipeline.repository, "isOptional": True}
    revision = {
        "parameterType": "STRING",
        "description": "the commit, branch or tag",
        "defaultValue": "HEAD",
        "isOptional": True,
    }
    return {"repository": repository, "revision": revision}


def _slug(text: str) -> str:
    return re.sub("[^a-z0-9]+", "-", text.lower()).strip("-") or "stage"


def _free(name: str, taken: set[str]) -> str:
    found, number = name, 1
    while found in taken:
        number += 1
        found = f"{name}-{number}"
    return found
