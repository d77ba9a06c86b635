"""Data from URLs: both tools note the same of a source, and each updates what the other imported."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from compat.dvc.test_remotes import know, use
from compat.dvc.tools import Tool, copy_tree, listing
from penstock.storage.backend import Backend
from penstock.storage.resolve import open_backend
from servers.azure import AzureServer
from servers.s3 import S3Server
from servers.ssh import SshServer
from servers.web import run_web

pytestmark = pytest.mark.slow
FILES = {"one.csv": b"a,b\n1,2\n", "d/x": b"x", "d/sub/y": b"why", "d/sub/ü b": b"odd"}


@pytest.fixture
def penstock(penstock_with_servers: Tool) -> Tool:
    return penstock_with_servers


@dataclass
class Origin:
    """A server with files: its URL as it stands in a command, and how the test changes a file there."""

    url: str
    remote: tuple[str, dict[str, str]] | None
    put: Callable[[str, bytes], None]
    has_directories: bool = True


@pytest.fixture(params=["s3", "azure", "ssh", "http", "local"])
def origin(
    request: pytest.FixtureRequest,
    tmp_path: Path,
    environment: dict[str, str],
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Origin]:
    monkeypatch.setenv("HOME", environment["HOME"])
    if request.param == "http":
        with run_web(tmp_path / "web") as server:
            yield filled(Origin(server.address, None, writing(server.root), has_directories=False))
        return
    if request.param == "local":
        yield filled(Origin("remote://store", (str(tmp_path / "place"), {}), writing(tmp_path / "place")))
        return
    if request.param == "ssh":
        ssh: SshServer = request.getfixturevalue("ssh_server")
        know(ssh, Path(environment["HOME"]))
        url, options = ssh.url(tmp_path.name), ssh.options()
    elif request.param == "azure":
        azure: AzureServer = request.getfixturevalue("azure_server")
        url, options = f"azure://{azure.make_container()}/some", azure.options()
    else:
        s3: S3Server = request.getfixturevalue("s3_server")
        url, options = f"s3://{s3.make_bucket()}/some", s3.options()
    backend: Backend = open_backend(url, options)
    yield filled(Origin("remote://store", (url, options), backend.put))
    backend.close()


def writing(root: Path) -> Callable[[str, bytes], None]:
    def put(key: str, data: bytes) -> None:
        path = root / key
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)

    return put


def filled(origin: Origin) -> Origin:
    for key, data in FILES.items():
        origin.put(key, data)
    return origin


@pytest.fixture
def twins(make_repo: Callable[[str, Tool], Path], dvc: Tool, penstock: Tool, origin: Origin) -> list[Path]:
    """Two equal repositories, the first for dvc, the second for penstock."""
    first = make_repo("first", dvc)
    if origin.remote:
        use(penstock, first, *origin.remote)
    second = first.with_name("second")
    copy_tree(first, second)
    return [first, second]


def paths(origin: Origin) -> list[str]:
    return ["one.csv", "d"] if origin.has_directories else ["one.csv", "d/x"]


def same(twins: list[Path]) -> dict[str, bytes]:
    """Return the files of the working tree, which both have alike, pointers and .gitignore with them."""
    found = []
    for root in twins:
        files = {name: data for name, (data, _) in listing(root).items()}
        found.append({name: data for name, data in files.items() if not name.startswith((".git/", ".dvc/"))})
    assert found[0] == found[1]
    return found[0]


def test_both_note_the_same_of_a_source_and_each_updates_what_the_other_imported(
    origin: Origin, twins: list[Path], dvc: Tool, penstock: Tool
) -> None:
    first, second = twins
    third = first.with_name("third")
    copy_tree(second, third)
    for number, path in enumerate(paths(origin)):
        for flag in ("", "--no-download", "--no-exec"):
            for tool, root in zip((dvc, penstock), twins, strict=True):
                tool(root, "import-url", *filter(None, [flag]), f"{origin.url}/{path}", f"out{number}{flag}")
        penstock(third, "import-url", "--no-download", f"{origin.url}/{path}", f"out{number}")
    found = same(twins)
    assert found["out0"] == FILES["one.csv"]
    penstock(third, "pull")
    is_pulled_as_if_imported_whole(third, found)
    assert penstock.json(third, "status") == {}
    for left in first.glob("out*--no-*.dvc"):
        left.unlink()
    shutil.rmtree(second)
    copy_tree(first, second)
    names = [f"out{number}.dvc" for number, _ in enumerate(paths(origin))]
    assert penstock.json(second, "update", *names) == []
    for key, data in {"one.csv": b"a,b\n1,3\n", "d/x": b"xx", "d/new": b"n"}.items():
        origin.put(key, data)
    for tool, root in zip((dvc, penstock), twins, strict=True):
        tool(root, "update", *names)
    found = same(twins)
    assert found["out0"] == b"a,b\n1,3\n"
    assert penstock.json(second, "status") == {}
    done = dvc(second, "update", *names)
    assert "Importing" not in done


def is_pulled_as_if_imported_whole(root: Path, whole: dict[str, bytes]) -> None:
    """Compare a repository with the files of one that has more imports."""
    pulled = {
        name: data for name, (data, _) in listing(root).items() if not name.startswith((".git/", ".dvc/"))
    }
    ignored = pulled.pop(".gitignore").splitlines()
    assert set(ignored) <= set(whole[".gitignore"].splitlines())
    assert {name: whole.get(name) for name in pulled} == pulled
    assert {"out0", "out0.dvc", "out1.dvc"} <= set(pulled)


def test_both_get_the_same(origin: Origin, twins: list[Path], dvc: Tool, penstock: Tool) -> None:
    for path in paths(origin):
        for tool, root in zip((dvc, penstock), twins, strict=True):
            tool(root, "get-url", f"{origin.url}/{path}", f"got-{path.replace('/', '-')}")
    same(twins)
    done = penstock.run(twins[1], "get-url", f"{origin.url}/nothing", "nothing")
    assert done.returncode == 1 and "does not exist" in done.stderr and "Traceback" not in done.stderr
    done = penstock.run(twins[1], "get-url", f"{origin.url}/one.csv", "got-one.csv")
    assert done.returncode == 4 and "--force" in done.stderr


def test_what_changed_at_its_source_is_not_pulled_unseen(
    origin: Origin, twins: list[Path], penstock: Tool
) -> None:
    root = twins[1]
    penstock(root, "import-url", "--no-download", f"{origin.url}/one.csv")
    before = (root / "one.csv.dvc").read_text()
    origin.put("one.csv", b"something else")
    done = penstock.run(root, "pull")
    assert done.returncode == 4 and "penstock update one.csv.dvc" in done.stderr
    assert (root / "one.csv.dvc").read_text() == before
    penstock(root, "update", "one.csv.dvc")
    assert (root / "one.csv").read_bytes() == b"something else"
