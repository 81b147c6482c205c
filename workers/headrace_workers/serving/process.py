"""The entry of a job process that predicts online: load the package, then answer until killed."""

from __future__ import annotations

import json
import sys
import traceback
from multiprocessing.connection import Listener
from pathlib import Path
from typing import Any

from headrace.errors import JobError
from headrace.specs.task import Failed, Progress
from headrace_workers.engine import online
from headrace_workers.engine.main import LineWriter
from headrace_workers.engine.package import Package

PACKAGE_FILE, SOCKET_FILE = "package.zip", "socket"
"""In the working directory: the version, and the path at which to listen."""


def main(fd: int) -> None:
    """Say on ``fd`` that the model is loaded (a `Progress`) or why it cannot be (a `Failed`); then answer."""
    send = LineWriter(fd)
    try:
        package = Package.load(Path(PACKAGE_FILE))
        listener = Listener(Path(SOCKET_FILE).read_text(), "AF_UNIX")
    except JobError as error:
        send(Failed(error=type(error).__name__, message=error.detail[:1000], retryable=False))
        return
    send(Progress(fraction=1.0, message="loaded"))
    # One client, the server that started this process: its end is the end.
    with listener, listener.accept() as connection:
        while True:
            try:
                question = connection.recv_bytes()
            except EOFError:
                return
            connection.send_bytes(json.dumps(_answer(package, question), allow_nan=False).encode())


def _answer(package: Package, question: bytes) -> dict[str, Any]:
    try:
        return online.answer(package.predictor, json.loads(question))
    except Exception:
        traceback.print_exc()
        sys.stderr.flush()
        return {"unavailable": "the model failed on these instances; the log of `headrace serve` says why"}
