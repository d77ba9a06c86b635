"""The rules of the architecture that a linter of imports cannot see."""

from __future__ import annotations

import ast
import functools
import subprocess
import sys
from pathlib import Path

import penstock
from penstock.base.store.build import told_build

SOURCE = Path(penstock.__file__).parent
FILES = sorted(path for path in SOURCE.rglob("*.py") if "migrations" not in path.parts)
FORBIDDEN_NAMES = {"utils", "helpers", "common", "misc", "manager", "core"}
LAZY = {
    "penstock/__init__.py": "public names load their module when used",
    "penstock/access/passwords.py": "argon2, only where a password is checked",
    "penstock/base/store/database.py": "the PostgreSQL dialect, an eighth of the server's start, only there",
    "penstock/base/digest.py": "OpenSSL, 2 ms, only where something is hashed",
    "penstock/base/files.py": "shutil, only to remove a directory",
    "penstock/base/git.py": "tempfile and shutil, only to look for uncommitted changes",
    "penstock/base/links.py": "shutil, 2 ms, only where a file is copied",
    "penstock/base/store/migrate.py": "Alembic, once in a store's life",
    "penstock/base/staging.py": "shutil, only to remove what a killed process left",
    "penstock/client/system.py": "pynvml, an optional dependency",
    "penstock/pipeline/parameter_editing.py": "ruamel and tomlkit, 40 ms, only for a file that needs one of them",
    "penstock/flows/experiments/saving.py": "the store's toolkit, only for results that the run cache has not",
    "penstock/flows/pipelines/recording.py": "SQLAlchemy, a third of an experiment's cost, only for a store that needs it",
    "penstock/flows/pipelines/lineage_events.py": "http.client, 15 ms, only where events go to a server",
    "penstock/project/worktree.py": "the rules of penstock.yaml, only where a tree is made",
    "penstock/pipeline/definition.py": "what names the line of a mistake, only for what is not plain",
    "penstock/pipeline/lockfile.py": "ruamel, only to take a stage out",
    "penstock/pipeline/lockwriting.py": "ruamel, only for a lock that is not plain",
    "penstock/registry/gates/kinds/served/skew.py": "polars, 0.2 s, only where a check joins tables",
    "penstock/project/project.py": "SQLAlchemy, cryptography, storage and the rules of penstock.yaml, only where they are used",
    "penstock/processes/tracing.py": "OpenTelemetry, an optional dependency, only where a collector is named",
    "penstock/pipeline/running/conditions.py": "what names the line of a mistake, only for one",
    "penstock/pipeline/plots/drawing.py": "vl-convert, an optional dependency",
    "penstock/pipeline/executors/ray.py": "Ray, an optional dependency",
    "penstock/pipeline/executors/ray_worker.py": "Ray, an optional dependency",
    "penstock/data/verbs/adding.py": "unprotecting, only where tracking ends",
    "penstock/data/configuration/config.py": "configobj, only to write",
    "penstock/data/configuration/values.py": "difflib, only to suggest",
    "penstock/data/git/ignored.py": "subprocess, only where git's files do not answer",
    "penstock/data/cache/hashing.py": "OpenSSL, only for a file whose hash is not known",
    "penstock/data/files/ignore.py": "pathspec, only where there is a .dvcignore",
    "penstock/data/cache/placing.py": "shutil, only to move across file systems or to clear up",
    "penstock/data/verbs/keeping.py": "shutil, only where something would be lost",
    "penstock/data/pointers/metafiles.py": "subprocess, only where patterns are git's to decide",
    "penstock/data/pointers/origins.py": "git, only for an address that leads to two places",
    "penstock/data/pointers/pointer.py": "ruamel, only for a pointer DVC would not have written",
    "penstock/data/files/private.py": "git, only where there is a link",
    "penstock/data/repository.py": "storage and DVC's schema, only for a remote",
    "penstock/data/formats/plainyaml.py": "PyYAML, 20 ms, only for what is not plain",
    "penstock/data/pointers/rendering.py": "ruamel, only for a name that needs quoting",
    "penstock/data/verbs/stale.py": "git, only where something may be left of another commit",
    "penstock/data/verbs/status.py": "DVC 2's hashes",
    "penstock/data/files/forking.py": "ctypes, pickle and signal, only to fork",
    "penstock/monitoring/grafana/building.py": "Grafana's builder, an optional dependency",
    "penstock/flows/tracked/selection.py": "the pipeline, only where there is one",
    "penstock/flows/tracked/remotes/transferring.py": "other commits and kinds of outputs, only where they are asked for",
    "penstock/flows/tracked/working_tree.py": "subprocess, only with core.autostage; DVC's state, only where there is one; move and unprotect, only for them",
    "penstock/flows/production/scoring/on_ray.py": "Ray, an optional dependency",
    "penstock/flows/observing/contents.py": "polars, a quarter of a server's memory, only where tables are compared",
    "penstock/flows/production/payloads/tidying.py": "polars, only where hours are merged",
    "penstock/http/told.py": "polars, only for a batch that is a table",
    "penstock/flows/production/payloads/keeping.py": "polars, only where payloads are written: a serve process loads it after its forks",
    "penstock/registry/documents/openssf.py": "OpenSSF's signatures, an optional dependency",
    "penstock/registry/gates/check.py": "polars, only where a table is read",
    "penstock/registry/gates/columns_alone.py": "polars, only where columns are compared",
    "penstock/registry/gates/kinds/robustness.py": "polars, only where it is checked",
    "penstock/registry/gates/kinds/schema.py": "pandera, only where it is checked",
    "penstock/registry/gates/times.py": "polars, only where a column of times is read",
    "penstock/serving/loaders/sklearn.py": "skops, an optional dependency",
    "penstock/storage/resolve.py": "obstore, only for a remote that is not a directory",
    "penstock/processes/fronts.py": "gRPC, an optional dependency",
}


BY_NAME = {
    "penstock/__init__.py": "public names",
    "penstock/cli/catalogue.py": "commands",
    "penstock/pipeline/executors/catalogue.py": "executors, by the catalogue",
    "penstock/pipeline/executors/ray.py": "Ray's switch for telling its makers, by a fixed name",
    "penstock/pipeline/overriding/study.py": "Optuna, an optional dependency, by fixed names",
    "penstock/records/flavours.py": "flavours, by the catalogue",
    "penstock/registry/gates/catalogue.py": "gates, by the catalogue",
    "penstock/serving/loaders/feeding.py": "polars and pandas, by fixed names",
    "penstock/serving/loaders/own_code.py": "a model's own modules, by its folder",
    "penstock/serving/loaders/quick_skops.py": "skops, by a fixed name, and scikit-learn's public modules",
    "penstock/serving/loaders/sklearn.py": "threadpoolctl, by a fixed name",
}


THREADS = {
    "penstock/base/background.py": "`Background`: again and again, until it is stopped",
    "penstock/base/threads.py": "`begin`, once, and `thread_pool`",
    "penstock/pipeline/executors/local.py": "the timer that ends a stage at its limit",
}


@functools.cache
def tree_of(path: Path) -> ast.Module:
    """Parse a file, not before a test asks: every process imports this module."""
    return ast.parse(path.read_text(encoding="utf-8"))


def name_of(path: Path) -> str:
    return path.relative_to(SOURCE.parent).as_posix()


def test_a_file_is_named_for_what_it_holds_and_says_so() -> None:
    wrong = []
    for path in FILES:
        if path.stem in FORBIDDEN_NAMES:
            wrong.append(f"{name_of(path)}: a name that says nothing")
        if not (ast.get_docstring(tree_of(path)) or path.name == "__main__.py"):
            wrong.append(f"{name_of(path)}: no docstring")
    assert wrong == []


def test_public_functions_and_classes_have_docstrings() -> None:
    bare = [
        f"{name_of(path)}: {node.name}"
        for path in FILES
        for node in tree_of(path).body
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)
        and not node.name.startswith("_")
        and not ast.get_docstring(node)
    ]
    assert bare == []


def test_the_environment_is_read_in_one_place() -> None:
    readers = [
        name_of(path)
        for path in FILES
        if any(
            isinstance(node, ast.Attribute)
            and node.attr in {"environ", "getenv"}
            and getattr(node.value, "id", "") == "os"
            for node in ast.walk(tree_of(path))
        )
    ]
    assert readers == [
        "penstock/base/process.py",  # hands it on to programs
        "penstock/data/configuration/places.py",
        "penstock/storage/object_store/variables.py",
        "penstock/workspace.py",
    ]


def test_the_options_that_a_command_takes_together_have_types() -> None:
    untyped = [
        f"{name_of(path)}: {node.name}"
        for path in FILES
        if "cli" in path.relative_to(SOURCE).parts
        for node in ast.walk(tree_of(path))
        if isinstance(node, ast.FunctionDef)
        and node.args.kwarg is not None
        and not ast.unparse(node.args.kwarg.annotation or ast.Constant(None)).startswith("Unpack[")
    ]
    assert untyped == []


def test_servers_are_called_through_one_client() -> None:
    clients = {"http.client", "urllib.request", "urllib3", "httpx", "requests"}
    callers = {
        name_of(path)
        for path in FILES
        for node in ast.walk(tree_of(path))
        if (isinstance(node, ast.Import) and clients & {one.name for one in node.names})
        or (isinstance(node, ast.ImportFrom) and node.module in clients)
    }
    assert callers == {"penstock/base/web/calls.py"}


def test_threads_are_made_in_one_place() -> None:
    """A thread made by hand forgets to tell its failure or to end; `Background`, `begin` and pools do not."""
    makers = {
        name_of(path)
        for path in FILES
        if any(
            (isinstance(node, ast.Attribute) and node.attr in {"Thread", "start_new_thread", "Timer"})
            or (isinstance(node, ast.Name) and node.id in {"Thread", "start_new_thread", "Timer"})
            for node in ast.walk(tree_of(path))
        )
    }
    assert makers == set(THREADS)


def test_a_pool_is_made_in_one_place_or_kept_by_an_object() -> None:
    """`thread_pool` hears an interrupt and ends; what answers for as long as a process runs has a pool of its own."""
    wrong = []
    for path in FILES:
        if name_of(path) == "penstock/base/threads.py":
            continue
        made = [one for one in ast.walk(tree_of(path)) if isinstance(one, ast.Call) and is_pool(one)]
        kept = [
            one.value
            for one in ast.walk(tree_of(path))
            if isinstance(one, ast.Assign) and isinstance(one.targets[0], ast.Attribute)
        ]
        wrong += [f"{name_of(path)}:{one.lineno}" for one in made if one not in kept]
    assert wrong == []


def is_pool(call: ast.Call) -> bool:
    """Whether a call makes a pool of threads or processes."""
    return ast.unparse(call.func).rpartition(".")[2] in {
        "ThreadPoolExecutor",
        "ProcessPoolExecutor",
        "ThreadPool",
    }


def test_what_is_chosen_by_name_is_imported_where_the_names_are_known() -> None:
    importers = [
        name_of(path)
        for path in FILES
        if any(
            isinstance(node, ast.Attribute | ast.Name)
            and (node.attr if isinstance(node, ast.Attribute) else node.id)
            in {"import_module", "__import__", "entry_points"}
            for node in ast.walk(tree_of(path))
        )
    ]
    assert importers == sorted(BY_NAME)


def test_functions_import_only_in_commands_and_where_start_up_is_worth_it() -> None:
    offenders = [
        name_of(path)
        for path in FILES
        if "cli" not in path.relative_to(SOURCE).parts
        and name_of(path) not in LAZY
        and any(
            isinstance(inner, ast.Import | ast.ImportFrom)
            for node in ast.walk(tree_of(path))
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
            for inner in ast.walk(node)
        )
    ]
    assert offenders == []


def test_the_version_needs_nothing_but_the_interpreter() -> None:
    code = (
        "import sys; before = set(sys.modules); sys.argv[1:] = ['--version']\n"
        "from penstock.cli.entry import main; main()\n"
        "print(sorted(set(sys.modules) - before))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    version, modules = done.stdout.strip().splitlines()
    assert version == told_build(penstock.__version__)
    ours = {"penstock", "penstock.cli", "penstock.cli.entry", "penstock.base", "penstock.base.store"}
    asked = {"penstock.base.store.build", "penstock.base.store.head", "__future__"}
    assert set(ast.literal_eval(modules)) <= ours | asked


def test_every_command_can_be_loaded_and_has_help() -> None:
    import click

    from penstock.cli.catalogue import COMMANDS
    from penstock.cli.main import cli

    context = click.Context(cli)
    for name in COMMANDS:
        command = cli.get_command(context, name)
        assert command is not None
        assert command.help


def test_the_typed_options_of_a_command_are_those_it_has() -> None:
    import inspect

    import click

    from penstock.cli.catalogue import COMMANDS
    from penstock.cli.main import cli

    context = click.Context(cli)
    waiting = [cli.get_command(context, name) for name in COMMANDS]
    checked = 0
    while waiting:
        command = waiting.pop()
        if isinstance(command, click.Group):
            waiting += command.commands.values()
            continue
        assert command is not None and command.callback is not None
        function = inspect.unwrap(command.callback)
        parameters = inspect.signature(function).parameters.values()
        [typed] = [one for one in parameters if one.kind is one.VAR_KEYWORD] or [None]
        if typed is None or not str(typed.annotation).startswith("Unpack["):
            continue  # none, or click's own
        name = str(typed.annotation).removeprefix("Unpack[").removesuffix("]")
        told = set(function.__globals__[name].__annotations__) | {one.name for one in parameters}
        has = {str(one.name) for one in command.params if one.expose_value}
        assert has <= told or command.name == "add", (
            command.name
        )  # `stage add` has an option for each kind of output
        assert told - has <= {typed.name, "session", "context"}, command.name
        checked += 1
    assert checked > 15
