"""The `penstock` command."""

from __future__ import annotations

import atexit
import gc
import io
import os
import sys
import threading
from collections.abc import Sequence
from pathlib import Path

import click

from penstock.base.errors import PenstockError, is_panic, told_of_system
from penstock.cli.catalogue import Catalogue
from penstock.cli.output import EXIT_FAILED, EXIT_INTERRUPTED, Session, exit_code, report_error

COLLECT_AFTER = 50_000
COMPLETE = "_PENSTOCK_COMPLETE"  # set by the script of `penstock completion`: what the shell wants to know


def _tell_version(context: click.Context, _option: click.Parameter, is_asked: bool) -> None:
    if is_asked and not context.resilient_parsing:
        from penstock import __version__
        from penstock.base.store.build import told_build

        click.echo(told_build(__version__))
        context.exit()


@click.command(
    cls=Catalogue,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
)
@click.option(
    "-V",
    "--version",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_tell_version,
    help="Show the version, the commit and the schema, then exit.",
)
@click.option("-C", "--cd", "directory", type=click.Path(path_type=Path), default=Path(), help="Run in DIR.")
@click.option("-q", "--quiet", is_flag=True, help="Print errors only.")
@click.option("-v", "--verbose", is_flag=True, help="Print more, and tracebacks of defects.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document on standard output.")
@click.pass_context
def cli(context: click.Context, directory: Path, quiet: bool, verbose: bool, as_json: bool) -> None:
    """Bring machine-learning models from data to production and keep them right there."""
    if quiet and verbose:
        raise click.UsageError("--quiet and --verbose exclude each other")
    if not directory.is_dir():
        raise click.UsageError(f"-C: {directory} is not a directory")
    context.obj = Session(directory.absolute(), as_json=as_json, quiet=quiet, verbose=verbose)


def run(arguments: Sequence[str]) -> int:
    """Run one invocation and return its exit code; errors are printed, never raised."""
    context: click.Context | None = None
    try:
        with cli.make_context("penstock", list(arguments)) as context:
            code = cli.invoke(context)
            return code if isinstance(code, int) else 0
    except click.exceptions.Exit as stop:
        return stop.exit_code
    except click.ClickException as error:
        if "--json" in arguments:
            usage = PenstockError(error.format_message(), code="usage", hint="the same command with --help")
            report_error(usage, as_json=True)
        else:
            error.show()
        return error.exit_code
    except (KeyboardInterrupt, click.Abort):
        click.echo("interrupted", err=True)
        return EXIT_INTERRUPTED
    except PenstockError as error:
        report_error(error, as_json=_wants_json(context))
        return exit_code(error)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return EXIT_FAILED
    except OSError as error:
        told = told_of_system(error)
        report_error(told, as_json=_wants_json(context))
        return exit_code(told)
    except BaseException as error:  # a defect of ours must not show a user a traceback
        if not isinstance(error, Exception) and not is_panic(error):
            raise
        if context is not None and isinstance(context.obj, Session) and context.obj.verbose:
            import traceback

            traceback.print_exc()
        defect = PenstockError(
            f"a defect in Penstock: {type(error).__name__}: {error}",
            code="defect",
            hint="run the command again with -v and report what it prints",
        )
        report_error(defect, as_json=_wants_json(context))
        return EXIT_FAILED


def _wants_json(context: click.Context | None) -> bool:
    return context is not None and isinstance(context.obj, Session) and context.obj.as_json


def main() -> None:
    """Run the command line and leave with its exit code.

    The interpreter is not taken apart: that takes longer (9 ms) than many a command, and native libraries
    complain of what the threads of a server still hold.
    """
    cli._main_shell_completion({}, "penstock", COMPLETE)  # ends the process where a shell asks
    if isinstance(sys.stdout, io.TextIOWrapper) and sys.stdout.errors == "strict":
        sys.stdout.reconfigure(errors="backslashreplace")  # a name that the terminal's encoding lacks
    gc.set_threshold(
        COLLECT_AFTER
    )  # most of what is made stays to the end: 5 % of the time of a large pipeline
    code = run(sys.argv[1:])
    if threading.active_count() > 1 and code != EXIT_INTERRUPTED:
        threading._shutdown()  # type: ignore[attr-defined]  # waits for what still runs
    atexit._run_exitfuncs()
    try:
        for stream in (sys.stdout, sys.stderr):
            if stream is not None:  # as where it was closed by whoever started this
                stream.flush()
    except OSError as error:  # a closed pipe, a full disk
        code = code or EXIT_FAILED
        if not isinstance(error, BrokenPipeError):
            os.write(2, f"error: standard output: {error.strerror}\n".encode())
    os._exit(code)
