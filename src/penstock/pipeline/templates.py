"""Stages as they run, from stages as `dvc.yaml` writes them: templates filled in, groups of stages unfolded.

`foreach` makes `stage@key` for each item of a list or mapping, `matrix` one for each combination.

Source: the documentation of DVC's `dvc.yaml` ("Templating", "foreach stages", "matrix stages"), and the behaviour
of DVC 3.67.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from itertools import product
from pathlib import Path
from typing import Any

from penstock.base.errors import Invalid, PenstockError
from penstock.data.configuration.config import load_config
from penstock.pipeline.context import Context, has_template, text_of

DEFAULT_VALUES = "params.yaml"
GENERATED = ("foreach", "matrix")
TEXTS = frozenset({"cmd", "wdir", "deps", "outs", "metrics", "plots", "params"})


def needs_templates(document: Mapping[str, Any], text: str = "${") -> bool:
    """Say whether a definition uses anything of this module; `text` is what it was read from, where that is at hand."""
    stages = document.get("stages")
    if not isinstance(stages, Mapping):
        return False
    return (
        "vars" in document
        or ("${" in text and has_template(stages))
        or any(
            isinstance(entry, Mapping) and not {"vars", *GENERATED}.isdisjoint(entry)
            for entry in stages.values()
        )
    )


def resolve_stages(path: Path, document: Mapping[str, Any], root: Path | None = None) -> dict[str, Any]:
    """Return the stages of a definition with nothing left to fill in, in the order they are written.

    Args:
        path: the definition's file; parameter files are looked for beside it.
        root: the repository's, whose configuration says how flags are written; the file's directory by default.

    Raises:
        Invalid: a template, a group or a `vars` entry is wrong; the message names file and stage.
    """
    context = Context(path.parent, _flags(root or path.parent))
    with _naming(path, "vars"):
        if (path.parent / DEFAULT_VALUES).is_file():
            context.load(DEFAULT_VALUES)
        _load(context, document.get("vars") or [], ".", "vars")
    found: dict[str, Any] = {}
    for name, entry in document["stages"].items():
        with _naming(path, f"stage `{name}`"):
            if not isinstance(entry, Mapping):
                raise Invalid("expected a mapping (key: value)", code="pipeline.bad_stage")
            found.update(_unfold(context, str(name), entry))
    return found


def _unfold(context: Context, name: str, entry: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    kinds = [kind for kind in GENERATED if kind in entry]
    if len(kinds) > 1:
        raise Invalid("`foreach` and `matrix` exclude each other", code="pipeline.bad_stage")
    if not kinds:
        yield name, _fill(context, name, entry)
        return
    if kinds == ["foreach"]:
        if set(entry) != {"foreach", "do"} or not isinstance(entry["do"], Mapping):
            raise Invalid("`foreach` goes with `do` and nothing else", code="pipeline.bad_stage")
        items, template = _each(context.resolve(entry["foreach"], "foreach")), entry["do"]
    else:
        items = _combine(context.resolve(entry["matrix"], "matrix"))
        template = {key: value for key, value in entry.items() if key != "matrix"}
    for key, reserved in items:
        yield f"{name}@{key}", _fill(context.fork(**reserved), f"{name}@{key}", template)


def _each(items: Any) -> list[tuple[str, dict[str, Any]]]:
    if isinstance(items, Mapping):
        return [(str(key), {"item": item, "key": text_of(key)}) for key, item in items.items()]
    if not isinstance(items, list):
        raise Invalid("`foreach` takes a list or a mapping", code="pipeline.bad_stage")
    if any(isinstance(item, list | Mapping) for item in items):
        return [(str(at), {"item": item}) for at, item in enumerate(items)]
    return list({str(item): (str(item), {"item": item}) for item in items}.values())


def _combine(axes: Any) -> list[tuple[str, dict[str, Any]]]:
    if not isinstance(axes, Mapping) or not all(isinstance(values, list) for values in axes.values()):
        raise Invalid("`matrix` takes a mapping of names to lists", code="pipeline.bad_stage")
    found = {}
    for chosen in product(*(enumerate(values) for values in axes.values())):
        named = list(zip(axes, chosen, strict=True))
        key = "-".join(
            f"{name}{at}" if isinstance(value, list | Mapping) else str(value) for name, (at, value) in named
        )
        found[key] = (key, {"item": {name: value for name, (_, value) in named}, "key": key})
    return list(found.values())


def _fill(context: Context, name: str, entry: Mapping[str, Any]) -> dict[str, Any]:
    own = entry.get("vars") or []
    if has_template(own):
        raise Invalid("`vars` cannot hold templates", code="pipeline.bad_stage")
    if own:
        wdir = text_of(context.resolve(entry.get("wdir") or ".", "wdir"))
        context = context.fork()
        _load(context, own, wdir, f"{name}.vars")
    resolved = {key: context.resolve(value, key) for key, value in entry.items() if key != "vars"}
    return {key: _as_text(value) if key in TEXTS else value for key, value in resolved.items()}


def _as_text(value: Any) -> Any:
    """Return commands and paths as text: a template that is all of one may stand for a number."""
    if isinstance(value, list):
        return [_as_text(one) for one in value]
    if isinstance(value, Mapping):
        return {text_of(path): flags for path, flags in value.items()}
    return value if value is None else text_of(value)


def _load(context: Context, items: Any, wdir: str, where: str) -> None:
    if not isinstance(items, list) or not all(isinstance(item, str | Mapping) for item in items):
        raise Invalid("`vars` takes a list of files and mappings", code="pipeline.bad_stage")
    for at, item in enumerate(items):
        if isinstance(item, str):
            context.load(item, wdir)
        else:
            context.add(item, f"{where}[{at}]")


def _flags(root: Path) -> dict[str, str]:
    dvc_dir = root / ".dvc"
    config = load_config(dvc_dir) if dvc_dir.is_dir() else None
    return (
        {}
        if config is None
        else {key: value for key in ("bool", "list") if (value := config.get("parsing", key)) is not None}
    )


@contextmanager
def _naming(path: Path, what: str) -> Iterator[None]:
    """Say in every error which file and stage it is about."""
    try:
        yield
    except PenstockError as error:
        raise Invalid(
            f"{path}: {what}: {error.message}",
            code=error.code,
            hint=error.hint or f"edit {path.name}",
            file=str(path),
        ) from None
