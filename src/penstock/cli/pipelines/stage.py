"""`penstock stage`: add, list and remove the stages of dvc.yaml."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypedDict, Unpack, cast

import click

from penstock.cli.data.targets import TARGETS, opened
from penstock.cli.output import Session, json_option, pass_session
from penstock.cli.tables import render_columns

if TYPE_CHECKING:
    from penstock.pipeline.stage import OutputKind

OUTPUTS: tuple[
    tuple[tuple[str, ...], str, OutputKind, bool, bool], ...
] = (  # in the order DVC lets git ignore them
    (("--outs-persist",), "An output that stays while the stage runs.", "out", True, True),
    (("--outs-persist-no-cache",), "The same, held by git.", "out", False, True),
    (("-m", "--metrics"), "A metrics file.", "metric", True, False),
    (("-M", "--metrics-no-cache"), "A metrics file that git holds.", "metric", False, False),
    (("--plots",), "A plot.", "plot", True, False),
    (("--plots-no-cache",), "A plot that git holds.", "plot", False, False),
    (("-O", "--outs-no-cache"), "An output that git holds.", "out", False, False),
    (("-o", "--outs"), "An output.", "out", True, False),
)


def _name(words: tuple[str, ...]) -> str:
    return words[-1].lstrip("-").replace("-", "_")


def _output_options(command: Any) -> Any:
    for words, text, *_ in reversed(OUTPUTS):
        command = click.option(*words, _name(words), multiple=True, metavar="PATH", help=text)(command)
    return command


class StageFlags(TypedDict):
    """The options of `stage add`; `_output_options` adds one more for each of `OUTPUTS`."""

    force: bool
    deps: tuple[str, ...]
    params: tuple[str, ...]
    wdir: str
    always_changed: bool
    desc: str | None
    run_now: bool


@click.group()
def stage() -> None:
    """Add, list and remove the stages of dvc.yaml."""


@stage.command("add", context_settings={"ignore_unknown_options": False, "allow_interspersed_args": False})
@click.option("-n", "--name", required=True, help="The stage's name.")
@click.option("-f", "--force", is_flag=True, help="Replace a stage of that name.")
@click.option("-d", "--deps", multiple=True, metavar="PATH", help="A dependency.")
@click.option(
    "-p", "--params", multiple=True, metavar="[FILE:]KEY,KEY", help="Parameters; FILE: means all of it."
)
@_output_options
@click.option("-w", "--wdir", default=".", metavar="DIR", help="Where the command runs and paths start.")
@click.option("--always-changed", is_flag=True, help="Run it at every repro.")
@click.option("--desc", help="What the stage is for.")
@click.option("--run", "run_now", is_flag=True, help="Run it at once.")
@click.argument("command", nargs=-1, required=True, type=click.UNPROCESSED)
@json_option
@pass_session
def stage_add(session: Session, /, name: str, command: tuple[str, ...], **flags: Unpack[StageFlags]) -> None:
    """Write a stage into the dvc.yaml of the current directory."""
    from penstock.flows.pipelines.editing import NewStage, add_stage
    from penstock.pipeline.stage import StageOutput

    paths = cast("dict[str, tuple[str, ...]]", flags)
    outputs = tuple(
        StageOutput(path, kind, is_cached, is_persistent)
        for words, _, kind, is_cached, is_persistent in OUTPUTS
        for path in paths[_name(words)]
    )
    new = NewStage(
        name,
        _joined(command),
        flags["wdir"],
        flags["deps"],
        flags["params"],
        outputs,
        flags["always_changed"],
        flags["desc"],
    )
    with opened(session) as repo:
        path = repo.relative(add_stage(repo, new, session.directory, force=flags["force"]))
    session.emit({"stage": name, "file": path}, f"Added stage '{name}' in '{path}'")
    if flags["run_now"]:
        _run(session, name)


def _joined(command: tuple[str, ...]) -> str:
    """Return the words as one command; those with blanks are quoted, unless they are the whole."""
    if len(command) == 1:
        return command[0]
    return " ".join(
        f'"{word}"' if not word or (" " in word and '"' not in word) else word for word in command
    )


def _run(session: Session, name: str) -> None:
    from penstock.cli.ending import end_as_interrupted
    from penstock.cli.pipelines.narrating import Narrator
    from penstock.cli.pipelines.repro import LOGS, tell_untold
    from penstock.flows.pipelines.execution import reproduce_and_record
    from penstock.pipeline.running.reproducing import ReproduceOptions
    from penstock.pipeline.targets import Selection
    from penstock.workspace import open_workspace

    end_as_interrupted()
    project = open_workspace(session.directory)
    try:
        base = session.directory.relative_to(project.root).as_posix()
        selection = Selection((name,), "" if base == "." else base)
        options = ReproduceOptions(selection, "single", logs=project.data.dvc_dir / "tmp" / LOGS)
        tell_untold(session, reproduce_and_record(project, options, Narrator(session)))
    finally:
        project.close()


@stage.command("list")
@TARGETS
@click.option("--all", "everything", is_flag=True, help="All of the repository, pointers too.")
@click.option(
    "--fail", is_flag=True, help="Accepted for DVC's sake: a file that cannot be read always fails."
)
@click.option("-R", "--recursive", is_flag=True, help="Take what is below a directory.")
@click.option("--name-only", "--names-only", "name_only", is_flag=True, help="Print names alone.")
@json_option
@pass_session
def stage_list(
    session: Session, targets: tuple[str, ...], everything: bool, fail: bool, recursive: bool, name_only: bool
) -> None:
    """List stages and what they make."""
    from penstock.flows.pipelines.listing import list_steps

    with opened(session) as repo:
        found = list_steps(repo, targets, session.directory, everything=everything, recursive=recursive)
    if name_only:
        session.emit(list(found), "\n".join(found))
    else:
        session.emit(found, render_columns(list(found.items()), numbers_first=False))


@stage.command("remove")
@click.argument("targets", nargs=-1, required=True)
@click.option("--outs", is_flag=True, help="Delete the outputs too.")
@json_option
@pass_session
def stage_remove(session: Session, targets: tuple[str, ...], outs: bool) -> None:
    """Take stages out of dvc.yaml and dvc.lock, and their outputs out of .gitignore."""
    from penstock.flows.pipelines.editing import remove_stage

    with opened(session) as repo:
        changed = [
            repo.relative(path)
            for target in targets
            for path in remove_stage(repo, target, session.directory, with_data=outs)
        ]
    session.emit(changed, "\n".join(f"Modified {name}" for name in dict.fromkeys(changed)))
