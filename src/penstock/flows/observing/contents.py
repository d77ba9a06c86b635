"""Two contents of one tracked path compared as tables: schema and distributions, from the cache."""

from __future__ import annotations

import re
import shlex
import tempfile
from collections.abc import Mapping
from pathlib import Path

from penstock.base.errors import PenstockError
from penstock.data.formats.output import HashInfo
from penstock.data.repository import DataRepository
from penstock.monitoring.reporting.changes import TableReport

SUFFIXES = (".parquet", ".csv", ".jsonl", ".ndjson")
MAX_BYTES = 200_000_000
MAX_FILES = 200
MOST_TABLES = 6


def compare_contents(
    repo: DataRepository, path: str, old: HashInfo, new: HashInfo, names: tuple[str, str]
) -> dict[str, TableReport] | str:
    """Return what changed from one content of a path to another, by table, or in words why nobody can say.

    Files of a directory whose names differ only in digits are one table; where that would be too many, all are one.
    """
    try:
        contents = [_files(repo, path, info) for info in (old, new)]
    except PenstockError as error:
        return f"{error.message}: penstock fetch --all-commits {shlex.quote(path)}"
    suffix = _suffix_of({**contents[0], **contents[1]})
    if suffix is None:
        return f"{path} holds no tables ({', '.join(SUFFIXES)})"
    sides = [{name: md5 for name, md5 in one.items() if name.lower().endswith(suffix)} for one in contents]
    found = [{name: repo.cache.find(HashInfo(md5)) for name, md5 in side.items()} for side in sides]
    if not all(place for side in found for place in side.values()):
        return f"not all of it is in the cache: penstock fetch --all-commits {shlex.quote(path)}"
    places = [{name: Path(place) for name, place in side.items() if place is not None} for side in found]
    total = sum(place.stat().st_size for side in places for place in side.values())
    if total > MAX_BYTES or max(map(len, places)) > MAX_FILES:
        return (
            f"{total / 1e6:,.0f} MB are too much for a page: penstock.compare_tables compares them in Python"
        )
    from penstock.flows.observing.comparing import compare_files

    reports: dict[str, TableReport] = {}
    with tempfile.TemporaryDirectory(prefix="penstock-tables-") as folder:
        for at, (table, parts) in enumerate(_tables(path, places)):
            linked = [
                _linked(side, Path(folder) / f"{at}-{which}", suffix) for which, side in enumerate(parts)
            ]
            try:
                reports[table] = compare_files(linked[0], linked[1], names)
            except PenstockError:
                return f"not all files of {path} can be read as tables"
    return reports


def _tables(path: str, places: list[dict[str, Path]]) -> list[tuple[str, list[list[Path]]]]:
    """Return the tables of both sides: a name, and the files of each side."""
    names = sorted({re.sub(r"\d+", "…", name) for side in places for name in side})
    if len(names) > MOST_TABLES:
        return [(path, [list(side.values()) for side in places])]
    return [
        (
            name,
            [[one for file, one in side.items() if re.sub(r"\d+", "…", file) == name] for side in places],
        )
        for name in names
    ]


def _files(repo: DataRepository, path: str, info: HashInfo) -> Mapping[str, str]:
    if not info.is_tree:
        return {path: info.md5}
    return repo.cache.load_tree(info)


def _suffix_of(names: Mapping[str, str]) -> str | None:
    counts = {one: sum(name.lower().endswith(one) for name in names) for one in SUFFIXES}
    best = max(SUFFIXES, key=lambda one: counts[one])
    return best if counts[best] else None


def _linked(places: list[Path], folder: Path, suffix: str) -> list[Path]:
    """Return objects under names that tell what they are."""
    folder.mkdir()
    found = []
    for at, place in enumerate(places):
        name = folder / f"{at:06d}{suffix}"
        name.symlink_to(place)
        found.append(name)
    return found
