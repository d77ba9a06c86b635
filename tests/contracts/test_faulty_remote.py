"""A real S3 server behind a proxy that breaks requests: nothing wrong is kept, a rerun completes."""

from __future__ import annotations

import hashlib
import http.client
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from patience import PATIENCE_S
from penstock.base.digest import FileBlocks
from penstock.base.errors import PenstockError, Unavailable
from penstock.data.cache.transfer import Transfer, fetch_objects, find_absent, push_objects
from penstock.data.formats.output import HashInfo
from penstock.data.repository import DataRepository
from penstock.data.verbs.adding import add_path
from penstock.data.verbs.creation import init_repository
from penstock.storage.resolve import open_backend
from servers.faulty import Faults, faulty
from servers.forking import run_penstock
from servers.s3 import S3Server
from stories.live import wait_until

pytestmark = pytest.mark.slow
COUNT = 80


@pytest.fixture
def repo(tmp_path: Path) -> Iterator[DataRepository]:
    root = tmp_path / "repo"
    root.mkdir()
    init_repository(root, no_scm=True)
    for number in range(COUNT):
        path = root / "d" / f"{number}"
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(str(number).encode() * (200_000 if number == 0 else 500))
    opened = DataRepository.open(root)
    yield opened
    opened.close()


def repeat(action, times: int = 20) -> Transfer:  # type: ignore[no-untyped-def]
    """Run a transfer again until nothing fails, as a user would."""
    for _ in range(times):
        try:
            done = action()
        except Unavailable as error:
            assert "127.0.0.1" not in error.message or "s3://" in error.message
            assert error.hint
            continue
        if not done.failed:
            return done  # type: ignore[no-any-return]
    raise AssertionError(f"not complete after {times} runs")


SHARES = {
    "error": 0.4,
    "reset": 0.3,
    "close": 0.3,
    "truncate": 0.4,
    "stall": 0.04,
    "halve": 0.3,
    "lost": 0.3,
    "garble": 0.15,
}


@pytest.mark.parametrize(("kind", "share"), SHARES.items())
def test_push_and_fetch_complete(repo: DataRepository, s3_server: S3Server, kind: str, share: float) -> None:
    tree: HashInfo = add_path(repo, repo.root / "d").hash
    bucket = s3_server.make_bucket()
    faults = Faults((kind,), share, limit=60, stall_s=20)
    patience_s = "5" if kind == "stall" else "60"  # on a busy machine a server that is well takes seconds too
    with faulty(s3_server.endpoint, faults) as address:
        options = {**s3_server.options(), "endpointurl": address, "read_timeout": patience_s}
        remote = open_backend(f"s3://{bucket}/p", options)
        repeat(lambda: push_objects(repo, [tree], remote, jobs=8))
        straight = open_backend(f"s3://{bucket}/p", s3_server.options())
        wanted = {tree.md5, *repo.cache.load_tree(tree).values()}
        assert find_absent(straight, wanted) == []
        for entry in straight.list("files/md5"):
            data = straight.get(entry.key)
            assert hashlib.md5(data).hexdigest() == entry.key[10:].replace("/", "").removesuffix(".dir")
        shutil.rmtree(repo.cache.root)
        again = DataRepository.open(repo.root)
        repeat(lambda: fetch_objects(again, [tree], remote, jobs=8))
        assert again.cache.missing(wanted) == set()
        for md5 in wanted:
            found = hashlib.md5(Path(again.cache.path(md5)).read_bytes()).hexdigest()
            assert found == md5.removesuffix(".dir")
        again.close()
    assert faults.seen[kind] > 0


def test_wrong_bytes_are_never_kept(repo: DataRepository, s3_server: S3Server) -> None:
    tree: HashInfo = add_path(repo, repo.root / "d").hash
    straight = open_backend(f"s3://{s3_server.make_bucket()}/p", s3_server.options())
    push_objects(repo, [tree], straight)
    wanted = {tree.md5, *repo.cache.load_tree(tree).values()}
    shutil.rmtree(repo.cache.root)
    faults = Faults(("wrong",), 0.3, limit=40)
    with faulty(s3_server.endpoint, faults) as address:
        remote = open_backend(straight.url, {**s3_server.options(), "endpointurl": address})
        again = DataRepository.open(repo.root)
        first = fetch_objects(again, sorted_hashes(wanted), remote, jobs=8)
        assert first.failed and all("damaged" in why for why in first.failed.values())
        for md5 in wanted - again.cache.missing(wanted):
            assert hashlib.md5(Path(again.cache.path(md5)).read_bytes()).hexdigest() == md5[:32]
        repeat(lambda: fetch_objects(again, [tree], remote, jobs=8))
        assert again.cache.missing(wanted) == set()
        again.close()
    assert faults.seen["wrong"] > 0


def test_a_large_upload_whose_parts_are_changed_on_the_way_is_refused(
    tmp_path: Path, s3_server: S3Server
) -> None:
    data = random.Random(3).randbytes(40 << 20)
    (tmp_path / "large").write_bytes(data)
    straight = open_backend(f"s3://{s3_server.make_bucket()}/p", s3_server.options())
    faults = Faults(("garble",), 1.0, limit=1)
    with faulty(s3_server.endpoint, faults) as address:
        remote = open_backend(straight.url, {**s3_server.options(), "endpointurl": address})
        with pytest.raises(Unavailable):
            remote.upload("large", FileBlocks(tmp_path / "large"), len(data))
        assert faults.seen["garble"] == 1
        assert not straight.exists("large")
        remote.upload("large", FileBlocks(tmp_path / "large"), len(data))
    assert straight.get("large") == data


def sorted_hashes(md5s: set[str]) -> list[HashInfo]:
    return [HashInfo(md5) for md5 in sorted(md5s) if not md5.endswith(".dir")]


def cli(repo: DataRepository, *arguments: str) -> subprocess.Popen[str]:
    program = Path(sys.executable).with_name("penstock")
    pipe = subprocess.PIPE
    return subprocess.Popen([program, *arguments], cwd=repo.root, stdout=pipe, stderr=pipe, text=True)


def object_requests(faults: Faults, method: str) -> list[str]:
    """Return the objects that were asked for or stored, in the order of the answers."""
    return [
        path.rpartition("files/md5/")[2].partition("?")[0].replace("/", "")
        for made, path, status in faults.log
        if made == method and "files/md5/" in path and status == 200
    ]


def test_a_killed_push_and_fetch_continue_and_send_nothing_twice(
    repo: DataRepository, s3_server: S3Server
) -> None:
    tree: HashInfo = add_path(repo, repo.root / "d").hash
    wanted = {tree.md5, *repo.cache.load_tree(tree).values()}
    faults = Faults((), 0.0, pause_s=0.02)
    with faulty(s3_server.endpoint, faults) as address:
        configure(repo, s3_server, address)
        for command, method in (("push", "PUT"), ("fetch", "GET")):
            faults.log.clear()
            process = cli(repo, command, "-j", "2")
            while len(object_requests(faults, method)) < COUNT // 3:
                assert process.poll() is None, process.communicate()
                time.sleep(0.01)
            process.kill()
            process.communicate()
            wait_for_silence(faults, address)  # what was on its way at the kill reaches the proxy's log late
            done = object_requests(faults, method)
            assert len(done) < COUNT
            if command == "push":
                assert not any(md5.endswith(".dir") for md5 in done)
                kept = set(done)
            else:
                assert done[0] == tree.md5
                kept = wanted - DataRepository.open(repo.root).cache.missing(wanted)
                assert len(kept) >= COUNT // 3 - 2
            faults.log.clear()
            again = run_penstock(repo.root, command, "-j", "2")
            assert again.returncode == 0, again
            second = object_requests(faults, method)
            assert sorted(set(second)) == sorted(second)
            assert not kept & set(second)
            assert kept | set(second) == wanted
            if command == "push":
                assert second[-1] == tree.md5
                shutil.rmtree(repo.cache.root)
        assert DataRepository.open(repo.root).cache.missing(wanted) == set()


def configure(repo: DataRepository, server: S3Server, address: str) -> None:
    """Make a new bucket behind `address` the repository's default remote."""
    config = {"url": f"s3://{server.make_bucket()}/p", **server.options(), "endpointurl": address}
    lines = "".join(f"    {key} = {value}\n" for key, value in config.items())
    (repo.root / ".dvc" / "config").write_text(
        f"[core]\n    remote = s\n    no_scm = true\n['remote \"s\"']\n{lines}"
    )


@pytest.mark.parametrize(
    ("command", "stalled"), [("push", "GET"), ("push", "HEAD"), ("push", "PUT"), ("fetch", "GET")]
)
def test_who_interrupts_does_not_wait_for_a_server_that_says_nothing(
    repo: DataRepository, s3_server: S3Server, command: str, stalled: str
) -> None:
    """Ctrl-C while the remote is listed, asked for one object, sent to, read from; then it goes on as usual."""
    add_path(repo, repo.root / "d")
    faults = Faults((f"stall {stalled}",), 0.0, stall_s=2 * PATIENCE_S)
    with faulty(s3_server.endpoint, faults) as address:
        configure(repo, s3_server, address)
        if command == "fetch":
            assert run_penstock(repo.root, "push").returncode == 0
            shutil.rmtree(repo.cache.root)
        faults.share = 1.0
        process = cli(repo, command)
        while not faults.seen:
            assert process.poll() is None, process.communicate()
            time.sleep(0.01)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=PATIENCE_S)
        assert (process.returncode, err.splitlines()[-1]) == (130, "interrupted"), (out, err)
        faults.share = 0.0
        again = run_penstock(repo.root, command)
        assert again.returncode == 0, again
    assert not list(Path(repo.cache.root, "tmp").glob("*"))


def wait_for_silence(faults: Faults, address: str) -> None:
    """Wait until the proxy has done with every connection of a process that has ended."""
    wait_until(lambda: faults.open_count == 0)
    last = http.client.HTTPConnection(address.removeprefix("http://"), timeout=PATIENCE_S)
    last.request("HEAD", "/")  # it is accepted after all that were made before
    last.getresponse().read()
    last.close()
    wait_until(lambda: faults.open_count == 0)


@pytest.mark.parametrize("command", [["push"], ["-v", "fetch"], ["--json", "status", "-c"]])
def test_no_message_shows_a_credential(repo: DataRepository, s3_server: S3Server, command: list[str]) -> None:
    """A dead address, a broken answer, a refusal: S3's secret and Azure's signature stay unsaid."""
    add_path(repo, repo.root / "d")
    if "fetch" in command:
        shutil.rmtree(repo.cache.root)
    secrets = ("S3CRETKEY", "S3CRETSIGNATURE", "S3CRETTOKEN", "S3CRETPASSWORD")
    signature = "sv=2023-11-03&ss=b&srt=sco&sp=rwdlac&sig=S3CRETSIGNATURE"
    with faulty(s3_server.endpoint, Faults(("error", "close"), 1.0)) as broken:
        dead = "http://127.0.0.1:1"
        for url, options in (
            ("s3://bucket/p", {"endpointurl": s3_server.endpoint, "access_key_id": "tester"}),
            ("s3://bucket/p", {"endpointurl": dead, "access_key_id": "tester", "session_token": secrets[2]}),
            ("s3://bucket/p", {"endpointurl": broken, "access_key_id": "tester"}),
            (
                "azure://box/p",
                {"connection_string": f"BlobEndpoint={dead}/acc;SharedAccessSignature={signature}"},
            ),
            ("azure://box/p", {"connection_string": f"AccountName=acc;AccountKey={secrets[0]}"}),
            (f"http://me:{secrets[3]}@127.0.0.1:1/p", {}),
        ):
            given = {**options, "secret_access_key": secrets[0]} if url.startswith("s3") else options
            lines = "".join(f'    {key} = "{value}"\n' for key, value in {"url": url, **given}.items())
            (repo.root / ".dvc" / "config").write_text(
                f"[core]\n    remote = s\n    no_scm = true\n['remote \"s\"']\n{lines}"
            )
            done = run_penstock(repo.root, *command)
            assert done.returncode in {1, 5}, (url, done)
            assert "Traceback" not in done.stderr
            assert not any(secret in done.stdout + done.stderr for secret in secrets), done


def test_a_dead_remote_is_named(repo: DataRepository, s3_server: S3Server) -> None:
    tree = add_path(repo, repo.root / "d").hash
    bucket = s3_server.make_bucket()
    with faulty(s3_server.endpoint, Faults(("reset",), 1.0)) as address:
        options = {**s3_server.options(), "endpointurl": address}
        with pytest.raises(PenstockError) as caught:
            push_objects(repo, [tree], open_backend(f"s3://{bucket}/p", options), jobs=4)
    assert bucket in caught.value.message and "testing" not in caught.value.message
    assert caught.value.hint
