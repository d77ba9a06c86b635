"""How large files and folders may become: what is larger is two things."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from statistics import median

import penstock

SOURCE = Path(penstock.__file__).parent
MAX_LINES = 400
MAX_MEDIAN_LINES = 150
MAX_FILES = 20
MANY_FILES = {"cli/data": "one file a noun of DVC's commands"}


def lines_of_files() -> dict[str, int]:
    return {
        path.relative_to(SOURCE).as_posix(): len(path.read_text(encoding="utf-8").splitlines())
        for path in SOURCE.rglob("*.py")
        if "migrations" not in path.parts
    }


def test_no_file_is_long_and_half_of_them_are_short() -> None:
    lengths = lines_of_files()
    assert {name: count for name, count in lengths.items() if count > MAX_LINES} == {}
    assert median(lengths.values()) <= MAX_MEDIAN_LINES


def test_no_folder_is_crowded() -> None:
    counts = Counter(name.rpartition("/")[0] for name in lines_of_files())
    crowded = {folder: count for folder, count in counts.items() if count > MAX_FILES}
    assert crowded.keys() <= MANY_FILES.keys(), crowded
