"""PostgreSQL and Redis as the suite needs them: private, and killed, frozen, filled and cut off at will."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil
import psycopg
import redis

from services import START_S, USER, free_port, postgresql_folder


class Postgres:
    """A server of its own, in a folder of its own."""

    def __init__(self) -> None:
        folder = postgresql_folder()
        if folder is None:
            raise SystemExit("PostgreSQL is not installed: apt-get install postgresql")
        self._become = ["runuser", "-u", "postgres", "--"] if os.getuid() == 0 else []
        self._root = Path(tempfile.mkdtemp(prefix="chaos-pg-"))
        if self._become:
            owner = pwd.getpwnam("postgres")
            os.chown(self._root, owner.pw_uid, owner.pw_gid)
        self._data = self._root / "data"
        self._programs = folder
        self._port = free_port()
        self.url = f"postgresql://{USER}@127.0.0.1:{self._port}/postgres"
        self._run("initdb", "-D", self._data, "-A", "trust", "-U", USER, "-E", "UTF8", "--no-sync")

    def start(self) -> None:
        """Start it, after a crash too: return when it answers."""
        # A killed process loses nothing that it gave to the kernel; nobody pulls the plug here.
        options = f"-k {self._root} -p {self._port} -c listen_addresses=127.0.0.1 -c fsync=off"
        options += " -c max_connections=300"
        control = ("-D", self._data, "-l", self._root / "log", "-o", options, "-w", "-t", str(int(START_S)))
        deadline = time.monotonic() + START_S
        while True:  # children of the killed server may take a moment to find out
            try:
                self._run("pg_ctl", *control, "start")
                return
            except subprocess.CalledProcessError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.2)

    def kill(self) -> None:
        """SIGKILL every process of the server, the postmaster first."""
        postmaster = psutil.Process(int((self._data / "postmaster.pid").read_text().split()[0]))
        children = postmaster.children(recursive=True)
        for process in (postmaster, *children):
            with suppress(psutil.NoSuchProcess):
                process.kill()
        psutil.wait_procs([postmaster, *children], timeout=START_S)

    def close(self) -> None:
        with suppress(subprocess.CalledProcessError):
            self._run("pg_ctl", "-D", self._data, "-m", "immediate", "-w", "stop")
        shutil.rmtree(self._root)

    @contextmanager
    def administrator(self) -> Iterator[psycopg.Connection]:
        """Yield a connection that no fault of ours ends."""
        with psycopg.connect(self.url, autocommit=True, application_name="chaos") as connection:
            yield connection

    def _run(self, program: str, *words: object) -> None:
        command = [*self._become, self._programs / program, *words]
        with tempfile.TemporaryFile() as output:  # a pipe would stay open for as long as the server lives
            subprocess.run(
                [str(word) for word in command],
                cwd=self._root,
                stdout=output,
                stderr=output,
                check=True,
                timeout=2 * START_S,
            )


class Broker:
    """A Redis on a socket that keeps nothing."""

    def __init__(self) -> None:
        program = shutil.which("redis-server") or shutil.which("valkey-server")
        if program is None:
            raise SystemExit("Redis is not installed: apt-get install redis-server")
        self._root = Path(tempfile.mkdtemp(prefix="chaos-redis-"))
        self._socket = self._root / "s.sock"
        self._command = [program, "--port", "0", "--unixsocket", str(self._socket), "--save", ""]
        self._process: subprocess.Popen[bytes] | None = None
        self.url = f"redis+socket://{self._socket}"

    def start(self) -> None:
        with (self._root / "log").open("ab") as log:
            self._process = subprocess.Popen(self._command, cwd=self._root, stdout=log, stderr=log)
        deadline = time.monotonic() + START_S
        while True:
            with suppress(redis.RedisError), self.client() as client:
                client.ping()
                return
            assert time.monotonic() < deadline, "Redis does not start"
            time.sleep(0.02)

    def kill(self) -> None:
        assert self._process is not None
        self._process.kill()
        self._process.wait()

    @contextmanager
    def frozen(self) -> Iterator[None]:
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)
        try:
            yield
        finally:
            self._process.send_signal(signal.SIGCONT)

    def client(self) -> redis.Redis:
        return redis.Redis(unix_socket_path=str(self._socket), socket_timeout=5)

    def close(self) -> None:
        with suppress(OSError):
            self.kill()
        shutil.rmtree(self._root)


def patiently(act: Callable[[], object], *errors: type[Exception], within_s: float = START_S) -> None:
    """Do ``act`` until it raises none of ``errors``."""
    deadline = time.monotonic() + within_s
    while True:
        try:
            act()
            return
        except errors:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.1)
