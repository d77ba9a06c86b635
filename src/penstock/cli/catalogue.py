"""Every command, where it lives and what it says of itself: a module is imported when its command runs."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

import click

from penstock.cli.output import Session

COMMANDS: dict[str, tuple[str, str]] = {
    "add": ("data.add:add", "Put files or directories under version control."),
    "alias": ("models.alias:alias", "Point names such as `champion` at model versions."),
    "artifacts": ("data.artifacts:artifacts", "Download registered artifacts of DVC repositories."),
    "cache": ("data.config:cache", "Show or set where the cache is."),
    "check-ignore": ("data.paths:check_ignore", "Show which paths .dvcignore excludes."),
    "checkout": ("data.working_tree:checkout", "Bring the workspace to what pointers and lock say."),
    "ci": ("ci.ci:ci", "Validate a commit: tests, pipeline, gate, register, report."),
    "commit": ("data.working_tree:commit", "Record changed tracked data as the new state."),
    "compare": ("compare:compare", "Compare two runs, versions or revisions, and say why they differ."),
    "completion": (
        "completion:completion",
        "Print a script that completes what is typed at the shell's prompt.",
    ),
    "config": ("data.config:config", "Get or set options in DVC's configuration files."),
    "dag": ("pipelines.dag:dag", "Show which stage needs which."),
    "data": ("data.data_status:data", "Show the state of tracked data, file by file if asked."),
    "db": ("servers.db:db", "Upgrade and copy the store, or bring runs from an MLflow server."),
    "demo": ("demo:demo", "Run the whole story on real flights, from data to a rollback."),
    "deploy": ("production.deploy:deploy", "Make an endpoint serve a model version, at once or as a canary."),
    "destroy": ("data.end:destroy", "Stop using this: remove pointers, settings and the cache."),
    "diff": ("data.working_tree:diff", "Show what changed in tracked data between two revisions."),
    "doctor": ("setup:doctor", "Say what is still missing here, and the command that mends it."),
    "du": ("data.listing:du", "Show how much space a repository's data take."),
    "endpoint": ("production.endpoint:endpoint", "List endpoints, show them, apply their policies."),
    "exp": ("experiments.exp:exp", "Run, show, compare, keep and share experiments."),
    "feedback": ("production.feedback:feedback", "Send labels for predictions made earlier."),
    "fetch": ("data.transfer:fetch", "Download tracked data from a remote into the cache."),
    "freeze": ("pipelines.freezing:freeze", "Leave stages and imports as they are until they are unfrozen."),
    "gate": ("gates.gate:gate", "Check a model version against the gates of penstock.yaml."),
    "gc": ("data.gc:gc", "Collect objects nobody needs from the cache or a remote."),
    "get": ("data.imports:get", "Download data of a repository without tracking them."),
    "get-url": ("data.imports:get_url", "Download a file from a URL without tracking it."),
    "git-hook": ("data.git_hook:git_hook", "Run what a git hook runs."),
    "import": (
        "data.imports:import_",
        "Bring data of another repository here, and track where they came from.",
    ),
    "import-url": ("data.imports:import_url", "Bring a file or directory from elsewhere here, and track it."),
    "init": ("data.working_tree:init", "Make this directory a repository."),
    "install": ("data.git_hook:install", "Let git check out, push and merge data with code."),
    "key": ("gates.key:key", "Show, trust and renew the keys that verdicts are signed with."),
    "list": ("data.listing:list_", "List a repository's files, git's and tracked data as one tree."),
    "list-url": ("data.listing:list_url", "List a directory behind a URL."),
    "log": ("chain:log", "Show what happened: promotions, deployments, breaches, rollbacks."),
    "metrics": ("pipelines.measures:metrics", "Show or compare the pipeline's metrics."),
    "model": ("models.model:model", "Register, list, show and verify model versions."),
    "monitor": ("production.monitor:monitor", "Show live windows, drift, quality and findings."),
    "move": ("data.paths:move", "Move tracked data together with its pointer."),
    "params": ("pipelines.measures:params", "Compare the pipeline's parameters."),
    "plots": ("pipelines.plots:plots", "Draw the pipeline's plots."),
    "promote": ("models.alias:promote", "Move an alias to a version that passed its gate."),
    "pull": ("data.transfer:pull", "Fetch, then check out."),
    "push": ("data.transfer:push", "Upload tracked data from the cache to a remote."),
    "remote": ("data.remote:remote", "Manage remotes."),
    "remove": ("data.working_tree:remove", "Stop tracking files or directories."),
    "repair": ("data.repair:repair", "Restore missing and damaged objects from a good copy."),
    "repro": ("pipelines.repro:repro", "Run the pipeline's stages whose inputs changed."),
    "restore": ("chain:restore", "Bring back code, data and model of a subject into a directory."),
    "rollback": ("production.deploy:rollback", "Make an endpoint serve an earlier revision again."),
    "root": ("data.working_tree:root", "Print the repository's root."),
    "run": ("run:run", "List, show, compare, export, delete and send recorded runs."),
    "schema": ("gates.schema:schema", "Propose the schema of a table, and hold tables against it."),
    "score": ("gates.score:score", "Rate a model's project by the ML Test Score, from recorded facts."),
    "score-batch": (
        "production.score_batch:score_batch",
        "Let a model answer every row of a table or a directory of them.",
    ),
    "serve": ("production.serve:serve", "Serve models over the Open Inference Protocol."),
    "server": (
        "servers.server:server",
        "Run the tracking server, the registry, the controller and the pages.",
    ),
    "stage": ("pipelines.stage:stage", "Add, list and remove the stages of dvc.yaml."),
    "start": ("setup:start", "Propose a penstock.yaml from what the repository says."),
    "status": ("data.working_tree:status", "Show what changed in tracked data and pipelines."),
    "token": ("servers.token:token", "Make and revoke the tokens of users."),
    "unfreeze": ("pipelines.freezing:unfreeze", "Let frozen stages and imports follow their inputs again."),
    "unprotect": ("data.paths:unprotect", "Turn links into the cache into files that can be edited."),
    "up": ("servers.server:up", "Run server and serve together."),
    "update": ("data.imports:update", "Bring imports to what their sources hold now."),
    "user": ("servers.user:user", "Say who may call a server that asks for credentials."),
    "verify": ("data.repair:verify", "Read every object and name what is missing or damaged."),
    "version": ("data.end:version", "Show versions, the system, and what works here."),
    "why": ("chain:why", "Explain a prediction, version, endpoint, run, file or commit."),
}


ALIASES = {"experiments": "exp", "ls": "list", "ls-url": "list-url", "mv": "move", "rm": "remove"}  # DVC's


class Catalogue(click.Group):
    """A group whose commands are imported when they are needed."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names in order."""
        return sorted(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import the command's module and return it, or None for an unknown name."""
        entry = COMMANDS.get(ALIASES.get(cmd_name, cmd_name))
        if entry is None:
            return None
        module, attribute = entry[0].split(":")
        command: Any = getattr(importlib.import_module(f"penstock.cli.{module}"), attribute)
        if not isinstance(command, click.Command):
            raise TypeError(f"penstock.cli.{entry[0]} is not a command")
        accept_after_name(command)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List every command with its line, without importing any."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, COMMANDS[name][1]) for name in sorted(COMMANDS)])


def accept_after_name(command: click.Command) -> None:
    """Let a command and those in its group take `-q`, `-v` and `--cd` after its name too, as DVC's do."""
    if isinstance(command, click.Group):
        for inner in command.commands.values():
            accept_after_name(inner)
        return
    taken = {word for parameter in command.params for word in (*parameter.opts, *parameter.secondary_opts)}
    for option in _after_name():
        option.opts = [word for word in option.opts if word not in taken]
        if option.opts:
            command.params.append(option)


def _after_name() -> tuple[click.Option, ...]:
    return (
        click.Option(["-q", "--quiet"], is_flag=True, hidden=True, expose_value=False, callback=_set_quiet),
        click.Option(
            ["-v", "--verbose"], is_flag=True, hidden=True, expose_value=False, callback=_set_verbose
        ),
        click.Option(
            ["--cd"],
            type=click.Path(exists=True, file_okay=False, path_type=Path),
            hidden=True,
            expose_value=False,
            callback=_set_directory,
        ),
    )


def _set_quiet(context: click.Context, _parameter: click.Parameter, value: bool) -> None:
    if value:
        context.ensure_object(Session).quiet = True


def _set_verbose(context: click.Context, _parameter: click.Parameter, value: bool) -> None:
    if value:
        context.ensure_object(Session).verbose = True


def _set_directory(context: click.Context, _parameter: click.Parameter, value: Path | None) -> None:
    if value is not None:
        session = context.ensure_object(Session)
        session.directory = session.directory / value
