"""What is told of errors that other programs raise."""

from __future__ import annotations

from pathlib import Path

from penstock.base.errors import described


def test_folders_of_files_are_left_out_whether_or_not_the_file_is_there(tmp_path: Path) -> None:
    here = tmp_path / "model.bin"
    here.touch()
    source = "/no-such-folder-here/src/data/tree.h"
    assert described(ValueError(f"{source}:29: failed")) == "ValueError: tree.h:29: failed"
    for path, name in ((here, "model.bin"), (tmp_path / "gone" / "weights.npy", "weights.npy")):
        told = described(ValueError(f"cannot read {path}: it is short"))
        assert told == f"ValueError: cannot read {name}: it is short"
        assert described(ValueError(f"'{path}'")) == f"ValueError: '{name}'"


def test_what_only_looks_like_a_path_stays_as_it_was_said() -> None:
    for words in (
        "no route for /no-such-folder-here/v1/items",
        "the unit km/h/s is unknown",
        "ask https://example.org/models/delay",
        "the category /sports/football is unknown",
    ):
        assert described(ValueError(words)) == f"ValueError: {words}"
