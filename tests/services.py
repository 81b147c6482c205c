"""Private servers for tests: PostgreSQL and Redis from the distribution, each in a temporary folder
of its own and on a free port or a socket, so that nothing that runs on the machine is touched."""

from __future__ import annotations

import os
import pwd
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import psycopg
import pytest
import redis

START_S = 30.0
USER = "app"


def missing(what: str) -> None:
    """Skip the test for want of ``what``; where everything should be installed (CI=true), fail it."""
    message = f"{what} is not installed"
    if os.environ.get("CI") == "true":
        pytest.fail(message)
    pytest.skip(message)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def postgresql() -> Iterator[str]:
    """Yield the URL of a fresh server's database ``postgres``. It runs as another user where we are root."""
    folder = _postgresql_folder()
    if folder is None:
        missing("PostgreSQL")
        return
    become = ["runuser", "-u", "postgres", "--"] if os.getuid() == 0 else []
    root = Path(tempfile.mkdtemp(prefix="headrace-pg-"))
    if become:
        owner = pwd.getpwnam("postgres")
        os.chown(root, owner.pw_uid, owner.pw_gid)
    port = free_port()
    data = root / "data"
    _run([*become, folder / "initdb", "-D", data, "-A", "trust", "-U", USER, "-E", "UTF8", "--no-sync"], root)
    # Tests do not pull the plug; everything else is as in production.
    options = f"-k {root} -p {port} -c listen_addresses=127.0.0.1 -c fsync=off -c max_connections=200"
    control = [*become, folder / "pg_ctl", "-D", data, "-w", "-t", str(int(START_S))]
    _run([*control, "-l", root / "log", "-o", options, "start"], root)
    try:
        yield f"postgresql://{USER}@127.0.0.1:{port}/postgres"
    finally:
        _run([*control, "-m", "immediate", "stop"], root)
        shutil.rmtree(root)


@contextmanager
def redis_server() -> Iterator[str]:
    """Yield the URL of a fresh Redis, or Valkey, on a socket."""
    program = shutil.which("redis-server") or shutil.which("valkey-server")
    if program is None:
        missing("Redis")
        return
    root = Path(tempfile.mkdtemp(prefix="headrace-redis-"))
    path = root / "s.sock"
    command = [program, "--port", "0", "--unixsocket", str(path), "--save", "", "--dir", str(root)]
    with open(root / "log", "wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log)
    try:
        with redis.Redis(unix_socket_path=str(path)) as client:
            _wait(lambda: client.ping(), redis.ConnectionError)
        yield f"redis+socket://{path}"
    finally:
        process.terminate()
        process.wait(START_S)
        shutil.rmtree(root)


@contextmanager
def new_database(server: str, template: str | None = None) -> Iterator[str]:
    """Yield the URL of a database of its own on ``server``, a copy of ``template``; drop it afterwards."""
    name = f"t{time.time_ns():x}"
    copied = f" TEMPLATE {template}" if template else ""
    with psycopg.connect(server, autocommit=True) as admin:
        admin.execute(f"CREATE DATABASE {name}{copied}")  # type: ignore[arg-type]
    try:
        yield server.rpartition("/")[0] + f"/{name}"
    finally:
        with psycopg.connect(server, autocommit=True) as admin:
            admin.execute(f"DROP DATABASE {name} WITH (FORCE)")  # type: ignore[arg-type]


def _postgresql_folder() -> Path | None:
    debian = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: float(path.parent.name))
    if debian:
        return debian[-1]
    found = shutil.which("initdb")
    return None if found is None else Path(found).resolve().parent


def _run(command: Sequence[object], folder: Path) -> None:
    # Output into a file: the server inherits the descriptors, and a pipe would never end.
    with tempfile.TemporaryFile() as output:
        done = subprocess.run(
            [str(part) for part in command], cwd=folder, stdout=output, stderr=output, timeout=60
        )
        output.seek(0)
        assert done.returncode == 0, output.read().decode()


def _wait(ready: Callable[[], object], not_yet: type[Exception]) -> None:
    deadline = time.monotonic() + START_S
    while True:
        with suppress(not_yet):
            ready()
            return
        assert time.monotonic() < deadline, "the server did not start"
        time.sleep(0.02)
