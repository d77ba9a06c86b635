"""The notes of a release are made of the fragments, and nothing is released that should not be."""

from __future__ import annotations

import runpy
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
RELEASE = runpy.run_path(str(ROOT / "bin/release"))


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A checkout of what a release touches: the version, two fragments, no changelog yet."""
    (tmp_path / "src/penstock").mkdir(parents=True)
    (tmp_path / "src/penstock/__init__.py").write_text('"""Penstock."""\n\n__version__ = "0.1.0"\n')
    fragments = tmp_path / "docs/changelog.d"
    fragments.mkdir(parents=True)
    for name, text in {
        "README.md": "# Changelog\n",
        "new-thing.added.md": "A new thing\nthat works.\n",
        "hole.security.md": "A hole is closed.\n",
    }.items():
        (fragments / name).write_text(text)
    return tmp_path


def test_fragments_become_the_notes_of_the_version_and_go(tree: Path) -> None:
    RELEASE["write"](tree, "0.2.0")
    text = (tree / "CHANGELOG.md").read_text()
    assert text.startswith(RELEASE["HEAD"])
    assert text.index("### Security") < text.index("- A hole is closed.") < text.index("### Added")
    assert "- A new thing that works.\n" in text
    assert [one.name for one in (tree / "docs/changelog.d").iterdir()] == ["README.md"]
    assert RELEASE["current_version"](tree) == "0.2.0"


def test_the_next_version_stands_before_the_last_one(tree: Path) -> None:
    RELEASE["write"](tree, "0.2.0")
    (tree / "docs/changelog.d/more.fixed.md").write_text("More.\n")
    RELEASE["write"](tree, "0.3.0")
    text = (tree / "CHANGELOG.md").read_text()
    assert text.count("# Changelog\n") == 1
    assert text.index("## 0.3.0 (") < text.index("- More.") < text.index("## 0.2.0 (")
    assert "\n\n\n" not in text


def test_a_version_that_is_none_or_not_newer_is_refused() -> None:
    for version in ("0.2", "v0.2.0", "0.1.0", "0.0.9"):
        with pytest.raises(SystemExit, match=r"is not a version|is not newer"):
            RELEASE["check"](version, "0.1.0")


def test_the_changelog_begins_as_the_release_expects_it() -> None:
    assert (ROOT / "CHANGELOG.md").read_text(encoding="utf-8").startswith(RELEASE["HEAD"])
    assert all(path.name.split(".")[-2] in RELEASE["KINDS"] for path in RELEASE["fragments"](ROOT))
