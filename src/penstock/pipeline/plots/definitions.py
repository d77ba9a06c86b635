"""Which plots a repository declares: outputs of stages, and the top-level `plots` of each dvc.yaml.

Source: the documentation of DVC's dvc.yaml, "Top-level plot definitions"; dvc/repo/plots (3.67).
"""

from __future__ import annotations

import posixpath
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from penstock.base.errors import Invalid
from penstock.base.settings import load_settings
from penstock.data.pointers.metafiles import find_definitions
from penstock.data.repository import DataRepository
from penstock.pipeline.definition import DefinitionSettings, load_all_stages

IMAGES = (".jpg", ".jpeg", ".gif", ".png", ".svg")
DATA = (".csv", ".tsv", ".json", ".yaml", ".yml")
KEYS = ("x", "y", "template", "title", "x_label", "y_label", "header")


@dataclass(frozen=True)
class Look:
    """How a plot is drawn; None where that is left to the template and the data."""

    template: str | None = None
    title: str | None = None
    x_label: str | None = None
    y_label: str | None = None
    has_header: bool = True


@dataclass(frozen=True)
class PlotDefinition:
    """One plot: `sources` are files (relative to the root) with the field drawn of each, None where it is found out.

    `x` is the field of the other axis for all files (key `""`), or by file. `is_named` tells a plot of several files
    from one that a file stands for.
    """

    id: str
    sources: tuple[tuple[str, str | None], ...]
    x: Mapping[str, str] = field(default_factory=dict)
    look: Look = field(default_factory=Look)
    is_named: bool = False

    def x_of(self, file: str) -> str | None:
        """Return the field of the other axis of a file."""
        return self.x.get(file, self.x.get(""))

    def altered(self, x: str | None, y: str | None, look: Look) -> PlotDefinition:
        """Return the plot as a command line wants it: what is given there wins."""
        names = ("template", "title", "x_label", "y_label")
        given: dict[str, Any] = {name: one for name in names if (one := getattr(look, name)) is not None}
        given["has_header"] = self.look.has_header and look.has_header
        return replace(
            self,
            sources=tuple(dict.fromkeys((file, y or known) for file, known in self.sources)),
            x={"": x} if x else self.x,
            look=replace(self.look, **given),
        )


def load_definitions(repo: DataRepository) -> list[PlotDefinition]:
    """Return the plots that are declared, those of the top level first.

    Raises:
        Invalid: a declaration is not one.
    """
    found: dict[str, PlotDefinition] = {}
    for path in find_definitions(repo):
        home = path.parent.relative_to(repo.root).as_posix()
        home = "" if home == "." else home
        declared = load_settings(path, DefinitionSettings, is_finite=False).plots
        for name, properties in _items(declared, str(path)):
            one = _top_level(name, properties, home, str(path))
            found[one.id] = one
    for stage in load_all_stages(repo):
        for output in stage.outputs:
            if output.kind == "plot":
                place = stage.place(output.path)
                found.setdefault(place, _of_file(place, output.display))
    return list(found.values())


def of_file(path: str) -> PlotDefinition:
    """Return the plot of a file that is declared nowhere."""
    return _of_file(path, {})


def _items(declared: Any, where: str) -> list[tuple[str, Mapping[str, Any]]]:
    if declared is None:
        return []
    entries = [declared] if isinstance(declared, Mapping) else declared
    found: list[tuple[str, Mapping[str, Any]]] = []
    for entry in entries if isinstance(entries, list) else [entries]:
        if isinstance(entry, str):
            found.append((entry, {}))
        elif isinstance(entry, Mapping) and all(isinstance(one, Mapping | None) for one in entry.values()):
            found += [(str(name), properties or {}) for name, properties in entry.items()]
        else:
            raise _bad(where, "a plot is a path, or a name with properties")
    return found


def _top_level(name: str, properties: Mapping[str, Any], home: str, where: str) -> PlotDefinition:
    unknown = sorted(set(properties) - set(KEYS))
    if unknown:
        raise _bad(where, f"{name}: there is no {unknown[0]!r}: {', '.join(KEYS)}")
    y, x = properties.get("y"), properties.get("x")
    if isinstance(y, Mapping):
        sources = [(_place(home, str(file)), one) for file, fields in y.items() for one in _fields(fields)]
        named = name if not home else f"{home}/dvc.yaml::{name}"
        return PlotDefinition(named, tuple(sources), _x(x, home, where), _look(properties), is_named=True)
    path = _place(home, name)
    sources = [(path, one) for one in _fields(y)]
    return PlotDefinition(path, tuple(sources), _x(x, home, where), _look(properties))


def _of_file(path: str, properties: Mapping[str, Any]) -> PlotDefinition:
    sources = tuple((path, one) for one in _fields(properties.get("y")))
    return PlotDefinition(path, sources, _x(properties.get("x"), "", path), _look(properties))


def _fields(value: Any) -> Sequence[str | None]:
    if value is None:
        return [None]
    return [str(one) for one in value] if isinstance(value, list | tuple) else [str(value)]


def _x(value: Any, home: str, where: str) -> dict[str, str]:
    if value is None:
        return {}
    if isinstance(value, Mapping):
        return {_place(home, str(file)): _fields(field)[0] or "" for file, field in value.items()}
    if isinstance(value, list):
        raise _bad(where, "x is one field, or one field by file")
    return {"": str(value)}


def _look(properties: Mapping[str, Any]) -> Look:
    texts = {key: properties.get(key) for key in ("template", "title", "x_label", "y_label")}
    return Look(
        **{key: None if one is None else str(one) for key, one in texts.items()},
        has_header=properties.get("header") is not False,
    )


def _place(home: str, path: str) -> str:
    return posixpath.normpath(posixpath.join(home, path))


def _bad(where: str, problem: str) -> Invalid:
    return Invalid(f"{where}: plots: {problem}", code="plots.bad_definition", hint="edit plots in it")
