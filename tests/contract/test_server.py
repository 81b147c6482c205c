"""The web process as it is run: `headrace web`, gunicorn and all, over a socket."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import httpx
import psutil
import pytest

from headrace import db
from headrace.access import service as access
from headrace.config import Settings
from headrace_web.app import utc_now
from services import free_port

MEGABYTE = 2**20
PROGRAM = "from headrace_web.command import web; web()"


@dataclass
class Server:
    process: psutil.Popen
    settings: Settings
    http: httpx.Client

    @property
    def worker(self) -> psutil.Process:
        """The process that answers."""
        (worker,) = self.process.children()
        return worker

    def connect(self) -> socket.socket:
        return socket.create_connection((self.settings.host, self.settings.port), timeout=20)

    def exchange(self, request: bytes) -> tuple[int, str, bytes]:
        """Send raw bytes; return the status, the head and the body of the answer."""
        with self.connect() as connection:
            connection.sendall(request)
            connection.shutdown(socket.SHUT_WR)
            answer = b"".join(iter(lambda: connection.recv(65536), b""))
        head, _, body = answer.partition(b"\r\n\r\n")
        return int(head.split()[1]), head.decode(), body

    def stage(self) -> list[Path]:
        return list((self.settings.data / "artifacts" / "staging").iterdir())


def _wait(condition: Callable[[], object], within_s: float = 30) -> None:
    deadline = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


@contextmanager
def _serve(folder: Path, template: Path) -> Iterator[Server]:
    settings = Settings.load(
        {}, data=folder, port=free_port(), broker_url="memory://", max_upload_bytes=400 * MEGABYTE
    )
    shutil.copy(template, folder / "headrace.db")
    database = db.Database(settings.database_url)
    with database.transaction() as session:
        _, key = access.create_key(session, project="default", role="admin", name="", now=utc_now())
    database.close()
    environment = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    process = psutil.Popen([sys.executable, "-c", PROGRAM], env=environment | settings.environ())
    headers = {"Authorization": f"Bearer {key}"}
    with httpx.Client(base_url=settings.local_url, headers=headers, timeout=30) as http:
        server = Server(process, settings, http)
        try:
            _wait(lambda: _answers(server))
            yield server
        finally:
            with suppress(psutil.NoSuchProcess):
                for child in (*process.children(recursive=True), process):
                    child.kill()
            process.wait(10)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, sqlite_template: Path) -> Iterator[Server]:
    """One server for all tests that leave it as it was."""
    with _serve(tmp_path_factory.mktemp("server"), sqlite_template) as server:
        yield server


@pytest.fixture
def own_server(tmp_path: Path, sqlite_template: Path) -> Iterator[Server]:
    """A server for a test that ends it."""
    with _serve(tmp_path, sqlite_template) as server:
        yield server


def _answers(server: Server) -> bool:
    assert server.process.poll() is None
    try:
        return server.http.get("/healthz").status_code == 200
    except httpx.TransportError:
        return False


def _is_alive(process: psutil.Process) -> bool:
    try:
        return bool(process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def _pieces(megabytes: int) -> Iterator[bytes]:
    return (bytes([number]) * MEGABYTE for number in range(megabytes))


def test_it_stays_small_and_reads_no_file_of_a_user(server: Server) -> None:
    url = "/api/v1/datasets/big/versions"
    uploaded = server.http.post(url, content=_pieces(100), headers={"Content-Type": "text/csv"})
    assert uploaded.status_code == 202
    assert uploaded.json()["size_bytes"] == 100 * MEGABYTE
    for path in ("/api/v1/jobs", "/openapi.json", "/docs", "/readyz", "/api/v1/algorithms") * 10:
        server.http.get(path)
    job = server.http.get("/api/v1/jobs").json()["items"][0]
    assert job["kind"] == "ingest"
    assert server.worker.memory_info().rss < 200 * MEGABYTE
    loaded = Path(f"/proc/{server.worker.pid}/maps").read_text()
    for library in ("tensorflow", "numpy", "pyarrow", "sklearn", "pandas"):
        assert f"/{library}/" not in loaded


def test_what_is_too_large_is_refused_early_and_leaves_nothing(server: Server) -> None:
    url = "/api/v1/datasets/big/versions"
    before = server.http.get("/api/v1/datasets").json()["items"]
    head = f"POST {url} HTTP/1.1\r\nHost: localhost\r\nContent-Type: text/csv\r\n".encode()
    head += f"Authorization: {server.http.headers['Authorization']}\r\n".encode()
    status, answer, body = server.exchange(head + b"Content-Length: 999999999999\r\n\r\nx")
    assert status == 413
    assert "application/problem+json" in answer
    assert json.loads(body)["status"] == 413
    brackets = server.http.post(
        "/api/v1/jobs", content=b"[" * 100_000, headers={"Content-Type": "application/json"}
    )
    assert brackets.status_code == 400
    chunked = server.http.post(
        "/api/v1/jobs", content=_pieces(2), headers={"Content-Type": "application/json"}
    )
    assert chunked.status_code == 413
    bad_chunks = head + b"Transfer-Encoding: chunked\r\n\r\n4\r\na,b\n\r\nZZ\r\n"
    assert server.exchange(bad_chunks)[0] == 400
    # A client that goes away in the middle, with and without having said how much there is.
    for rest in (b"Content-Length: 500\r\n\r\na,b\n", b"Transfer-Encoding: chunked\r\n\r\n4\r\na,b\n\r\n"):
        with server.connect() as connection:
            connection.sendall(head + rest)
            _wait(server.stage)
        _wait(lambda: not server.stage())
    assert server.http.get("/api/v1/datasets").json()["items"] == before


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (b"GET / HTTP/9.9\r\n\r\n", 400),
        (b"\x00\x01 nonsense\r\n\r\n", 400),
        (b"GET /docs HTTP/1.1\r\nHost: localhost\r\nX: " + b"x" * 100_000 + b"\r\n\r\n", 431),
        (b"GET /" + b"x" * 10_000 + b" HTTP/1.1\r\nHost: localhost\r\n\r\n", 414),
        (b"GET /docs HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: x\r\n\r\n", 501),
        (b"GET /docs HTTP/1.1\r\nHost: evil.example\r\n\r\n", 400),
    ],
    ids=lambda value: str(value)[:40],
)
def test_what_gunicorn_refuses_is_a_problem_too(server: Server, request_: bytes, status: int) -> None:
    found, head, body = server.exchange(request_)
    assert found == status, (head, body)
    assert "application/problem+json" in head
    assert json.loads(body)["status"] == status


def test_a_worker_that_dies_is_started_again(server: Server) -> None:
    first = server.worker
    first.kill()
    _wait(lambda: not _is_alive(first))
    _wait(lambda: _answers(server))
    assert server.worker.pid != first.pid


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_ends_in_time_with_clients_hanging_on(own_server: Server, number: signal.Signals) -> None:
    server = own_server
    worker = server.worker
    head = "POST /api/v1/datasets/big/versions HTTP/1.1\r\nHost: localhost\r\nContent-Type: text/csv\r\n"
    head += f"Authorization: {server.http.headers['Authorization']}\r\nContent-Length: 500\r\n\r\n"
    with server.connect() as idle, server.connect() as stalled:
        idle.sendall(b"GET /docs HTTP/1.1\r\n")
        stalled.sendall(head.encode() + b"a,b\n")
        _wait(server.stage)
        started = time.monotonic()
        server.process.send_signal(number)
        assert server.process.wait(10) == 0
        assert time.monotonic() - started < 6
    assert not _is_alive(worker)
    with pytest.raises(ConnectionRefusedError):
        server.connect()
    assert not list(Path.home().glob("*gunicorn*"))
