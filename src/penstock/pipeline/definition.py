"""Read `dvc.yaml`, strictly, in DVC 3's format.

Templates and generated stages (`${…}`, `vars`, `foreach`, `matrix`) are unfolded first, by `templates`.

Source: DVC 3.67 `dvc/schema.py`.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

from penstock.base.errors import Invalid, NotFound
from penstock.data.formats.plainyaml import parse_plain
from penstock.data.pointers.metafiles import DEFINITION_FILE, find_definitions
from penstock.data.repository import DataRepository
from penstock.pipeline.running.conditions import read_conditions
from penstock.pipeline.stage import OutputKind, ParameterRef, Stage, StageOutput
from penstock.pipeline.templates import needs_templates, resolve_stages

DEFAULT_PARAMETER_FILE = "params.yaml"


class OutputFlags(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What may stand under an output's path in `dvc.yaml`."""

    cache: bool = True
    persist: bool = False
    push: bool = True
    remote: str | None = None
    desc: str | None = None
    type: str | None = None
    labels: tuple[str, ...] = ()
    meta: Any = None
    checkpoint: bool = False
    template: str | None = None
    x: Any = None
    y: Any = None
    x_label: str | None = None
    y_label: str | None = None
    title: str | None = None
    header: bool | None = None


DISPLAY = ("template", "x", "y", "x_label", "y_label", "title", "header")
OutputItem = str | dict[str, OutputFlags | None]


class StageSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One entry under `stages:`."""

    cmd: str | list[str] | None = None
    wdir: str = "."
    deps: tuple[str, ...] = ()
    params: tuple[str | dict[str, list[str] | None], ...] = ()
    outs: tuple[str | dict[str, OutputFlags | None], ...] = ()
    metrics: tuple[str | dict[str, OutputFlags | None], ...] = ()
    plots: tuple[str | dict[str, OutputFlags | None], ...] = ()
    frozen: bool = False
    always_changed: bool = False
    desc: str | None = None
    meta: Any = None


class DefinitionSettings(msgspec.Struct, frozen=True, kw_only=True):
    """The whole of `dvc.yaml`, its stages as they are written."""

    stages: dict[str, Any] = {}
    vars: Any = None
    params: Any = None
    metrics: Any = None
    plots: Any = None
    artifacts: Any = None
    datasets: Any = None


class PlainSettings(DefinitionSettings, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The same where no stage needs a template, so that errors name lines."""

    stages: dict[str, StageSettings] = {}


def load_all_stages(repo: DataRepository, definitions: Sequence[Path] | None = None) -> tuple[Stage, ...]:
    """Return the stages of every dvc.yaml of the repository, the root's first, or of those given.

    Raises:
        Invalid: a definition cannot be read, or uses what Penstock does not run.
    """
    paths = find_definitions(repo) if definitions is None else definitions
    homes = [path.parent.relative_to(repo.root).as_posix() for path in paths]
    return tuple(stage for home in homes for stage in load_stages(repo.root, "" if home == "." else home))


def load_stages(root: Path, home: str = "") -> tuple[Stage, ...]:
    """Return the stages of `root`/`home`/dvc.yaml in the order they are written.

    Raises:
        NotFound: there is no dvc.yaml.
        Invalid: it cannot be read, or uses what Penstock does not run.
    """
    path = root / home / DEFINITION_FILE
    if not path.is_file():
        raise NotFound(
            f"there is no {DEFINITION_FILE} in {path.parent}",
            code="pipeline.no_definition",
            hint="write the pipeline's stages into dvc.yaml",
            path=str(path),
        )
    plain = _load_plain(path)
    if plain is not None:
        return tuple(_stage(path, name, entry, home) for name, entry in plain.stages.items())
    from penstock.base.settings import load_settings  # what names the lines of mistakes

    settings = load_settings(path, DefinitionSettings, is_finite=False)
    document = {"stages": settings.stages, **({} if settings.vars is None else {"vars": settings.vars})}
    if needs_templates(document):
        stages = resolve_stages(path, document, root)
        entries = {name: _convert(path, name, entry) for name, entry in stages.items()}
    else:
        entries = load_settings(path, PlainSettings, is_finite=False).stages
    return tuple(_stage(path, name, entry, home) for name, entry in entries.items())


def read_definition(path: Path) -> DefinitionSettings:
    """Return what a dvc.yaml says besides its stages, which are only read.

    Raises:
        Invalid: it cannot be read.
    """
    plain = _load_plain(path)
    if plain is not None:
        return plain
    from penstock.base.settings import load_settings  # what names the lines of mistakes

    return load_settings(path, DefinitionSettings, is_finite=False)


def _load_plain(path: Path) -> PlainSettings | None:
    """Return a definition that is plain and right; None where an error may have to be told, or more read."""
    try:
        text = path.read_text(encoding="utf-8")
        document = parse_plain(text)
        if document is None or needs_templates(document, text):
            return None
        return msgspec.convert(document, PlainSettings, strict=True)
    except (OSError, UnicodeDecodeError, msgspec.ValidationError):
        return None


def parse_stage(path: Path, name: str, entry: Any, home: str = "") -> Stage:
    """Return the stage that an entry without templates means, `path` being the file it is, or will be, in.

    Raises:
        Invalid: it is not one.
    """
    return _stage(path, name, _convert(path, name, entry), home)


def _convert(path: Path, name: str, entry: Any) -> StageSettings:
    """Read one resolved stage; there is no line to name, since templates made it."""
    try:
        known = {item.name for item in msgspec.structs.fields(StageSettings)}
        unknown = sorted(set(entry) - known)
        if unknown:
            raise _refuse(path, name, f"unknown key `{unknown[0]}`")
        return msgspec.convert(entry, StageSettings, strict=True)
    except msgspec.ValidationError as error:
        problem = str(error)
        raise _refuse(path, name, problem[0].lower() + problem[1:]) from None


def _stage(path: Path, name: str, entry: StageSettings, home: str) -> Stage:
    if not entry.cmd:
        raise _refuse(path, name, "missing key `cmd`")
    commands = (entry.cmd,) if isinstance(entry.cmd, str) else tuple(entry.cmd)
    groups: tuple[tuple[OutputKind, tuple[OutputItem, ...]], ...] = (
        ("out", entry.outs),
        ("metric", entry.metrics),
        ("plot", entry.plots),
    )
    outputs = [output for kind, group in groups for item in group for output in _outputs(item, kind)]
    return Stage(
        name=name,
        commands=commands,
        is_command_list=not isinstance(entry.cmd, str),
        wdir=entry.wdir,
        dependencies=entry.deps,
        parameters=_parameters(entry.params),
        outputs=tuple(outputs),
        is_frozen=entry.frozen,
        is_always_changed=entry.always_changed,
        description=entry.desc,
        meta=entry.meta or {},
        home=home,
        conditions=read_conditions(path, name, entry.meta),
    )


def _refuse(path: Path, stage: str, problem: str) -> Invalid:
    return Invalid(
        f"{path}: stage `{stage}`: {problem}",
        code="pipeline.bad_stage",
        hint=f"edit the stage in {path.name}",
        file=str(path),
        stage=stage,
    )


def _outputs(item: OutputItem, kind: OutputKind) -> list[StageOutput]:
    if isinstance(item, str):
        return [StageOutput(item, kind)]
    found = []
    for path, flags in item.items():
        chosen = flags or OutputFlags()
        shown = {name: value for name in DISPLAY if (value := getattr(chosen, name)) is not None}
        found.append(StageOutput(path, kind, chosen.cache, chosen.persist, chosen.push, chosen.remote, shown))
    return found


def _parameters(items: tuple[str | dict[str, list[str] | None], ...]) -> tuple[ParameterRef, ...]:
    """Gather keys by file, the default file first, as DVC orders them in the lock."""
    keys: dict[str, list[str]] = {}
    for item in items:
        if isinstance(item, dict):
            for file, names in item.items():
                keys.setdefault(file, []).extend(names or [])
            continue
        keys.setdefault(DEFAULT_PARAMETER_FILE, []).append(item)
    ordered = sorted(keys, key=lambda file: (file != DEFAULT_PARAMETER_FILE, file))
    return tuple(ParameterRef(file, tuple(dict.fromkeys(keys[file]))) for file in ordered)
