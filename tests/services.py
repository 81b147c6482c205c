"""Private servers for tests: PostgreSQL, Redis and RabbitMQ from the distribution, each in a temporary folder
of its own and on a free port or a socket, so that nothing that runs on the machine is touched."""

from __future__ import annotations

import os
import pwd
import secrets
import shutil
import signal
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
from kombu import Connection

START_S = 30.0
RABBITMQ_START_S = 150.0
"""It takes ten seconds of an idle core."""
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
    folder = postgresql_folder()
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


class RabbitMQ:
    """A private RabbitMQ that tests may stop, start again on the same port, and freeze."""

    def __init__(self, program: str, root: Path) -> None:
        self._program, self._root = program, root
        self._port, self._epmd_port = free_port(), free_port()
        self.url = f"amqp://guest:guest@127.0.0.1:{self._port}//"
        (root / ".erlang.cookie").write_text(secrets.token_hex(16))
        (root / ".erlang.cookie").chmod(0o400)
        (root / "enabled_plugins").write_text("[].")
        (root / "rabbitmq.conf").write_text(f"listeners.tcp.1 = 127.0.0.1:{self._port}\nlog.file = false\n")
        # The registry of Erlang nodes would else be started as a daemon, on the port of the whole machine.
        epmd = ["epmd", "-port", str(self._epmd_port), "-address", "127.0.0.1"]
        self._epmd = subprocess.Popen(epmd, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self._process: subprocess.Popen[bytes]

    def start(self) -> None:
        """Start it, and wait until it takes connections."""
        environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(self._root),
            "ERL_EPMD_PORT": str(self._epmd_port),
            "ERL_EPMD_ADDRESS": "127.0.0.1",
            "RABBITMQ_NODENAME": "headrace@localhost",
            "RABBITMQ_DIST_PORT": str(free_port()),
            "RABBITMQ_MNESIA_BASE": str(self._root / "mnesia"),
            "RABBITMQ_LOG_BASE": str(self._root / "log"),
            "RABBITMQ_PID_FILE": str(self._root / "pid"),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(self._root / "enabled_plugins"),
            "RABBITMQ_CONFIG_FILE": str(self._root / "rabbitmq.conf"),
            "RABBITMQ_CONF_ENV_FILE": "/dev/null",
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "+sbwt none",
        }
        with open(self._root / "out", "ab") as log:
            self._process = subprocess.Popen(
                [self._program], env=environment, stdout=log, stderr=log, start_new_session=True
            )
        _wait(self._connect, OSError, RABBITMQ_START_S)

    def stop(self) -> None:
        """End it in order."""
        self._process.terminate()
        self._process.wait(START_S)

    @contextmanager
    def frozen(self) -> Iterator[None]:
        """Stop it dead for as long as a ``with``; its connections stay open."""
        os.killpg(self._process.pid, signal.SIGSTOP)
        try:
            yield
        finally:
            os.killpg(self._process.pid, signal.SIGCONT)

    def close(self) -> None:
        """End it, and what it needed."""
        self.stop()
        self._epmd.kill()
        self._epmd.wait()

    def consumers(self, queue: str) -> int:
        """Return how many listen to ``queue``."""
        with Connection(self.url) as connection:
            return int(connection.default_channel.queue_declare(queue, passive=True).consumer_count)

    def _connect(self) -> None:
        with Connection(self.url, connect_timeout=2) as connection:
            connection.connect()


@contextmanager
def rabbitmq() -> Iterator[RabbitMQ]:
    """Yield a fresh RabbitMQ that runs."""
    # The script behind Debian's, which would change to another user and look into /etc.
    program = Path("/usr/lib/rabbitmq/bin/rabbitmq-server")
    if not program.exists():
        missing("RabbitMQ")
        return
    root = Path(tempfile.mkdtemp(prefix="headrace-rabbitmq-"))
    server = RabbitMQ(str(program), root)
    try:
        server.start()
        yield server
    finally:
        server.close()
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


def postgresql_folder() -> Path | None:
    """Return where PostgreSQL's programs are."""
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


def _wait(ready: Callable[[], object], not_yet: type[Exception], patience_s: float = START_S) -> None:
    deadline = time.monotonic() + patience_s
    while True:
        with suppress(not_yet):
            ready()
            return
        assert time.monotonic() < deadline, "the server did not start"
        time.sleep(0.02)
