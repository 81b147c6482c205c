"""Asking the serving process for predictions.

`headrace serve` keeps versions loaded in job processes; the web server hands it what a client asks. Between
the two runs one connection per question, over a Unix socket in the runtime folder, or over TCP where
``HEADRACE_SERVE_URL`` says so, authenticated by ``HEADRACE_SERVE_SECRET`` (`multiprocessing.connection`: an
HMAC challenge both ways; only bytes are sent, never pickles). Question and answer are JSON.
"""

from __future__ import annotations

import json
import socket
from multiprocessing import AuthenticationError
from multiprocessing.connection import Client
from typing import Any, Literal, NamedTuple
from urllib.parse import urlsplit

from headrace.config import Settings
from headrace.errors import FieldError, Invalid, Unavailable

MAX_INSTANCES = 1000
MAX_MESSAGE_BYTES = 64 * 1024**2
CONNECT_S = 2.0
LOAD_S = 20.0
"""How long a question waits until TensorFlow is imported, and again until its version is loaded."""
PATIENCE_S = 25.0
"""How long a client waits. What is being loaded meanwhile is loaded when it asks again."""


class Model(NamedTuple):
    """The version that is asked: its package, and the runtime that it needs."""

    package: str
    runtime: Literal["plain", "tensorflow"]


def address(settings: Settings) -> str | tuple[str, int]:
    """Return where the serving process listens: a path, or host and port."""
    if settings.serve_url is None:
        return str(settings.serve_socket)
    parts = urlsplit(settings.serve_url)
    return parts.hostname or "127.0.0.1", parts.port or 8701


def secret(settings: Settings) -> bytes:
    """Return what both sides must know. The socket's folder keeps strangers out, a port does not."""
    return (settings.serve_secret or "unix socket").encode()


def predict(settings: Settings, model: Model, instances: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return one prediction per instance.

    Raises `Invalid` for instances that do not fit, each ``loc`` beginning with "instances", and `Unavailable`
    when the serving process cannot answer now.
    """
    question = {"package": model.package, "runtime": model.runtime, "instances": instances}
    answer = _ask(settings, json.dumps(question).encode())
    if "errors" in answer:
        raise Invalid([FieldError(loc=tuple(e["loc"]), msg=e["msg"]) for e in answer["errors"]])
    if "unavailable" in answer:
        raise Unavailable(answer["unavailable"])
    predictions: list[dict[str, Any]] = answer["predictions"]
    return predictions


def _ask(settings: Settings, question: bytes) -> dict[str, Any]:
    where = address(settings)
    try:
        if isinstance(where, tuple):
            # The library's client would wait for a host that is gone as long as the kernel does.
            socket.create_connection(where, CONNECT_S).close()
        with Client(where, authkey=secret(settings)) as connection:
            connection.send_bytes(question)
            if not connection.poll(PATIENCE_S):
                raise Unavailable("the model is being loaded or busy; ask again")
            answer: dict[str, Any] = json.loads(connection.recv_bytes(MAX_MESSAGE_BYTES))
    except AuthenticationError:
        raise Unavailable("the serving process has another HEADRACE_SERVE_SECRET") from None
    except (OSError, EOFError):
        raise Unavailable("the serving process is not running; start `headrace serve`") from None
    return answer
