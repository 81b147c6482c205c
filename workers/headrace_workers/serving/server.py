"""The serving process: one connection, and one thread, per question."""

from __future__ import annotations

import logging
import os
import socket
import struct
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from multiprocessing import AuthenticationError
from multiprocessing.connection import (
    Client,
    Connection,
    Listener,
    answer_challenge,
    deliver_challenge,
)

from headrace import online
from headrace.artifacts.store import open_store
from headrace.config import Settings
from headrace.errors import Invalid
from headrace_workers import scratch
from headrace_workers.scratch import Scratch
from headrace_workers.serving.warm import WarmModels, answer

log = logging.getLogger(__name__)

THREADS = 16
STALL_S = 10
"""A client that connects and asks nothing for so long is given up."""


def serve(settings: Settings, stop: threading.Event) -> None:
    """Answer questions until ``stop`` is set. Raises `Invalid` for a port without a secret."""
    where = online.address(settings)
    if isinstance(where, tuple) and not settings.serve_secret:
        raise Invalid.field("HEADRACE_SERVE_SECRET", msg="is needed where HEADRACE_SERVE_URL names a port")
    root = settings.data / "serving"
    scratch.sweep(root)
    settings.runtime.mkdir(mode=0o700, parents=True, exist_ok=True)
    if isinstance(where, str):
        with suppress(FileNotFoundError):  # of a predecessor that was killed
            os.unlink(where)
    with Scratch(root) as space, ThreadPoolExecutor(THREADS) as pool, Listener(where) as listener:
        models = WarmModels(settings, open_store(settings.artifacts_url), space)

        def wake() -> None:
            stop.wait()
            with suppress(OSError):
                Client(where).close()

        threading.Thread(target=wake, daemon=True).start()
        log.info("serving at %s", where)
        while not stop.is_set():
            try:
                connection = listener.accept()
            except OSError:
                continue
            pool.submit(_converse, connection, online.secret(settings), lambda q: answer(models, q))
        models.close()


def _converse(connection: Connection[bytes, bytes], secret: bytes, reply: Callable[[bytes], bytes]) -> None:
    with connection, suppress(OSError, EOFError, AuthenticationError):
        with socket.socket(fileno=os.dup(connection.fileno())) as same:
            same.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, struct.pack("ll", STALL_S, 0))
        # Not in accept(), where one who connects and says nothing would keep the others out.
        deliver_challenge(connection, secret)
        answer_challenge(connection, secret)
        connection.send_bytes(reply(connection.recv_bytes(online.MAX_MESSAGE_BYTES)))
