"""What `restore` brings back, where it puts it, and what it says it could not."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import skops.io
from click.testing import CliRunner
from sklearn.linear_model import LogisticRegression

import penstock as client
from penstock.base.errors import Conflict, Invalid, NotFound
from penstock.cli.main import cli
from penstock.flows.chain.restoring import restore
from penstock.flows.ci.continuous import run_ci
from penstock.flows.models.provenance import write_locks
from penstock.flows.models.registering import register_model
from penstock.flows.pipelines.execution import reproduce_and_record
from penstock.workspace import open_workspace
from projects import Sample


def penstock(root: Path, *arguments: str, code: int = 0) -> str:
    done = CliRunner(env={"PENSTOCK_ACTOR": "person:ada"}).invoke(cli, ["-C", str(root), *arguments])
    assert done.exit_code == code, done.output + repr(done.exception)
    return done.stdout


def restored(sample: Sample, subject: str, into: Path, code: int = 0) -> Any:
    return json.loads(penstock(sample.root, "--json", "restore", subject, "--into", str(into), code=code))


def forget(sample: Sample) -> None:
    """Lose everything that the cache holds."""
    sample.close()
    sample.__dict__.pop("project", None)
    shutil.rmtree(sample.root / ".dvc/cache")


def files(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if ".git" not in path.parts}


def test_a_run_is_restored_with_what_was_not_committed(trained: Sample, tmp_path: Path) -> None:
    source = (trained.root / "train.py").read_text()
    trained.write("train.py", source.replace("max_iter=1000", "max_iter=7"))
    (trained.root / ".env").write_text("SECRET=1\n")
    made = reproduce_and_record(trained.project).run
    assert made is not None
    metrics = (trained.root / "metrics.json").read_bytes()
    trained.git.run("checkout", "--quiet", ".")
    (trained.root / ".env").unlink()
    told = restored(trained, made.id[:10], tmp_path / "r")
    assert "max_iter=7" in (tmp_path / "r/train.py").read_text()
    assert (tmp_path / "r/metrics.json").read_bytes() == metrics
    assert (told["uncommitted"], told["missing"], told["version"]) == ([".env", "train.py"], [], None)
    assert reproduce_and_record(open_workspace(tmp_path / "r", {})).is_up_to_date
    text = penstock(trained.root, "restore", made.id, "--into", str(tmp_path / "again"))
    assert "uncommitted  .env, train.py: as kept in the artifact store" in text
    assert "Files that git ignored are not kept" in text
    shown = penstock(trained.root, "run", "show", made.id)
    assert "changed  .env\nchanged  train.py\n" in shown


def test_a_commit_is_restored_as_committed_though_a_version_of_it_is_not(
    trained: Sample, tmp_path: Path
) -> None:
    trained.write("params.yaml", "features: [hour, wind, carrier]\nstrength: 2.0\n")
    reproduce_and_record(trained.project)
    version, _ = register_model(trained.project)
    assert version.provenance.commit is not None
    told = restored(trained, version.provenance.commit, tmp_path / "r")
    assert "strength: 1.0" in (tmp_path / "r/params.yaml").read_text()
    assert told["version"] is None
    assert "penstock restore late/1 has them" in told["notes"][0]


def test_outputs_that_are_lost_are_named_and_the_rest_is_there(sample: Sample, tmp_path: Path) -> None:
    (sample.root / "metrics.json").write_text('{"roc_auc": 0.5}')
    sample.commit("Old metrics")
    assert run_ci(sample.project).version == "late/1"
    raw = sample.project.data.root / "data/raw.csv"
    kept = raw.read_text()
    forget(sample)
    told = restored(sample, "late/1", tmp_path / "r", code=1)
    what = {one["what"]: one["hint"] for one in told["missing"]}
    again = f"penstock -C {tmp_path / 'r'} repro makes it again"
    assert what == {
        "metrics.json is as committed, not as it was made then: its content is not in the cache": again,
        "data/test.csv, data/train.csv are neither in the cache nor on the remote: no remote is configured": again,
        "data/raw.csv is neither in the cache nor on the remote: no remote is configured": (
            "penstock push data/raw.csv, where it was added"
        ),
    }
    assert told["model"] == "models/late"
    assert (tmp_path / "r/models/late/MLmodel").is_file()
    (tmp_path / "r/data/raw.csv").write_text(kept)
    assert "missing      metrics.json is as committed" in penstock(
        sample.root, "restore", "late/1", "--into", str(tmp_path / "again"), code=1
    )


@pytest.mark.parametrize("where", ["../bm", "absolute", "bm", "models/late"])
def test_a_model_from_elsewhere_is_put_into_the_tree_and_told(
    trained: Sample, tmp_path: Path, where: str
) -> None:
    folder = tmp_path / "elsewhere" if where == "absolute" else (trained.root / where).resolve()
    if where != "models/late":
        shutil.copytree(trained.root / "models/late", folder)
        (folder / "notes.txt").write_text("from elsewhere")
    if where == "bm":
        trained.write(".gitignore", "bm\n")
        trained.commit("Ignore it")
    version, _ = register_model(trained.project, "net", str(folder) if where == "absolute" else where)
    shutil.rmtree(folder)
    outer = tmp_path / "outer"
    outer.mkdir()
    told = restored(trained, "net/1", outer / "r")
    assert told["model"] == {"bm": "bm", "models/late": "models/late"}.get(where, "net-1")
    registered = [one for one in told["notes"] if one.startswith("net/1 was registered at commit ")]
    assert len(registered) == (where != "models/late"), told["notes"]
    assert all("no stage of the pipeline made " in one for one in registered)
    assert (told["model"] == "net-1") == (len(told["notes"]) > len(registered)), told["notes"]
    names = {file.path for file in version.manifest.files}
    assert files(outer / "r" / told["model"]) == names
    assert [path.name for path in outer.iterdir()] == ["r"]
    status = ["git", "-C", str(outer / "r"), "status", "--porcelain"]
    assert subprocess.run(status, capture_output=True, text=True, check=True).stdout == ""
    assert not folder.exists() or where == "models/late"


def test_an_upload_is_put_into_the_tree_and_told(
    trained: Sample, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(trained.root)
    with client.start_run("upload"):
        client.log_model(str(trained.root / "models/late"), registered_model_name="net")
    told = restored(trained, "net/1", tmp_path / "r")
    assert told["model"] == "net-1"
    assert files(tmp_path / "r/net-1") == files(trained.root / "models/late")


def test_a_taken_path_keeps_what_the_commit_has(trained: Sample, tmp_path: Path) -> None:
    shutil.copytree(trained.root / "models/late", trained.root / "bm")
    version, _ = register_model(trained.project, "net", "bm")
    assert version.provenance.commit is not None
    (trained.root / "bm/notes.txt").write_text("another")
    commit = trained.commit("Another content there")
    with trained.project.database.write() as connection:
        connection.exec_driver_sql(
            "UPDATE model_versions SET \"commit\" = ?, provenance = json_set(provenance, '$.commit', ?, '$.dirty_digest', null)",
            (commit, commit),
        )
    told = restored(trained, "net/1", tmp_path / "r")
    assert told["model"] == "net-1"
    assert told["notes"] == ["bm, from which net/1 was registered, is another model here"]
    assert (tmp_path / "r/bm/notes.txt").exists()


def test_a_model_that_is_a_file_is_a_file_again(trained: Sample, tmp_path: Path) -> None:
    lone = trained.root / "lone.skops"
    skops.io.dump(LogisticRegression().fit([[0.0], [1.0]], [0, 1]), lone)
    trained.write(".gitignore", "lone.skops\n")
    trained.commit("Ignore it")
    register_model(trained.project, "net", "lone.skops")
    content = lone.read_bytes()
    lone.unlink()
    told = restored(trained, "net/1", tmp_path / "r")
    assert told["model"] == "lone.skops"
    assert (tmp_path / "r/lone.skops").read_bytes() == content


def test_a_deleted_version_is_restored_and_told_to_be_deleted(released: Sample, tmp_path: Path) -> None:
    register_model(released.project, "net", "models/late")
    penstock(released.root, "model", "delete", "-f", "net/1")
    told = restored(released, "net/1", tmp_path / "r")
    assert (told["version"], told["model"]) == ("net/1", "models/late")
    assert told["notes"][0].startswith("net/1 was deleted ") and told["notes"][0].endswith(" by person:ada")


def test_a_file_that_git_ignored_is_told_to_be_missing(trained: Sample, tmp_path: Path) -> None:
    trained.write(
        "dvc.yaml",
        (trained.root / "dvc.yaml").read_text().replace("- split.py", "- split.py\n      - rules.txt"),
    )
    (trained.root / "rules.txt").write_text("1")
    trained.write(".gitignore", "rules.txt\n")
    trained.commit("Ignore what is read")
    reproduce_and_record(trained.project)
    trained.commit("Train")
    told = restored(trained, "HEAD", tmp_path / "r", code=1)
    assert [one["what"] for one in told["missing"]] == [
        "rules.txt, which stage split reads, is kept nowhere: it was neither in git nor tracked"
    ]


def test_a_commit_that_is_not_here_is_named_with_how_to_get_it(released: Sample, tmp_path: Path) -> None:
    released.write("more.txt", "1")
    released.commit("More")
    shallow = tmp_path / "shallow"
    released.git.run("clone", "--quiet", "--depth", "1", f"file://{released.root}", str(shallow))
    shutil.copytree(released.root / ".penstock", shallow / ".penstock")
    released.close()
    project = open_workspace(shallow, {})
    with pytest.raises(NotFound, match=r"does not have commit [0-9a-f]{10}, which late/1 leads to") as caught:
        restore(project, "late/1", tmp_path / "r")
    assert "git fetch --unshallow origin" in str(caught.value.hint)
    assert "penstock model download late/1" in str(caught.value.hint)
    assert not (tmp_path / "r").exists()


def test_an_experiment_is_restored_by_its_name(trained: Sample, tmp_path: Path) -> None:
    penstock(trained.root, "exp", "run", "--temp", "-n", "weak", "-S", "strength=0.5")
    told = restored(trained, "weak", tmp_path / "r")
    assert told["missing"] == []
    assert "strength: 0.5" in (tmp_path / "r/params.yaml").read_text()
    runs = json.loads(penstock(trained.root, "--json", "run", "list"))
    run = next(one for one in runs if one["params"].get("strength") == "0.5")
    restored(trained, run["id"], tmp_path / "r2")
    assert "strength: 0.5" in (tmp_path / "r2/params.yaml").read_text()
    assert (tmp_path / "r2/metrics.json").read_bytes() == (tmp_path / "r/metrics.json").read_bytes()


def test_nothing_is_written_through_a_link_out_of_the_directory(trained: Sample, tmp_path: Path) -> None:
    trained.write(
        "dvc.yaml", (trained.root / "dvc.yaml").read_text().replace("metrics.json", "reports/metrics.json")
    )
    source = (trained.root / "train.py").read_text()
    trained.write("train.py", source.replace("metrics.json", "reports/metrics.json"))
    (trained.root / "reports").mkdir()
    reproduce_and_record(trained.project)
    shutil.rmtree(trained.root / "reports")
    (trained.root / "reports").symlink_to("../shared")
    commit = trained.commit("Share the reports")
    shared = tmp_path / "shared/metrics.json"
    shared.parent.mkdir()
    shared.write_text("of somebody else")
    told = restored(trained, commit, tmp_path / "r", code=1)
    assert shared.read_text() == "of somebody else"
    (missing,) = (one["what"] for one in told["missing"])
    assert missing == (
        "reports/metrics.json is not as it was made then: reports is a symbolic link: nothing is written through it"
    )


def test_neither_locks_nor_the_caches_place_are_written_through_a_link(
    trained: Sample, tmp_path: Path
) -> None:
    shared = tmp_path / "shared"
    shared.mkdir()
    (tmp_path / "one").mkdir()
    (tmp_path / "one/sub").symlink_to(shared)
    with pytest.raises(Invalid, match="is not a lock of this repository"):
        write_locks(tmp_path / "one", b'{"sub/dvc.lock": "schema"}')
    shutil.copytree(trained.root / ".dvc", shared, dirs_exist_ok=True, ignore=shutil.ignore_patterns("cache"))
    trained.git.run("rm", "--quiet", "-r", "--cached", ".dvc")
    (trained.root / ".dvc").rename(tmp_path / "away")
    (trained.root / ".dvc").symlink_to("../shared")
    commit = trained.commit("Share the configuration")
    (trained.root / ".dvc").unlink()
    (tmp_path / "away").rename(trained.root / ".dvc")
    with pytest.raises(Conflict, match="is a symbolic link"):
        restore(trained.project, commit, tmp_path / "r")
    assert not (shared / "config.local").exists() and not (tmp_path / "r").exists()


def test_a_version_made_before_its_commit_is_told_as_such(trained: Sample, tmp_path: Path) -> None:
    version, _ = register_model(trained.project)
    assert restored(trained, version.ref, tmp_path / "r")["notes"] == []
    trained.write("params.yaml", "features: [hour, wind, carrier]\nstrength: 2.0\n")
    commit = trained.commit("Another strength, which nobody trained with")
    stale, _ = register_model(trained.project, "late2", "models/late")
    for subject in (stale.ref, commit):
        (note,) = restored(trained, subject, tmp_path / subject.replace("/", "-"))["notes"]
        told = f"late2/1 was made before commit {commit[:10]}, whose code and data may be others: "
        assert note.startswith(told), note
        assert "dvc.lock was not in step with params.yaml:strength when late2/1 was registered" in note
