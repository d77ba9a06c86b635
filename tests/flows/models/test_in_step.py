"""Where a lock is in step with the files here and yet is not what the commit's pointers name, or cannot be compared."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from penstock.base.files import remove_path
from penstock.base.git import Git
from penstock.data.cache.hashing import hash_path
from penstock.data.verbs.creation import init_repository
from penstock.flows.models.evidence.made import Made, made_from
from penstock.flows.models.registering import register_model
from penstock.flows.pipelines.execution import reproduce_and_record
from penstock.pipeline.running.reproducing import ReproduceOptions
from penstock.pipeline.targets import Selection
from projects import Sample, rows
from tables import table

DVC_YAML = """\
stages:
  first:
    cmd: cat data/raw.csv more.csv code.txt > middle
    deps: [data/raw.csv, more.csv, code.txt]
    outs: [middle]
  second:
    cmd: mkdir -p out && cp middle out/model
    deps: [middle]
    outs: [out]
"""
OTHER = "(data.dvc has another content: penstock checkout)"


@pytest.fixture
def chain(tmp_path: Path) -> Iterator[Sample]:
    """Two stages that read a file in a tracked directory, a tracked file and one that git holds."""
    sample = Sample(tmp_path / "chain")
    (sample.root / "data").mkdir(parents=True)
    files = {
        "penstock.yaml": "project: chain\n",
        "dvc.yaml": DVC_YAML,
        "data/raw.csv": "a\n1\n",
        "data/notes.txt": "notes\n",
        "more.csv": "b\n2\n",
        "code.txt": "code\n",
    }
    for name, text in files.items():
        sample.write(name, text)
    git = Git(sample.root)
    git.run("init", "--quiet", "--initial-branch", "main")
    git.run("config", "user.name", "Ada")
    git.run("config", "user.email", "ada@example.org")
    init_repository(sample.root)
    sample.add("data")
    sample.add("more.csv")
    reproduce_and_record(sample.project)
    sample.commit("Train")
    yield sample
    sample.close()


def made(sample: Sample) -> Made:
    found = made_from(sample.project, "out/model")
    assert found is not None
    return found


def md5(sample: Sample, name: str) -> str:
    return f"md5:{hash_path(sample.project.data, sample.root / name).md5}"


def pull_only_pointers(sample: Sample, name: str, *tracked: str) -> None:
    """Commit other data as another clone would, and leave the files here as they were: `git pull` without a checkout."""
    before = sample.root / "before"
    place = sample.root / (tracked[0] if tracked else name)
    (shutil.copytree if place.is_dir() else shutil.copyfile)(place, before)
    sample.write(name, "a\n5\n6\n")
    sample.add(tracked[0] if tracked else name)
    remove_path(place)
    before.rename(place)
    sample.commit("Other data")


def test_what_was_made_from_the_commits_data_is_in_step(chain: Sample) -> None:
    found = made(chain)
    assert (found.stale, found.unseen) == ((), ())
    assert found.data == {"data": md5(chain, "data"), "more.csv": md5(chain, "more.csv")}


def test_a_pointer_that_was_pulled_without_its_file_is_out_of_step(chain: Sample) -> None:
    before = made(chain).data
    pull_only_pointers(chain, "more.csv")
    assert chain.git.run("status", "--porcelain") == ""
    found = made(chain)
    assert found.stale == ("more.csv (more.csv.dvc has another content: penstock checkout)",)
    assert found.data == before


def test_a_directorys_pointer_that_was_pulled_alone_is_not_named_as_what_was_read(chain: Sample) -> None:
    pull_only_pointers(chain, "data/raw.csv", "data")
    found = made(chain)
    assert found.stale == (f"data/raw.csv {OTHER}",)
    assert found.data == {"data/raw.csv": md5(chain, "data/raw.csv"), "more.csv": md5(chain, "more.csv")}


def test_a_directory_is_out_of_step_with_the_pointer_of_a_file_in_it(chain: Sample) -> None:
    chain.write(
        "dvc.yaml",
        DVC_YAML.replace("[data/raw.csv, more.csv", "[parts, more.csv").replace("data/raw.csv", "parts/a"),
    )
    (chain.root / "parts").mkdir()
    chain.write("parts/a", "a\n")
    chain.add("parts/a")
    reproduce_and_record(chain.project)
    chain.commit("Parts")
    assert made(chain).data["parts/a"] == md5(chain, "parts/a")
    lock = (chain.root / "dvc.lock").read_text()
    pull_only_pointers(chain, "parts/a")
    assert (chain.root / "dvc.lock").read_text() == lock
    found = made(chain)
    assert found.stale[0].startswith("parts")
    assert "parts/a" not in found.data
    assert "parts" in found.data


@pytest.mark.parametrize(("name", "told"), [("data", "data/raw.csv"), ("code.txt", "code.txt")])
def test_what_is_not_here_and_cannot_be_compared_is_out_of_step(chain: Sample, name: str, told: str) -> None:
    remove_path(chain.root / name)
    found = made(chain)
    assert found.stale == (told,)
    assert ("data" in found.data) is (name != "data")


@table("name", ["more.csv", "middle"])
def test_what_is_not_here_counts_as_what_was_recorded_of_it(chain: Sample, name: str) -> None:
    before = made(chain)
    remove_path(chain.root / name)
    assert made(chain) == before


def test_a_lock_whose_earlier_stage_made_something_else_is_out_of_step(chain: Sample) -> None:
    middle = (chain.root / "middle").read_bytes()
    out = (chain.root / "out/model").read_bytes()
    chain.write("code.txt", "other\n")
    reproduce_and_record(chain.project, ReproduceOptions(selection=Selection(("first",))))
    remove_path(chain.root / "middle")
    (chain.root / "middle").write_bytes(middle)
    assert (chain.root / "out/model").read_bytes() == out
    chain.commit("The first stage alone")
    assert made(chain).stale == ("middle (dvc.yaml:first has another content: penstock checkout)",)


def test_a_model_in_an_output_directory_is_made_by_its_stage(trained: Sample) -> None:
    text = (trained.root / "dvc.yaml").read_text()
    trained.write("dvc.yaml", text.replace("- models/late", "- models"))
    trained.git.run("rm", "--quiet", "models/.gitignore")
    reproduce_and_record(trained.project)
    trained.commit("The whole directory")
    origin = register_model(trained.project)[0].provenance
    assert origin.output == md5(trained, "models/late")
    assert (origin.stale, origin.unseen, set(origin.data)) == ((), (), {"data/raw.csv"})
    assert origin.run_id is not None


def test_the_signed_origin_names_no_data_that_the_model_never_saw(trained: Sample) -> None:
    before = register_model(trained.project)[0].provenance.data
    old = (trained.root / "data/raw.csv").read_text()
    trained.write("data/raw.csv", rows(300, seed=7))
    trained.add("data/raw.csv")
    trained.write("data/raw.csv", old)
    trained.commit("More data")
    version, is_new = register_model(trained.project)
    assert is_new
    assert version.provenance.data == before
    assert version.provenance.stale[0].startswith("data/raw.csv (")
