"""A private server that speaks S3, for tests."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager

from services import free_port

START_S = 30.0


@contextmanager
def s3_server() -> Iterator[str]:
    """Yield the address of a fresh, empty server with the bucket ``artifacts``."""
    port = free_port()
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    server = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        _wait(server, port)
        make = urllib.request.Request(f"http://127.0.0.1:{port}/artifacts", method="PUT")
        urllib.request.urlopen(make, timeout=START_S).close()
        yield f"http://127.0.0.1:{port}"
    finally:
        server.kill()
        server.wait()


def s3_environment(address: str) -> dict[str, str]:
    """Return the variables with which a client finds the server at ``address``."""
    return {
        "AWS_ENDPOINT_URL": address,
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_DEFAULT_REGION": "us-east-1",
    }


def _wait(server: subprocess.Popen[bytes], port: int) -> None:
    deadline = time.monotonic() + START_S
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
            return
        except OSError:
            assert server.poll() is None, "the server has ended"
            assert time.monotonic() < deadline, "the server did not start"
            time.sleep(0.02)
