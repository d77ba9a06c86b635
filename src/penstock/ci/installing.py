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
    def program(self) -> str | None:
        """The command that installs Penstock alone, without what models need: the last one that names it.

        None where it reads files of the repository, or of this machine: a job that has neither cannot run it.
        """
        last = next((one for one in reversed(self.commands) if _NAMES_IT.search(one)), None)
        if last is None or any(_is_file(word) for word in _words(last[last.index("install") :])):
            return None
        return last.replace("penstock[all]", "penstock", 1)


def brings_penstock(own: str | None) -> bool:
    """Say whether commands of the user's install Penstock, so that nothing else has to."""
    return own is not None and any(_NAMES_IT.search(one) for one in own.splitlines())


def _words(command: str) -> list[str]:
    try:
        return shlex.split(command)
    except ValueError:  # half of a longer line of shell
        return command.split()


def _is_file(word: str) -> bool:
    """Say whether a word of a command that installs is a path, or an address that is one."""
    if "file:" in word:
        return True
    return "://" not in word and (
        "/" in word or word.endswith((".whl", ".txt", ".toml", ".gz")) or word == "."
    )


def plan_installation(declared: Declared, penstock: str | None, *, own: str | None = None) -> Installation:
    """Return how to install a project's packages, and Penstock itself after them.

    Args:
        penstock: the requirement that gives Penstock as it runs here; None where `own` installs it.
        own: commands of the user's that take the place of the files (`ci.install`), and of Penstock's own installation
            where one of them installs it: the package index would else be asked for what it may not have.
    """
    last = f"python -m pip install {shlex.quote(penstock or 'penstock')}"
    if own is not None:
        lines = own.strip().splitlines()
        return Installation((*lines, *(() if brings_penstock(own) else (last,))))
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
