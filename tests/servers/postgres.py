"""A real PostgreSQL server of Debian's packages, on a free port, for one test session."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg

from patience import PATIENCE_S
from servers.ports import reserve
from servers.programs import missing


class PostgresServer:
    """A running server; every test gets a database, or a schema of one, of its own."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._shared: dict[int, str] = {}

    def new_schema(self) -> str:
        """Make an empty schema and return the URL of its database with that schema as the only one seen.

        A database is 900 files, which take longer to make and to remove than most tests.
        """
        shared = self._shared.setdefault(os.getpid(), "") or self.new_database()
        self._shared[os.getpid()] = shared
        name = f"schema_{uuid.uuid4().hex[:12]}"
        self._run(shared, f"CREATE SCHEMA {name}")
        return f"{shared}?options=-csearch_path%3D{name}"

    def new_database(self) -> str:
        """Make an empty database and return its URL."""
        name = f"test_{uuid.uuid4().hex[:12]}"
        self._run(self._url("postgres"), f"CREATE DATABASE {name}")
        return self._url(name)

    def _url(self, database: str) -> str:
        return f"postgresql://tester@127.0.0.1:{self._port}/{database}"

    def _run(self, url: str, statement: str) -> None:
        """Run a statement on a connection of its own, which costs no process of `psql` or `createdb`."""
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute(statement)


def find_programs() -> Path | None:
    """Return the folder of the newest installed server's programs, or None."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: int(path.parts[-3]))
    if found:
        return found[-1].parent
    initdb = shutil.which("initdb")
    return Path(initdb).parent if initdb else None


@contextmanager
def run_postgres(root: Path) -> Iterator[PostgresServer]:
    """Run a server below `root`; as root it runs as the user `postgres`."""
    programs = find_programs()
    if programs is None:
        missing("PostgreSQL", "postgresql")
    port = reserve()
    with tempfile.TemporaryDirectory(prefix="penstock-postgres-") as folder:
        user = "postgres" if os.geteuid() == 0 else None
        if user:
            owner = pwd.getpwnam(user)
            os.chown(folder, owner.pw_uid, owner.pw_gid)
        data = f"{folder}/data"
        options = {"user": user, "cwd": folder} if user else {"cwd": folder}
        init = [programs / "initdb", "-D", data, "-U", "tester", "-A", "trust", "-E", "UTF8", "--no-sync"]
        subprocess.run(init, check=True, capture_output=True, **options)  # type: ignore[call-overload]
        command = [
            programs / "postgres",
            "-D",
            data,
            "-p",
            str(port),
            "-k",
            folder,
            "-c",
            "listen_addresses=127.0.0.1",
            "-c",
            "fsync=off",
            "-c",
            "synchronous_commit=off",
            "-c",
            "full_page_writes=off",
        ]
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, **options)  # type: ignore[call-overload]
        try:
            deadline = time.monotonic() + PATIENCE_S
            ready = [programs / "pg_isready", "-h", "127.0.0.1", "-p", str(port)]
            while subprocess.run(ready, check=False, capture_output=True).returncode != 0:
                if time.monotonic() > deadline or process.poll() is not None:
                    raise RuntimeError("PostgreSQL did not start")
                time.sleep(0.1)
            yield PostgresServer(port)
        finally:
            process.send_signal(signal.SIGINT)  # fast: clients that are still connected do not hold it up
            process.wait(PATIENCE_S)
