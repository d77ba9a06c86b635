"""The catalogue of flavours: which libraries' models can be written, read and served, and where each one lies.

Penstock's own stand here; other packages add theirs as entry points of the group called penstock.flavours, a name (that
of the flavour in the `MLmodel` file) for an object with the role of `penstock.serving.loaders.flavour.Flavour`. A
flavour's module, and with it its library, is imported when a model of it is met.
"""

from __future__ import annotations

import functools
import importlib
from collections.abc import Iterable, Sequence
from importlib.metadata import EntryPoint, entry_points
from importlib.util import find_spec
from typing import Any

import msgspec

from penstock.base.errors import Conflict, Invalid, Unavailable
from penstock.base.threads import LeasedLock

GROUP = "penstock.flavours"
IMPORT_S = 20.0
"""So long one model's imports may keep others waiting, which are served meanwhile if they were before."""
IMPORTS = LeasedLock(IMPORT_S)
"""Held by whoever may import libraries while models are loaded in several threads. Where threads import modules that
import each other, Python lets one of them see a module that is half there rather than let both wait for ever."""


class FlavourEntry(msgspec.Struct, frozen=True):
    """One flavour: its name in `MLmodel`, `module:attribute`, the packages whose classes it writes, what installs it.

    `needs` are packages that are looked for where it is only asked whether it can serve: they are large, and may not have
    to be imported for that.
    """

    name: str
    target: str
    roots: tuple[str, ...] = ()
    install: str = ""
    needs: tuple[str, ...] = ()


def _own(name: str, module: str, *roots: str, install: str = "", needs: tuple[str, ...] = ()) -> FlavourEntry:
    return FlavourEntry(name, f"penstock.serving.loaders.{module}:FLAVOUR", roots, install, needs)


# in this order a folder with several is read: the library itself before what wraps it
OWN: dict[str, FlavourEntry] = {
    entry.name: entry
    for entry in (
        _own("penstock_chain", "chain", "penstock"),
        _own("penstock_python", "python"),
        _own("xgboost", "xgboost", "xgboost", install="'penstock[xgboost]'"),
        _own("lightgbm", "lightgbm", "lightgbm", install="'penstock[lightgbm]'"),
        _own("catboost", "catboost", "catboost", install="'penstock[catboost]'"),
        _own("sklearn", "sklearn", "sklearn", install="'penstock[sklearn]'", needs=("sklearn", "skops")),
        _own("onnx", "onnx", "onnx", install="'penstock[onnx]'"),
        _own("penstock_torch", "torch", "torch", install="'penstock[torch]'"),
        _own("python_function", "pyfunc", "mlflow", install="'penstock[mlflow]'"),
    )
}


def list_flavours() -> dict[str, FlavourEntry]:
    """Return every flavour by name, those of other packages first.

    Raises:
        Conflict: two packages give the same name.
    """
    return dict(_installed())


@functools.cache
def _installed() -> dict[str, FlavourEntry]:
    return merge_entries(entry_points(group=GROUP))


def merge_entries(found: Iterable[EntryPoint]) -> dict[str, FlavourEntry]:
    """Return the catalogue with what other packages add.

    Raises:
        Conflict: a name is given twice, with different targets.
    """
    added: dict[str, FlavourEntry] = {}
    origins: dict[str, str] = {}
    for point in found:
        known = OWN.get(point.name) or added.get(point.name)
        origin = point.dist.name if point.dist is not None else "an unknown package"
        if known is not None and known.target != point.value:
            raise Conflict(
                f"the flavour {point.name!r} is given by {origin} as {point.value} and by "
                f"{origins.get(point.name, 'penstock')} as {known.target}",
                code="serving.flavour_twice",
                hint=f"uninstall one of them, or name the entry point of {GROUP} otherwise",
                flavour=point.name,
            )
        origins[point.name] = origin
        if point.name not in OWN:
            added[point.name] = FlavourEntry(point.name, point.value, install=origin)
    return {**added, **OWN}


def import_flavour(name: str) -> Any:
    """Return the object that reads, serves and writes models of a flavour.

    Raises:
        Invalid: there is no such flavour.
        Unavailable: a package that it needs is not installed.
    """
    entry = list_flavours().get(name)
    if entry is None:
        raise Invalid(
            f"no installed flavour is called {name!r}",
            code="serving.flavour_unknown",
            hint=_known(),
        )
    module, _, attribute = entry.target.partition(":")
    try:
        with IMPORTS.held():
            return getattr(importlib.import_module(module), attribute)
    except ModuleNotFoundError as error:
        raise Unavailable(
            f"models of the flavour {name} need {error.name}, which is not installed",
            code="serving.library_missing",
            hint=f"pip install {entry.install or error.name}",
            package=error.name,
        ) from None


def choose_flavour(held: Iterable[str]) -> str:
    """Return which of a folder's flavours serves it: the first in the catalogue's order whose library is installed.

    Raises:
        Unavailable: none is installed; the error names the package and how to install it.
        Invalid: none is known here.
    """
    names = set(held)
    known = [name for name in list_flavours() if name in names]
    missing: Unavailable | None = None
    for name in known:
        try:
            if not _is_installed(list_flavours()[name].needs):
                import_flavour(name)
        except Unavailable as error:
            missing = missing or error
        else:
            return name
    if missing is not None:
        raise missing
    raise Invalid(
        f"it has the flavours {', '.join(sorted(names)) or 'none'}; none can be served",
        code="serving.flavour_unknown",
        hint=_known(),
    )


def _known() -> str:
    known = ", ".join(sorted(list_flavours()))
    return (
        f"a package that gives the flavour as an entry point of {GROUP} serves it where it is installed; "
        f"known here: {known}"
    )


def _is_installed(needs: Sequence[str]) -> bool:
    """Whether packages that are named are all there, without importing them; False where none is named."""
    return bool(needs) and all(find_spec(one) is not None for one in needs)


def flavour_for(model: Any) -> Any:
    """Return the flavour that writes a model that is in memory.

    Raises:
        Unavailable: a package that it needs is not installed.
        Invalid: no installed flavour takes it.
    """
    roots = [base.__module__.partition(".")[0] for base in type(model).__mro__]
    entries = list_flavours()
    by_root = {root: entry for entry in entries.values() for root in entry.roots}
    likely = [by_root[root].name for root in dict.fromkeys(roots) if root in by_root]
    others = [name for name, entry in entries.items() if name not in OWN or not entry.roots]
    for name in dict.fromkeys([*(name for name in others if name not in OWN), *likely, *others]):
        try:
            flavour = import_flavour(name)
        except Unavailable:
            if name in likely:
                raise
            continue
        if flavour.takes(model):
            return flavour
    raise Invalid(
        f"no installed flavour writes a {type(model).__module__}.{type(model).__qualname__}",
        code="registry.flavour_unknown",
        hint=f"pass a model of {', '.join(sorted(entries))}, or a class of your own with `predict`",
    )
