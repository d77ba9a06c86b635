"""The real `dvc` program as the other side, and repositories both work in."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import sharing
from compat.dvc.remembered import Remembered, empty
from compat.dvc.sides import Comparison
from compat.dvc.tools import ENVIRONMENT, Tool, git
from facts import FOLDER, is_recording
from servers.forking import ForkServer, penstock_server

ROOT = Path(__file__).parents[3]
RUN_DVC = "import sys\nsys.argv[0] = 'dvc'\nfrom dvc.cli import main\nsys.exit(main(sys.argv[1:]))\n"
IMPORTS = [
    "dvc.cli.parser",
    "dvc.repo",
    "dvc.repo.open_repo",
    "dvc.repo.reproduce",
    "dvc.repo.graph",
    "dvc.repo.trie",
    "dvc.repo.stage",
    "dvc.repo.metrics.show",
    "dvc.repo.params.show",
    "dvc.repo.plots",
    "dvc.repo.artifacts",
    "dvc.repo.datasets",
    "dvc.repo.experiments.cache",
    "dvc.repo.worktree",
    "dvc.cachemgr",
    "dvc.data_cloud",
    "dvc.dvcfile",
    "dvc.stage.run",
    "dvc.lock",
    "dvc.rwlock",
    "dvc_data.index.push",
    "dvc_data.index.checkout",
    "dvc_data.hashfile.db.local",
    "dvc_data.hashfile.status",
    "dvc_data.fs",
    "dvc_s3",
    "s3fs",
    "dvc_azure",
    "adlfs",
    "dvc_ssh",
    "sshfs",
    "dvc_http",
    "networkx",
    "pygit2",
    "scmrepo.git",
    "dulwich.porcelain",
]


@pytest.fixture(scope="session")
def environment(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    site = tmp_path_factory.mktemp("site")
    return {
        **os.environ,
        **ENVIRONMENT,
        "HOME": str(site),
        "DVC_SITE_CACHE_DIR": str(site / "cache"),
        "DVC_GLOBAL_CONFIG_DIR": str(site / "global"),
        "DVC_SYSTEM_CONFIG_DIR": str(site / "system"),
    }


@pytest.fixture(scope="session")
def real_dvc(environment: dict[str, str]) -> Tool:
    """The real program, asked anew by every call."""
    found = os.environ.get("PENSTOCK_DVC") or str(ROOT / ".venv-peers" / "bin" / "dvc")
    if not Path(found).exists():
        pytest.skip("no dvc program: make .venv-peers/.installed, or set PENSTOCK_DVC")
    python = str(Path(found).with_name("python"))
    return Tool("dvc", (found,), environment, ForkServer(python, (found,), RUN_DVC, IMPORTS))


@pytest.fixture(scope="module", autouse=True)
def same_commits(request: pytest.FixtureRequest) -> Iterator[None]:
    """Let a remembered commit have the same id in every run."""
    marks = getattr(request.module, "pytestmark", [])
    with pytest.MonkeyPatch.context() as patch:
        if any(mark.name == "dvc" for mark in (marks if isinstance(marks, list) else [marks])):
            for name in ("GIT_AUTHOR_DATE", "GIT_COMMITTER_DATE"):
                patch.setenv(name, "2024-01-01T12:00:00Z")
        yield


@pytest.fixture
def places(tmp_path: Path) -> list[Path]:
    """The directories that DVC sees of a test; a module names further ones that its tests share."""
    return [tmp_path]


@pytest.fixture
def dvc(request: pytest.FixtureRequest, environment: dict[str, str]) -> Iterator[Tool]:
    """DVC as it is remembered where the test is marked so (see `remembered.py`), and else the real one."""
    mark = request.node.get_closest_marker("dvc")
    if mark is None or mark.args != ("remembered",):
        yield request.getfixturevalue("real_dvc")
        return
    module, _, test = request.node.nodeid.partition("::")
    path = FOLDER / f"{module.removeprefix('tests/').removesuffix('.py').replace('/', '.')}.calls.json"
    live: Tool | None = request.getfixturevalue("real_dvc") if is_recording() else None
    home = Path(environment["HOME"])
    empty(home)
    server = Remembered(live.server if live else None, request.getfixturevalue("places"), home, path, test)
    yield Tool("dvc", ("dvc",), environment, server)
    server.save()


@pytest.fixture(scope="session")
def penstock(environment: dict[str, str]) -> Tool:
    return penstock_of(environment)


@pytest.fixture(scope="session")
def penstock_with_servers(environment: dict[str, str]) -> Tool:
    """The same with the libraries for remotes that are servers, which else each call would import."""
    return penstock_of(environment, "penstock.storage.object_store.*", "penstock.storage.sftp.*")


def penstock_of(environment: dict[str, str], *imports: str) -> Tool:
    """Return the program as forks of a process that has imported further modules."""
    beside = Path(sys.executable).with_name("penstock")
    return Tool("penstock", (str(beside),), environment, penstock_server(*imports))


@pytest.fixture
def compare(
    make_repo: Callable[[str, Tool], Path], penstock: Tool, request: pytest.FixtureRequest
) -> Comparison:
    """Compare what a scenario leaves by Penstock with the facts of the real DVC."""
    return Comparison(make_repo, penstock, lambda: request.getfixturevalue("real_dvc"))


@pytest.fixture(params=["dvc writes", "penstock writes"])
def sides(request: pytest.FixtureRequest, dvc: Tool, penstock: Tool) -> tuple[Tool, Tool]:
    """The tool that writes and the one that reads, in both roles."""
    return (dvc, penstock) if request.param == "dvc writes" else (penstock, dvc)


@pytest.fixture
def make_repo(tmp_path: Path) -> Callable[[str, Tool], Path]:
    def make(name: str, tool: Tool) -> Path:
        root = tmp_path / name
        if isinstance(tool.server, ForkServer):
            begun = sharing.made(f"compat-{tool.name}", lambda place: begin_repository(place, tool))
            shutil.copytree(begun, root, symlinks=True)
        else:  # a call that is remembered is made in each test
            begin_repository(root, tool)
        return root

    return make


def begin_repository(root: Path, tool: Tool) -> None:
    """Make a repository of git and a tool."""
    root.mkdir()
    git(root, "init", "-q")
    tool(root, "init")
    git(root, "add", "-A")
    git(root, "commit", "-qm", "init")
