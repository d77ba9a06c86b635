"""The real `dvc` program as the other side, and repositories both work in."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from compat.dvc.sides import Comparison
from compat.dvc.tools import ENVIRONMENT, Tool, git
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
def dvc(environment: dict[str, str]) -> Tool:
    found = os.environ.get("PENSTOCK_DVC") or str(ROOT / ".venv-peers" / "bin" / "dvc")
    if not Path(found).exists():
        pytest.skip("no dvc program: make .venv-peers/.installed, or set PENSTOCK_DVC")
    python = str(Path(found).with_name("python"))
    return Tool("dvc", (found,), environment, ForkServer(python, (found,), RUN_DVC, IMPORTS))


@pytest.fixture(scope="session")
def penstock(environment: dict[str, str]) -> Tool:
    beside = Path(sys.executable).with_name("penstock")
    return Tool("penstock", (str(beside),), environment, penstock_server())


@pytest.fixture
def compare(
    make_repo: Callable[[str, Tool], Path], penstock: Tool, request: pytest.FixtureRequest
) -> Comparison:
    """Compare what a scenario leaves by Penstock with the facts of the real DVC."""
    return Comparison(make_repo, penstock, lambda: request.getfixturevalue("dvc"))


@pytest.fixture(params=["dvc writes", "penstock writes"])
def sides(request: pytest.FixtureRequest, dvc: Tool, penstock: Tool) -> tuple[Tool, Tool]:
    """The tool that writes and the one that reads, in both roles."""
    return (dvc, penstock) if request.param == "dvc writes" else (penstock, dvc)


@pytest.fixture
def make_repo(tmp_path: Path) -> Callable[[str, Tool], Path]:
    def make(name: str, tool: Tool) -> Path:
        root = tmp_path / name
        root.mkdir()
        git(root, "init", "-q")
        tool(root, "init")
        git(root, "add", "-A")
        git(root, "commit", "-qm", "init")
        return root

    return make
