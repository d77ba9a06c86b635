"""How a fresh machine gets what a project needs: commands made from the files that say so. Reads nothing."""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass

TEST_EXTRAS = ("test", "tests", "testing", "dev")
"""Extras of a package that hold what its tests need; the first that is there is installed too."""
_NAMES_IT = re.compile(r"\binstall\b.*\bpenstock\b")
"""A command that installs Penstock."""


@dataclass(frozen=True)
class Declared:
    """Where a repository says which packages it needs.

    Args:
        files: names of files at the project's root.
        is_package: pyproject.toml describes a package (`[project]`), not only tools.
        extras: the package's extras.
    """

    files: frozenset[str]
    is_package: bool = False
    extras: tuple[str, ...] = ()


@dataclass(frozen=True)
class Installation:
    """Commands in their order, and what their reader should know."""

    commands: tuple[str, ...]
    notes: tuple[str, ...] = ()

    @property
    def program(self) -> str:
        """The command that installs Penstock alone, without what models need: the last one that names it."""
        last = next((one for one in reversed(self.commands) if _NAMES_IT.search(one)), self.commands[-1])
        return last.replace("penstock[all]", "penstock", 1)


def plan_installation(declared: Declared, penstock: str, *, own: str | None = None) -> Installation:
    """Return how to install a project's packages, and Penstock itself after them.

    Args:
        penstock: the requirement that gives Penstock as it runs here.
        own: commands of the user's that take the place of the files (`ci.install`), and of Penstock's own installation
            where one of them installs it: the package index would else be asked for what it may not have.
    """
    last = f"python -m pip install {shlex.quote(penstock)}"
    if own is not None:
        lines = own.strip().splitlines()
        return Installation((*lines, *(() if any(_NAMES_IT.search(one) for one in lines) else (last,))))
    files = declared.files
    if "uv.lock" in files:
        return Installation(
            (
                "python -m pip install uv",
                "uv export --frozen --all-extras --all-groups --no-emit-project --quiet --output-file .penstock-requirements.txt",
                "python -m pip install -r .penstock-requirements.txt",
                "rm .penstock-requirements.txt",
                *(("python -m pip install --no-deps .",) if declared.is_package else ()),
                last,
            )
        )
    commands = [
        f"python -m pip install -r {name}"
        for name in ("requirements.txt", "requirements-dev.txt")
        if name in files
    ]
    if declared.is_package:
        extra = next((name for name in TEST_EXTRAS if name in declared.extras), None)
        commands.append("python -m pip install " + (shlex.quote(f".[{extra}]") if extra else "."))
    if commands:
        return Installation((*commands, last))
    conda = sorted(files & {"environment.yml", "environment.yaml"})
    if conda:
        return Installation(
            (f"conda env update --name base --file {conda[0]}", last),
            (
                f"{conda[0]} is installed with conda, which the machine must have; `ci.install` says otherwise",
            ),
        )
    return Installation(
        (last,),
        (
            "no requirements.txt, pyproject.toml, uv.lock or environment.yml names the project's packages: "
            "only Penstock is installed; `ci.install` in penstock.yaml says otherwise",
        ),
    )
