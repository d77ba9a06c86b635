"""Remotes that are servers: what one tool pushed the other one pulls, and `gc -c` keeps what is needed."""

from __future__ import annotations

import base64
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from compat.dvc.samples import plain_directory
from compat.dvc.tools import Tool, git, listing
from penstock.storage.backend import Backend
from penstock.storage.resolve import open_backend
from servers.azure import AzureServer
from servers.ssh import SshServer
from servers.web import WebServer, run_web

pytestmark = pytest.mark.slow
SECRET = "never-show-this"


@pytest.fixture
def penstock(penstock_with_servers: Tool) -> Tool:
    return penstock_with_servers


@pytest.fixture(params=["ssh", "azure"])
def remote(
    request: pytest.FixtureRequest, environment: dict[str, str], tmp_path: Path
) -> tuple[str, dict[str, str]]:
    """The URL of an empty place on a server, and the keys that open it."""
    if request.param == "ssh":
        server: SshServer = request.getfixturevalue("ssh_server")
        know(server, Path(environment["HOME"]))
        return server.url(tmp_path.name), server.options()
    azure: AzureServer = request.getfixturevalue("azure_server")
    return f"azure://{azure.make_container()}/some/prefix", azure.options()


def know(server: SshServer, home: Path) -> None:
    """Note the server's key as known: DVC refuses unknown ones."""
    key = " ".join((server.keyfile.parent / "host.pub").read_text().split()[:2])
    (home / ".ssh").mkdir(exist_ok=True)
    (home / ".ssh" / "known_hosts").write_text(f"[127.0.0.1]:{server.port} {key}\n")


@pytest.fixture
def repo(make_repo: Callable[[str, Tool], Path], penstock: Tool) -> Path:
    root = make_repo("repo", penstock)
    plain_directory(root / "data")
    (root / "model.bin").write_bytes(bytes(range(256)) * 40_000)
    penstock(root, "add", "data", "model.bin")
    return root


def use(tool: Tool, root: Path, url: str, options: dict[str, str]) -> None:
    tool(root, "remote", "add", "-f", "-d", "store", url)
    for key, value in options.items():
        tool(root, "remote", "modify", "--local", "store", key, value)


def forget(root: Path) -> None:
    shutil.rmtree(root / ".dvc" / "cache")
    shutil.rmtree(root / "data")
    (root / "model.bin").unlink()


def stored(backend: Backend) -> dict[str, bytes]:
    return {entry.key: backend.get(entry.key) for entry in backend.list("")}


def test_what_one_pushed_the_other_pulls(
    repo: Path, remote: tuple[str, dict[str, str]], sides: tuple[Tool, Tool], environment: dict[str, str]
) -> None:
    writer, reader = sides
    use(writer, repo, *remote)
    before = {name: data for name, (data, _) in listing(repo / "data").items()}
    cached = {name: data for name, (data, _) in listing(repo / ".dvc" / "cache").items() if "files/" in name}
    writer(repo, "push")
    assert reader.json(repo, "status", "-c") == {}
    forget(repo)
    reader(repo, "pull")
    assert {name: data for name, (data, _) in listing(repo / "data").items()} == before
    after = {name: data for name, (data, _) in listing(repo / ".dvc" / "cache").items() if "files/" in name}
    assert after == cached


def test_the_remote_holds_what_dvc_would_put_there(
    repo: Path, remote: tuple[str, dict[str, str]], dvc: Tool, penstock: Tool, monkeypatch: pytest.MonkeyPatch
) -> None:
    url, options = remote
    monkeypatch.setenv("HOME", penstock.environment["HOME"])
    found = []
    for tool in (dvc, penstock):
        use(tool, repo, f"{url}/{tool.name}", options)
        tool(repo, "push")
        opened = open_backend(f"{url}/{tool.name}", options)
        found.append(stored(opened))
        opened.close()
    assert found[0] == found[1]


def test_gc_removes_from_the_remote_what_nothing_needs(
    repo: Path, remote: tuple[str, dict[str, str]], dvc: Tool, penstock: Tool
) -> None:
    use(penstock, repo, *remote)
    penstock(repo, "push")
    (repo / "data" / "a.txt").write_text("changed")
    penstock(repo, "add", "data")
    penstock(repo, "push")
    git(repo, "add", "-A")
    git(repo, "commit", "-qm", "second")
    penstock(repo, "gc", "-w", "-c", "-f")
    forget(repo)
    dvc(repo, "pull")
    assert (repo / "data" / "a.txt").read_text() == "changed"
    assert penstock.json(repo, "status") == {}


@pytest.fixture
def web(tmp_path: Path) -> Iterator[WebServer]:
    with run_web(tmp_path / "web") as server:
        yield server


def test_a_web_server_is_a_remote_to_fetch_from(
    repo: Path, web: WebServer, dvc: Tool, penstock: Tool
) -> None:
    use(penstock, repo, str(web.root / "store"), {})
    penstock(repo, "push")
    use(penstock, repo, f"{web.address}/store", {})
    assert penstock.json(repo, "status", "-c") == dvc.json(repo, "status", "-c") == {}
    for tool in (dvc, penstock):
        forget(repo)
        tool(repo, "pull")
        assert (repo / "data" / "sub" / "deep" / "z").read_text() == "sub/deep/z"
        assert penstock.json(repo, "status") == {}
    (repo / "data" / "new").write_text("new")
    penstock(repo, "add", "data")
    done = penstock.run(repo, "push")
    assert done.returncode == 1 and "web server" in done.stderr and "Traceback" not in done.stderr


@pytest.mark.parametrize("method", ["basic", "custom", "in the URL"])
def test_a_web_server_that_asks_who_is_there(
    repo: Path, web: WebServer, penstock: Tool, dvc: Tool, method: str
) -> None:
    use(penstock, repo, str(web.root / "store"), {})
    penstock(repo, "push")
    forget(repo)
    basic = f"Basic {base64.b64encode(f'me:{SECRET}'.encode()).decode()}"
    web.required = ("X-Token", SECRET) if method == "custom" else ("Authorization", basic)
    address = web.address
    options = {"auth": method, "user": "me", "password": SECRET, "custom_auth_header": "X-Token"}
    if method == "in the URL":
        address, options = address.replace("//", f"//me:{SECRET}@"), {}
    use(penstock, repo, f"{address}/store", options)
    (dvc if method == "custom" else penstock)(repo, "fetch", "model.bin")
    penstock(repo, "pull")
    assert (repo / "data" / "B").read_text() == "B"
    forget(repo)
    web.required = ("Authorization", "Basic somebody-else")
    done = penstock.run(repo, "-v", "fetch")
    assert done.returncode in {1, 5} and "credentials" in done.stderr
    assert SECRET not in done.stdout + done.stderr and "Traceback" not in done.stderr
    assert SECRET not in penstock(repo, "remote", "list")
