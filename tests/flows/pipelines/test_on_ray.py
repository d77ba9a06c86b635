"""A pipeline that ran on a real Ray cluster left what it leaves on this machine; a killed worker is no failure."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from penstock.base.errors import Refused
from penstock.flows.pipelines.execution import reproduce_and_record
from penstock.pipeline.executors.catalogue import open_executor
from penstock.pipeline.executors.role import Executor
from penstock.pipeline.lockfile import load_lock
from penstock.pipeline.running.reproducing import ReproduceOptions
from projects import Sample
from servers.ray import ray_cluster

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def executor() -> Iterator[Executor]:
    with ray_cluster() as address:
        found = open_executor("ray", address)
        yield found
        found.close()


def actions(sample: Sample, executor: Executor | None, **options: object) -> dict[str, str]:
    asked = ReproduceOptions(executor=executor, jobs=2, **options)  # type: ignore[arg-type]
    return {item.stage: item.action for item in reproduce_and_record(sample.project, asked).results}


def test_a_pipeline_gives_the_same_there_and_here(trained: Sample, executor: Executor) -> None:
    here = load_lock(trained.root)
    assert actions(trained, executor, force=True) == {"split": "ran", "train": "ran"}
    there = load_lock(trained.root)
    assert there["split"] == here["split"]
    metrics = {item.path: item.hash.md5 for item in there["train"].outputs if item.path.endswith(".json")}
    assert metrics and metrics.items() <= {item.path: item.hash.md5 for item in here["train"].outputs}.items()
    assert actions(trained, None) == {"split": "up to date", "train": "up to date"}


def test_a_killed_worker_is_replaced_and_a_failure_is_not(sample: Sample, executor: Executor) -> None:
    once = sample.root.parent / "once"
    dies = f"[ -e {once} ] || {{ touch {once}; kill -9 $PPID; sleep 100; }}; cp data/raw.csv out"
    sample.write(
        "dvc.yaml", f"stages:\n  dies:\n    cmd: '{dies}'\n    deps: [data/raw.csv]\n    outs: [out]\n"
    )
    assert actions(sample, executor) == {"dies": "ran"}
    assert (sample.root / "out").read_text() == (sample.root / "data/raw.csv").read_text()
    sample.write(
        "dvc.yaml",
        "stages:\n  fails:\n    cmd: echo told; exit 7\n    deps: [data/raw.csv]\n    outs: [out]\n",
    )
    with pytest.raises(Refused, match=r"exited with 7$") as caught:
        actions(sample, executor)
    assert caught.value.fields["output"] == ["told"]
    large = "meta: {penstock: {resources: {cpus: 100}}}"
    sample.write("dvc.yaml", f"stages:\n  large:\n    cmd: 'true'\n    deps: [data/raw.csv]\n    {large}\n")
    with pytest.raises(Refused, match="the largest node of the cluster has 4 cpus"):
        actions(sample, executor)
