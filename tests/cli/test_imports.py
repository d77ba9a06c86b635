"""What `import` takes and refuses, and where it may be called."""

from __future__ import annotations

from .conftest import Desk


def test_a_pointer_is_not_data(desk: Desk) -> None:
    source = desk.beside("source")
    source.put({"data": "1"})
    source.run("add", "data")
    source.commit_all()
    for words in (("import", "../source", "data.dvc"), ("import-url", "../source/data.dvc")):
        assert "describes data" in desk.error(*words)
    assert "describes data" in desk.error("import", "../source", "data", "-o", "other.dvc")
    assert [path.name for path in desk.root.iterdir() if path.name.startswith(("data", "other"))] == []
