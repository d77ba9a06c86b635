"""One stage of a pipeline on a machine of its own: its inputs come from the remote, what it made goes there.

What a stage before it made on another machine is in no commit. It is told by the *state*: the lock entries of what
ran, with the outputs that the remote does not keep. A state only says what the stages of this repository made.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import msgspec

from penstock.base.clock import now_ms
from penstock.base.errors import Invalid
from penstock.base.files import write_atomic
from penstock.ci.report import CiReport
from penstock.data.cache.presence import has
from penstock.data.cache.transfer import fetch_objects, push_objects
from penstock.data.formats.output import HashInfo, Output
from penstock.flows.ci.continuous import OnStep, judge_tree
from penstock.flows.pipelines.execution import Reproduction, reproduce_and_record
from penstock.flows.pipelines.pulling import bringer
from penstock.flows.tracked.remotes.run_history import push_runs
from penstock.flows.tracked.versioning import push, raise_failures, select
from penstock.pipeline.definition import load_all_stages
from penstock.pipeline.lockfile import load_lock, parse_lock
from penstock.pipeline.lockwriting import save_lock
from penstock.pipeline.outputs import stage_outputs
from penstock.pipeline.running.reproducing import ReproduceOptions, Watcher
from penstock.pipeline.stage import Stage
from penstock.pipeline.targets import Selection, no_stage
from penstock.project.project import Project


class State(msgspec.Struct, frozen=True):
    """What ran: lock entries by the directory of their dvc.yaml and stage, and uncached outputs in base64 by path."""

    locks: dict[str, dict[str, dict[str, object]]] = {}
    files: dict[str, str] = {}


def run_component(
    project: Project, target: str, given: Sequence[Path], made: Path, watcher: Watcher | None = None,
    note: Callable[[str], None] = lambda text: None,
) -> Reproduction:  # fmt: skip
    """Bring a stage up to date after the states before it, push what it made, and write the state after it.

    An earlier run of the same inputs, on any machine that shares the remote, is taken from the run cache.

    Raises:
        NotFound: there is no such stage, or its inputs are nowhere.
        Invalid: a state cannot be read.
        PenstockError: as `reproduce_and_record`; nothing is pushed or written then.
    """
    stages = load_all_stages(project.data)
    stage = next((one for one in stages if one.address == target), None)
    if stage is None:
        raise no_stage(target, (one.address for one in stages))
    taken = _take(project, stages, given)
    options = ReproduceOptions(Selection((target,)), "single", bring=_bringer(project, note))
    done = reproduce_and_record(project, options, watcher)
    outputs = [output.path for output in stage.outputs if output.is_cached]
    if outputs:
        chosen = select(project.data, [stage.place(path) for path in outputs])
        raise_failures(push(project.data, chosen), "pushed")
    backend = project.data.remote()
    try:
        push_objects(project.data, _plain_hashes(project, stage), backend)
        push_runs(project.data, backend)
    finally:
        backend.close()
    write_atomic(made, msgspec.json.encode(_state_after(project.root, stage, taken), order="deterministic"))
    return done


def finish_components(project: Project, given: Sequence[Path], on_step: OnStep) -> CiReport:
    """Judge and register what the components made, and return the report, which is kept.

    Raises:
        Invalid: a state cannot be read.
    """
    started_ms = now_ms()
    _take(project, load_all_stages(project.data), given)
    return judge_tree(project, started_ms, on_step)


def _bringer(project: Project, note: Callable[[str], None]) -> Callable[[Sequence[Output]], None]:
    """Return what fetches outputs, those too that the remote holds for the run cache alone."""
    bring_cached = bringer(project.data, note, with_runs=True)

    def bring(outputs: Sequence[Output]) -> None:
        bring_cached(outputs)
        wanted = [
            one.hash for one in outputs if not one.cached and one.hash and not has(project.data, one.hash)
        ]
        if wanted:
            backend = project.data.remote()
            try:
                fetch_objects(project.data, wanted, backend)
            finally:
                backend.close()

    return bring


def _plain_hashes(project: Project, stage: Stage) -> list[HashInfo]:
    """Return the content of a stage's outputs that git would hold, so that its run can be restored elsewhere."""
    entry = load_lock(project.root / stage.home)[stage.name]
    return [
        output.hash
        for output in stage_outputs(project.root, stage, entry)
        if not output.cached and output.hash is not None and has(project.data, output.hash)
    ]


def _take(project: Project, stages: Sequence[Stage], given: Sequence[Path]) -> State:
    """Put states into the working tree and return them as one."""
    states = [_load(path) for path in given]
    files: dict[str, str] = {}
    locks: dict[str, dict[str, dict[str, object]]] = {}
    for state in states:
        files |= state.files
        for home, entries in state.locks.items():
            locks.setdefault(home, {}).update(entries)
    for home in {stage.home for stage in stages} & locks.keys():
        names = {stage.name for stage in stages if stage.home == home}
        taken = parse_lock(json.dumps({"stages": locks[home]}), f"the state's {home}/dvc.lock")
        save_lock(project.root / home, {name: entry for name, entry in taken.items() if name in names})
    places = [path for stage in stages for path in _uncached(stage)]
    for name, text in files.items():
        if ".." in Path(name).parts or not any(
            name == place or name.startswith(f"{place}/") for place in places
        ):
            raise Invalid(f"the state names {name!r}, which no stage makes", code="ci.bad_state")
        try:
            write_atomic(project.root / name, base64.b64decode(text, validate=True))
        except binascii.Error as error:
            raise Invalid(f"the state's {name} cannot be read: {error}", code="ci.bad_state") from None
    return State(locks, files)


def _load(path: Path) -> State:
    try:
        return msgspec.json.decode(path.read_bytes(), type=State)
    except (OSError, msgspec.DecodeError) as error:
        raise Invalid(f"{path} is no state of a component: {error}", code="ci.bad_state") from None


def _state_after(root: Path, stage: Stage, before: State) -> State:
    entry = load_lock(root / stage.home)[stage.name]
    home: Mapping[str, dict[str, object]] = before.locks.get(stage.home, {})
    locks = {**before.locks, stage.home: {**home, stage.name: entry.to_document()}}
    files = dict(before.files)
    for place in _uncached(stage):
        top = root / place
        members = [top] if top.is_file() else sorted(path for path in top.rglob("*") if path.is_file())
        files |= {
            path.relative_to(root).as_posix(): base64.b64encode(path.read_bytes()).decode()
            for path in members
        }
    return State(locks, files)


def _uncached(stage: Stage) -> list[str]:
    return [stage.place(output.path) for output in stage.outputs if not output.is_cached]
