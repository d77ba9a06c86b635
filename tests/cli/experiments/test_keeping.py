"""What becomes of experiments: shown, listed, compared, applied, made branches, renamed, saved, removed, shared."""

from __future__ import annotations

import csv
import io
import json
import shlex
import subprocess
from pathlib import Path

from cli.conftest import Desk

FOLDER_STAGE = """\
  many:
    cmd: mkdir many && cp raw many/same && cp params.yaml many/rate
    deps: [raw, params.yaml]
    outs: [many]
"""


def names(desk: Desk) -> list[str]:
    return desk.run("exp", "list", "-A", "--name-only").stdout.split()


def test_experiments_are_shown_below_their_baselines(quick: Desk) -> None:
    quick.run("exp", "run", "--queue", "-S", "lr=0.9", "-n", "later")
    workspace, main = quick.json("exp", "show")
    assert (workspace["rev"], main["name"]) == ("workspace", "main")
    assert {one["name"]: one["executor"] and one["executor"]["state"] for one in main["experiments"]} == {
        "two": None, "one": None, "later": "queued"
    }  # fmt: skip
    (tip,) = main["experiments"][0]["revs"]
    assert tip["data"]["params"]["params.yaml"]["data"]["lr"] == 0.3 or tip["name"] == "one"
    rows = list(
        csv.DictReader(io.StringIO(quick.run("exp", "show", "--csv", "--sort-by", "metrics.yaml:lr").stdout))
    )
    assert [row["Experiment"] for row in rows] == ["", "", "one", "two", "later"]
    assert [row["State"] for row in rows] == ["", "", "", "", "Queued"]
    header = quick.run(
        "exp", "show", "--md", "--only-changed", "--hide-queued", "--drop", "Created"
    ).stdout.splitlines()[0]
    found = [word.strip() for word in header.strip("|").split("|")]
    assert found == [
        "Experiment", "metrics.yaml:lr", "metrics.yaml:net.depth", "params.yaml:lr", "params.yaml:net.depth"
    ]  # fmt: skip
    for words, code in {("--sort-by", "nothing"): 1, ("--sort-by", "lr"): 4, ("--rev", "nothing"): 1}.items():
        quick.run("exp", "show", *words, code=code)
    dirty = quick.run("exp", "show", "--hide-workspace", "--force", "--param-deps").stdout
    assert (
        "workspace" not in dirty and "note" in dirty
    )  # a metric, although no stage depends on the parameter


def test_an_entry_of_the_queue_that_cannot_be_read_is_named(quick: Desk) -> None:
    quick.git("update-ref", "refs/penstock/queue/foreign", "HEAD")
    quick.git("update-ref", f"refs/exps/{'0' * 2}/short/odd", "HEAD")  # DVC keeps other things there too
    assert "refs/penstock/queue/foreign" in quick.error("exp", "show")
    assert names(quick) == ["one", "two"]


def test_what_was_read_once_is_shown_the_same_when_read_anew(quick: Desk) -> None:
    shown = quick.json("exp", "show")
    kept = list((quick.root / ".dvc/tmp/penstock-experiments").rglob("*.json"))
    assert len(kept) == 3
    for path in kept:
        path.write_text("broken")
    assert quick.json("exp", "show") == shown == quick.json("exp", "show", "--force")


def test_a_metric_that_is_no_number_stays_one_when_it_is_shown_again(quick: Desk) -> None:
    quick.put({"params.yaml": "lr: 0.5\nnet: {depth: 3}\nnote: .nan\n"})
    quick.run("exp", "run", "--temp", "-n", "odd")
    for _again in range(2):
        shown = quick.run("exp", "show", "--csv").stdout
        (row,) = [one for one in csv.DictReader(io.StringIO(shown)) if one["Experiment"] == "odd"]
        assert (row["metrics.yaml:note"], row["params.yaml:note"]) == ("nan", "nan")


def test_experiments_are_compared_by_name(quick: Desk) -> None:
    found = quick.json("exp", "diff", "one", "two")
    assert found["params"]["params.yaml"]["net.depth"] == {"old": 3, "new": 4, "diff": 1}
    assert quick.json("metrics", "diff", "one", "two") == found["metrics"]
    assert quick.json("params", "diff", "one")["params.yaml"]["lr"]["new"] == 0.1
    assert "nothing" in quick.error("exp", "diff", "nothing")


def test_an_experiment_is_applied_and_what_it_overwrites_is_kept(quick: Desk) -> None:
    quick.run("exp", "apply", "two")
    assert quick.root.joinpath("model").read_text().startswith("lr: 0.3")
    assert quick.run("status").stdout.strip() == "Data and pipelines are up to date."
    assert quick.git("status", "--short").split() == [
        "M",
        "dvc.lock",
        "M",
        "metrics.yaml",
        "M",
        "params.yaml",
    ]
    assert quick.json("exp", "apply", "one")["kept"] is None
    quick.put({"params.yaml": "lr: 5\nnet: {depth: 3}\n", "mine": "untracked\n"})
    assert "would be overwritten" in quick.error("exp", "apply", "two", "--no-force")
    assert quick.root.joinpath("params.yaml").read_text().startswith("lr: 5")
    kept = quick.json("exp", "apply", "two")["kept"]
    assert quick.git("show", f"{kept}:params.yaml").startswith("lr: 5")
    assert quick.root.joinpath("mine").exists()
    assert "did you mean 'two'?" in quick.error("exp", "apply", "tow")


def test_all_that_an_experiment_overwrote_comes_back_by_the_command_it_prints(quick: Desk) -> None:
    """Also what is named no more, what was removed, and what the pipeline wrote; from any directory."""
    for at in range(3):
        quick.put({f"src/part {at}.py": "old\n"})
    quick.put({"gone": "old\n"})
    quick.git("add", "-A")
    quick.git("commit", "-q", "-m", "code")
    quick.run("exp", "run", "--temp", "-S", "lr=0.7", "-n", "far")
    for at in range(3):
        quick.put({f"src/part {at}.py": f"mine {at}\n"})
    (quick.root / "gone").unlink()
    quick.put({"params.yaml": "lr: 5\nnet: {depth: 3}\n"})
    quick.run("repro")
    before = {path: path.read_bytes() for path in quick.root.rglob("*.*") if path.is_file()}
    before = {path: data for path, data in before.items() if {".git", ".dvc"}.isdisjoint(path.parts)}
    assert "gone, params.yaml, src/part 0.py and 4 more" in quick.error("exp", "apply", "far", "--no-force")
    told = quick.run("exp", "apply", "far", cwd="src").stderr
    assert "(7 files: gone, params.yaml, src/part 0.py and 4 more)" in told
    assert (quick.root / "gone").exists()
    assert (quick.root / "src/part 0.py").read_text() == "old\n"
    command = told.partition("comes back by: ")[2].splitlines()[0]
    assert command.startswith("git restore --source=refs/penstock/replaced/")
    subprocess.run(shlex.split(command), cwd=quick.root / "src", check=True)
    assert {path: path.read_bytes() for path in before} == before
    assert not (quick.root / "gone").exists()
    assert quick.json("exp", "apply", "far")["paths"][-2:] == ["dvc.lock", "metrics.yaml"]


def test_experiments_become_branches_and_are_renamed_and_removed(quick: Desk) -> None:
    assert quick.json("exp", "branch", "one") == {"branch": "one-branch"}
    assert quick.git("rev-parse", "one-branch").strip() == quick.json("exp", "list")[0]["rev"]
    quick.run("exp", "branch", "one", code=4)
    quick.run("exp", "rename", "one", "two", code=4)
    quick.run("exp", "rename", "one", "a/b", code=1)
    quick.run("exp", "rename", "one", "first")
    assert names(quick) == ["first", "two"]
    quick.run("exp", "rename", "first", "two", "-f")
    assert names(quick) == ["two"]
    quick.run("exp", "run", "--temp", "-S", "lr=0.4", "-n", "three")
    quick.commit_all() if quick.git("status", "--short") else quick.git(
        "commit", "-q", "--allow-empty", "-m", "next"
    )
    quick.run("exp", "save", "-n", "late", "-m", "as it is")
    quick.run("exp", "save", "-n", "late", code=4)
    quick.put({"params.yaml": "lr: 7\nnet: {depth: 3}\n"})
    quick.run("exp", "save", "-n", "late", code=4)
    assert quick.json("exp", "save", "-n", "late", "-f")["name"] == "late"
    assert names(quick) == ["late", "three", "two"] or names(quick) == ["three", "two", "late"]
    quick.run("exp", "run", "--queue", "-S", "lr=0.8", "-n", "waits")
    assert quick.json("exp", "remove", "waits", "three") == ["three", "waits"]
    assert quick.json("exp", "remove", "--rev", "HEAD", "--keep") == ["two"]
    quick.run("exp", "remove", "gone", code=1)
    quick.run("exp", "remove", code=2)
    assert quick.json("exp", "remove", "-A") == ["late"]
    assert quick.json("exp", "list", "-A") == []


def test_experiments_and_their_data_go_to_a_git_remote_and_come_from_it(quick: Desk, tmp_path: Path) -> None:
    quick.git("init", "-q", "--bare", "-b", "main", str(tmp_path / "git"))
    quick.git("remote", "add", "origin", str(tmp_path / "git"))
    assert "no remote" in quick.error("exp", "push", "origin", "one")
    assert quick.json("exp", "list", "origin", "-A") == []  # no ref without its data
    quick.run("remote", "add", "-d", "store", str(tmp_path / "store"))
    quick.commit_all()
    quick.git("push", "-q", "origin", "main")
    assert quick.json("exp", "push", "origin", "one", "two")["success"] == ["one", "two"]
    assert quick.json("exp", "push", "origin", "-A")["up_to_date"] == ["two", "one"]
    quick.git("clone", "-q", str(tmp_path / "git"), str(tmp_path / "clone"))
    clone = Desk(tmp_path / "clone", quick.home)
    assert clone.json("exp", "pull", "origin", "two")["success"] == ["two"]
    clone.run("exp", "apply", "two")
    assert clone.root.joinpath("model").read_text().startswith("lr: 0.3")
    quick.run("exp", "run", "--temp", "-S", "lr=0.6", "-n", "three")
    quick.run("exp", "push", "origin", "--no-cache")
    assert clone.json("exp", "pull", "origin", "--no-cache")["success"] == ["three"]
    clone.git("checkout", "-q", ".")
    told = clone.error("exp", "pull", "origin", "three")
    assert "experiment three came without all data: " in told and "model is not in" in told
    assert "penstock exp push origin three" in told
    assert "penstock exp list origin -A" in clone.error("exp", "pull", "origin", "unheard-of")
    quick.run("exp", "push", "origin", "three")
    assert "model is not in the cache" in clone.error("exp", "apply", "three")
    clone.run("pull")
    assert clone.root.joinpath("model").read_text().startswith("lr: 0.6")
    clone.git("checkout", "-q", ".")
    clone.run("exp", "run", "--temp", "-S", "lr=0.7", "-n", "three", "-f", "--pull")
    assert "Differs" in clone.error("exp", "push", "origin", "three", "--no-cache")
    assert clone.json("exp", "push", "origin", "three", "--no-cache", "-f")["success"] == ["three"]
    assert quick.run("exp", "pull", "origin", "--no-cache", code=1).stderr.startswith("Differs")
    quick.run("exp", "pull", "origin", "--no-cache", "-f")
    quick.run("exp", "rename", "-g", "origin", "three", "third")
    assert quick.json("exp", "remove", "third", "-g", "origin") == ["third"]
    assert sorted(one["name"] for one in quick.json("exp", "list", "origin", "-A")) == ["one", "two"]


def test_an_experiment_whose_data_are_gone_is_not_called_applied(quick: Desk) -> None:
    quick.put({"dvc.yaml": (quick.root / "dvc.yaml").read_text() + FOLDER_STAGE})
    quick.run("exp", "run", "-S", "lr=0.6", "-n", "whole")
    held = (quick.root / "model").read_bytes()
    (stored,) = (
        path
        for path in (quick.root / ".dvc/cache/files").rglob("*")
        if path.is_file() and path.read_bytes() == held
    )
    quick.run("exp", "run", "-S", "lr=0.7", "-n", "other")
    stored.unlink()  # the content of `model` and of `many/rate`
    quick.put({"model": "worked on by hand\n"})
    done = quick.run("exp", "apply", "whole", "--json", code=1)
    told = json.loads(done.stdout)["error"]
    assert "is kept in .dvc/tmp/penstock-kept" in done.stderr
    assert (told["code"], told["paths"]) == ("data.object_missing", ["many/rate", "model"])
    assert not (quick.root / "model").exists()
    assert [path.name for path in (quick.root / "many").iterdir()] == ["same"]
    (kept,) = (quick.root / ".dvc/tmp/penstock-kept").rglob("model")
    assert kept.read_text() == "worked on by hand\n"
    assert quick.root.joinpath("params.yaml").read_text().startswith("lr: 0.6")
    for listed in (quick.root / ".dvc/cache/files").rglob("*.dir"):
        listed.unlink()
    assert "many, model are not in the cache" in quick.error("exp", "apply", "whole")
    assert not (quick.root / "many").exists()
    quick.run("repro")
    assert (quick.root / "model").read_bytes() == held
    quick.run("exp", "apply", "whole")
