"""Plots of one or several revisions: what is declared there, with the data as they were, ready to be drawn."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import PurePosixPath
from typing import Any

from penstock.base.errors import NotFound, PenstockError
from penstock.base.git import Git
from penstock.data.repository import DataRepository
from penstock.flows.pipelines.snapshot import Snapshot, at_revision
from penstock.pipeline.plots.definitions import DATA, IMAGES, Look, PlotDefinition, load_definitions, of_file
from penstock.pipeline.plots.points import parse_points
from penstock.pipeline.plots.rendering import Series, render_plot
from penstock.pipeline.plots.templates import DEFAULT, TEMPLATES, Spec, parse_template

WORKSPACE = "workspace"


@dataclass(frozen=True)
class Wanted:
    """Which plots are meant (`targets`: ids or files, relative to the root), and what a command line says of them."""

    targets: tuple[str, ...] = ()
    x: str | None = None
    y: str | None = None
    look: Look = field(default_factory=Look)


@dataclass(frozen=True)
class Picture:
    """An image at a revision."""

    revision: str
    data: bytes


@dataclass
class Plot:
    """One plot: its specification with the revisions in it, or its pictures."""

    id: str
    spec: Spec | None = None
    revisions: list[str] = field(default_factory=list)
    pictures: list[Picture] = field(default_factory=list)


@dataclass
class Plots:
    """What was found, and what could not be read: plot, revision and why."""

    plots: list[Plot] = field(default_factory=list)
    problems: list[tuple[str, str, str]] = field(default_factory=list)


def collect_plots(repo: DataRepository, revisions: Sequence[str], wanted: Wanted) -> Plots:
    """Return the plots of revisions, each drawn over the others; `workspace` is one too.

    A file that cannot be read at one revision does not stop the rest; it is named.

    Raises:
        NotFound: there is no such revision, plot or template.
        Invalid: a declaration or a template is not one.
    """
    definitions: dict[str, PlotDefinition] = {}
    series: dict[str, list[Series]] = {}
    pictures: dict[str, list[Picture]] = {}
    found = Plots()
    for revision in revisions:
        with at_revision(repo, None if revision == WORKSPACE else revision) as snapshot:
            for one in _meant(snapshot, wanted.targets):
                definition = definitions.setdefault(one.id, one.altered(wanted.x, wanted.y, wanted.look))
                _read(snapshot, revision, definition, found, series, pictures)
    for name, definition in definitions.items():
        if name in pictures:
            found.plots.append(Plot(name, None, [one.revision for one in pictures[name]], pictures[name]))
        if name in series:
            template = load_template(repo, definition.look.template)
            try:
                spec, shown = render_plot(definition, series[name], template)
            except NotFound as error:
                found.problems.append((name, "", error.message))
                continue
            found.plots.append(Plot(name, spec, shown))
    if wanted.targets and not definitions:
        raise _unknown(wanted.targets[0])
    return found


def default_revisions(repo: DataRepository, given: Sequence[str]) -> list[str]:
    """Return which revisions `plots diff` compares: the workspace with one given, or with HEAD where it differs."""
    if len(given) > 1:
        return list(given)
    if given:
        return [WORKSPACE, *given]
    is_dirty = bool(Git(repo.root).run("status", "--porcelain", "--untracked-files=no"))
    return [WORKSPACE, "HEAD"] if is_dirty else [WORKSPACE]


def load_template(repo: DataRepository, name: str | None) -> Spec:
    """Return a template by name: one of the repository's (`.dvc/plots`, or a file), else one that is built in.

    Raises:
        NotFound: there is no such template.
        Invalid: it is not one.
    """
    wanted = name or DEFAULT
    for place in (
        repo.dvc_dir / "plots" / f"{wanted}.json",
        repo.dvc_dir / "plots" / wanted,
        repo.root / wanted,
    ):
        if name is not None and place.is_file() and place.suffix == ".json":
            return parse_template(place.read_text(encoding="utf-8"), wanted)
    if wanted not in TEMPLATES:
        raise NotFound(
            f"there is no template {wanted!r}",
            code="plots.no_template",
            hint=f"one of {', '.join(TEMPLATES)}, or a JSON file",
            template=wanted,
        )
    return TEMPLATES[wanted]


def _meant(snapshot: Snapshot, targets: Sequence[str]) -> list[PlotDefinition]:
    declared = [part for one in load_definitions(snapshot.repo) for part in _unfolded(snapshot, one)]
    if not targets:
        return declared
    chosen = []
    for target in targets:
        found = [one for one in declared if one.id == target or one.id.startswith(f"{target}/")]
        chosen += found or [
            part for part in _unfolded(snapshot, of_file(target)) if _is_there(snapshot, part)
        ]
    return chosen


def _is_there(snapshot: Snapshot, definition: PlotDefinition) -> bool:
    return snapshot.read(definition.sources[0][0]) is not None


def _unfolded(snapshot: Snapshot, definition: PlotDefinition) -> list[PlotDefinition]:
    """Return one plot for each file of a directory; a plot of several files is itself."""
    if definition.is_named:
        return [definition]
    files = snapshot.files_in(definition.id)
    if files is None:
        return [definition]
    return [
        replace(definition, id=file, sources=tuple((file, field) for _, field in definition.sources))
        for file in files
        if PurePosixPath(file).suffix.lower() in (*IMAGES, *DATA)
    ]


def _read(
    snapshot: Snapshot,
    revision: str,
    definition: PlotDefinition,
    found: Plots,
    series: dict[str, list[Series]],
    pictures: dict[str, list[Picture]],
) -> None:
    fields: dict[str, set[str]] = {}
    for file, name in definition.sources:
        fields.setdefault(file, set()).update({name} if name else ())
    for file, names in fields.items():
        data = snapshot.read(file)
        if data is None:
            found.problems.append((definition.id, revision, f"{file} does not exist"))
        elif PurePosixPath(file).suffix.lower() in IMAGES:
            pictures.setdefault(definition.id, []).append(Picture(revision, data))
        else:
            try:
                points = parse_points(data, file, names, has_header=definition.look.has_header)
            except PenstockError as error:
                found.problems.append((definition.id, revision, error.message))
                continue
            series.setdefault(definition.id, []).append(Series(revision, file, points))


def to_document(plots: Plots) -> dict[str, Any]:
    """Return plots as `dvc plots show --json` does, pictures by their size alone."""
    data: dict[str, list[dict[str, Any]]] = {}
    for plot in plots.plots:
        entries = data.setdefault(plot.id, [])
        if plot.spec is not None:
            entries.append({"type": "vega", "revisions": plot.revisions, "content": plot.spec})
        entries += [
            {"type": "image", "revisions": [one.revision], "size": len(one.data)} for one in plot.pictures
        ]
    document: dict[str, Any] = {"data": data}
    if plots.problems:
        document["errors"] = [
            {"name": name, "rev": revision, "msg": why} for name, revision, why in plots.problems
        ]
    return document


def _unknown(target: str) -> NotFound:
    return NotFound(
        f"{target!r} is no plot, and no file of data or an image",
        code="plots.no_plot",
        hint="penstock plots show lists what dvc.yaml declares",
        target=target,
    )
