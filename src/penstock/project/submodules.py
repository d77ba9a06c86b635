"""Submodules in a working tree of its own: git adds such a tree without them. They come from what the user's tree has already.

A submodule that the user's repository never took stays empty, as it is there.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from penstock.base.errors import Invalid, PenstockError
from penstock.base.git import Git

_LIST = ("config", "--file", ".gitmodules", "--null", "--get-regexp", r"^submodule\..*\.path$")


def bring_submodules(tree: Path, beside: Path) -> None:
    """Fill the submodules of a tree, and those inside of them, with what its commit names.

    They are cloned from the copies that the repository at `beside` keeps; what those lack is asked of where they came from.

    Raises:
        Invalid: a submodule's commit is nowhere to be had.
    """
    modules = _modules(beside)
    for name, path in _listed(tree):
        kept = modules / name
        if not (modules.resolve() in kept.resolve().parents and kept.is_dir()):
            continue
        git = Git(tree)
        update = ("submodule", "--quiet", "update", "--init", "--", path)
        local = ("-c", "protocol.file.allow=always", "-c", f"submodule.{name}.url={kept}")
        try:
            git.run(*local, *update)
        except PenstockError:
            try:
                git.run(*update)
            except PenstockError as error:
                raise Invalid(
                    f"the submodule {path} cannot be brought: {error.message}",
                    code="git.no_submodule",
                    hint=f"git submodule update --init --recursive, in {beside}",
                    path=path,
                ) from None
        bring_submodules(tree / path, beside / path if (beside / path / ".git").exists() else tree / path)


def _modules(root: Path) -> Path:
    """Return where the repository of a tree keeps its submodules' own repositories."""
    common = Path(Git(root).run("rev-parse", "--git-common-dir"))
    return (common if common.is_absolute() else root / common) / "modules"


def _listed(tree: Path) -> Iterator[tuple[str, str]]:
    """Yield name and path of each submodule that a tree's commit names."""
    if not (tree / ".gitmodules").is_file():
        return
    for entry in Git(tree).run(*_LIST, check=False).split("\0"):
        key, newline, path = entry.partition("\n")
        if newline:
            yield key.removeprefix("submodule.").removesuffix(".path"), path
