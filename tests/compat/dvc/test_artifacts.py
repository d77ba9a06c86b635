"""`artifacts get` by both programs: versions and stages as GTO's annotated git tags give them."""

from __future__ import annotations

from itertools import pairwise

import pytest

from compat.dvc.sides import Comparison, Side
from compat.dvc.tools import git
from penstock.base.errors import Invalid, NotFound
from penstock.flows.sources.artifacts import Tag, choose_commit, split_name, version_key

DECLARED = "artifacts:\n  delay:\n    path: model\n    type: model\n  notes:\n    path: notes.txt\n"


def registered(side: Side) -> Side:
    """Make a repository with three registered versions of a tracked model; two tags are no registrations."""
    origin = Side(side.tool, side.beside("source"))
    git(origin.root, "init", "-q", "-b", "main")
    origin("init")
    origin.put({"dvc.yaml": DECLARED, "sub/dvc.yaml": "artifacts:\n  deep: {path: d/x}\n", "sub/d/x": "deep"})
    for number, tag in enumerate(("delay@v1.0.0", "delay@v1.10.0", "delay@v1.9.0"), 1):
        origin.put({"model/weights": f"{number}", "notes.txt": f"notes {number}"})
        origin("add", "model")
        origin.commit_all(f"{number}")
        origin.git("tag", "-a", tag, "-m", tag)
        if number < 3:
            origin.git("tag", "-a", f"delay#prod#{number}", "-m", "stage")
    origin.git("tag", "-a", "sub=deep@v0.1.0", "-m", "deep")
    origin.git("tag", "delay@v9.0.0")
    return origin


def got(side: Side) -> object:
    source = registered(side).root
    side("artifacts", "get", source, "delay")
    side("artifacts", "get", source, "delay", "--rev", "v1.0.0", "-o", "first")
    side("artifacts", "get", source, "delay", "--stage", "prod", "-o", "prod")
    side("artifacts", "get", source, "sub/dvc.yaml:deep", "-o", "deep")
    side("artifacts", "get", source, "notes")
    return None


@pytest.mark.slow
def test_both_programs_bring_the_same(compare: Comparison) -> None:
    compare(got)


def tags(*found: str) -> list[Tag]:
    return [Tag(name, time_s, f"commit of {name}") for time_s, name in enumerate(found)]


def test_a_version_that_was_taken_back_is_not_chosen() -> None:
    found = tags("m@v1.0.0#1", "m@v2.0.0#2", "m@v2.0.0!#3", "m#prod#4", "m#prod!#5", "other@v9.0.0")
    assert choose_commit(found, "m") == "commit of m@v1.0.0#1"
    with pytest.raises(NotFound, match=r"no version v2\.0\.0"):
        choose_commit(found, "m", version="v2.0.0")
    with pytest.raises(NotFound, match="stage 'prod'"):
        choose_commit(found, "m", stage="prod")
    with pytest.raises(NotFound, match="no version of x"):
        choose_commit(found, "x")


def test_versions_are_ordered_by_semver() -> None:
    ordered = ["v1.0.0-alpha", "v1.0.0-alpha.1", "v1.0.0-alpha.beta", "v1.0.0-beta.2", "v1.0.0-beta.11"]
    ordered += ["v1.0.0-rc.1", "v1.0.0", "v1.2.0", "v1.10.0"]
    keys = [version_key(version) for version in ordered]
    assert all(one < next_one for one, next_one in pairwise(keys))


def test_a_name_may_have_a_directory() -> None:
    assert split_name("a/b:m") == split_name("a/b/dvc.yaml:m") == ("a/b", "m")
    assert split_name("dvc.yaml:m") == split_name("m") == ("", "m")
    for name in ("", "-m", "a:b:c", "m@v1", "ä"):
        with pytest.raises(Invalid):
            split_name(name)
