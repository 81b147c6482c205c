"""`headrace web` as it is run: gunicorn and all, over a socket."""

from __future__ import annotations

import os
import shutil
import socket
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import httpx
import psutil

from headrace import db
from headrace.access import service as access
from headrace.config import Settings
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


def wait(condition: Callable[[], object], within_s: float = 30) -> None:
    deadline = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


@contextmanager
def serve(folder: Path, template: Path) -> Iterator[Server]:
    """Run a server in ``folder`` on a copy of the database ``template``, with an admin's client."""
    settings = Settings.load(
        {}, data=folder, port=free_port(), broker_url="memory://", max_upload_bytes=400 * MEGABYTE
    )
    shutil.copy(template, folder / "headrace.db")
    database = db.Database(settings.database_url)
    with database.transaction() as session:
        _, key = access.create_key(session, project="default", role="admin", name="", now=datetime.now(UTC))
    database.close()
    environment = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    process = psutil.Popen([sys.executable, "-c", PROGRAM], env=environment | settings.environ())
    headers = {"Authorization": f"Bearer {key}"}
    with httpx.Client(base_url=settings.local_url, headers=headers, timeout=30) as http:
        server = Server(process, settings, http)
        try:
            wait(lambda: answers(server))
            yield server
        finally:
            with suppress(psutil.NoSuchProcess):
                for child in (*process.children(recursive=True), process):
                    child.kill()
            process.wait(10)


def answers(server: Server) -> bool:
    assert server.process.poll() is None
    try:
        return server.http.get("/healthz").status_code == 200
    except httpx.TransportError:
        return False


def is_alive(process: psutil.Process) -> bool:
    try:
        return bool(process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False
