"""The web process as it is run: `headrace web`, gunicorn and all, over a socket."""

from __future__ import annotations

import json
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from contract.server import MEGABYTE, Server, answers, is_alive, serve, wait


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, sqlite_template: Path) -> Iterator[Server]:
    """One server for all tests that leave it as it was."""
    with serve(tmp_path_factory.mktemp("server"), sqlite_template) as server:
        yield server


@pytest.fixture
def own_server(tmp_path: Path, sqlite_template: Path) -> Iterator[Server]:
    """A server for a test that ends it."""
    with serve(tmp_path, sqlite_template) as server:
        yield server


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
            wait(server.stage)
        wait(lambda: not server.stage())
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
    wait(lambda: not is_alive(first))
    wait(lambda: answers(server))
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
        wait(server.stage)
        started = time.monotonic()
        server.process.send_signal(number)
        assert server.process.wait(10) == 0
        assert time.monotonic() - started < 6
    assert not is_alive(worker)
    with pytest.raises(ConnectionRefusedError):
        server.connect()
    assert not list(Path.home().glob("*gunicorn*"))
