"""`diff --targets`: paths count from where one stands, in every spelling; what is not tracked is an error."""

from __future__ import annotations

from .conftest import Desk


def test_targets_in_every_spelling(desk: Desk) -> None:
    desk.put({"sub/raw/a": "1", "sub/raw/in/b": "2", "f": "3"})
    desk.run("add", "sub/raw", "f")
    desk.commit_all()
    desk.put({"sub/raw/in/b": "22", "f": "33", "sub/raw/a": "11"})

    def changed(*targets: str, cwd: str = "") -> list[str]:
        return [entry["path"] for entry in desk.json("diff", "--targets", *targets, cwd=cwd)["modified"]]

    whole = ["f", "sub/raw/", "sub/raw/a", "sub/raw/in/b"]
    assert changed(".") == changed("..", cwd="sub") == whole
    assert changed("./sub/raw") == changed("sub/raw.dvc") == changed("sub") == whole[1:]
    assert changed("a", "in", cwd="sub/raw") == whole[2:]
    assert changed("../../f", cwd="sub/raw") == changed(str(desk.root / "f")) == ["f"]
    assert "raw is not tracked" in desk.error("diff", "--targets", "raw")
    assert "outside the repository" in desk.error("diff", "--targets", "../f")
    assert desk.json("data", "status", "--granular", ".")["uncommitted"]["modified"] == whole
