"""Which data differ between the commit that a model came from and another one: what a retraining could learn from.

Data are what a pointer tracks, files in git that stages read and that are no code, and the tables of penstock.yaml
(`reference`, `test`). What a stage makes of data is a result and none of them, but what a stage makes of nothing that is
tracked is where data come in: its table in git, or by `dvc.lock` in the cache.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import PurePosixPath

from penstock.base.errors import Invalid, PenstockError
from penstock.data.pointers.metafiles import SUFFIX
from penstock.pipeline.definition import load_all_stages
from penstock.pipeline.lockfile import LOCK_FILE, parse_lock
from penstock.pipeline.running.code_names import is_code
from penstock.pipeline.stage import Stage
from penstock.project.project import Project


def newer_data(project: Project, trained_on: str | None, head: str) -> list[str]:
    """Return the data that differ at `head`, by path; "everything" where the commit of the model is not known here."""
    if trained_on is None:
        return ["everything"]
    if trained_on == head:
        return []
    try:
        listed = project.git.run_bytes(
            "diff", "--name-only", "--no-renames", "--relative", "-z", trained_on, head
        )
    except PenstockError:
        return ["everything"]
    changed = [name.decode(errors="surrogateescape") for name in listed.split(b"\0") if name]
    try:
        stages = load_all_stages(project.data)
    except PenstockError:
        stages = ()
    sources = [one for one in stages if all(is_code(path) for path in one.reads)]
    made = {path for one in stages if one not in sources for path in one.makes}
    tables = {
        path for one in project.readable_settings.all_models for path in (one.reference, one.test) if path
    }
    named = tables | {path for one in stages for path in one.reads}
    found = {name for name in changed if name.endswith(SUFFIX) or _is_data(name, named, made)}
    if LOCK_FILE in changed:
        read = named & {path for one in sources for path in one.makes}
        found |= read & _made_anew(project, sources, trained_on, head)
    return sorted(found)


def _is_data(name: str, named: set[str], made: set[str]) -> bool:
    around = {name, *(parent.as_posix() for parent in PurePosixPath(name).parents)}
    return bool(around & named) and not around & made and not is_code(name)


def _made_anew(project: Project, stages: Iterable[Stage], first: str, second: str) -> set[str]:
    """Return what stages of the root's pipeline made otherwise at the second commit."""
    try:
        before, after = (
            parse_lock(project.git.show(one, f"./{LOCK_FILE}").decode(), LOCK_FILE) for one in (first, second)
        )
    except (Invalid, UnicodeDecodeError):
        return set()  # one of them has no lock: nothing says what was made then
    found = set()
    for stage in stages:
        if stage.home or stage.name not in before or stage.name not in after:
            continue
        old = {one.path: one.hash for one in before[stage.name].outputs}
        found |= {stage.place(one.path) for one in after[stage.name].outputs if old.get(one.path) != one.hash}
    return found
