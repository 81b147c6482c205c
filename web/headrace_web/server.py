"""gunicorn, as Headrace runs it: a master that starts dead workers again, and workers of threads.

The app is built in each worker, after the fork. Threads suit what a request does, which is to wait for the
database or for bytes; an upload occupies one for its length, a live stream too. Of streams there are so many
at most (`headrace_web.live`) that the threads meant for other requests stay free.
"""

from __future__ import annotations

import json
import socket
import struct
from typing import Any

from gunicorn import util
from gunicorn.app.base import BaseApplication
from gunicorn.glogging import Logger

from headrace import logs
from headrace.config import Settings
from headrace_web import errors
from headrace_web.calls import Parts

STOP_S = 4
"""How long requests may take to end after SIGTERM."""
STALL_S = 30
"""A client that for so long sends nothing of its request, or takes nothing of its answer, is given up."""


class Server(BaseApplication):
    """gunicorn for ``settings``; `run` returns when it was told to stop."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        super().__init__(prog="headrace web")

    def load_config(self) -> None:
        """Set gunicorn's settings; it reads no file and no environment of its own."""
        host = f"[{self.settings.host}]" if ":" in self.settings.host else self.settings.host
        chosen: dict[str, Any] = {
            "bind": f"{host}:{self.settings.port}",
            "workers": self.settings.web_processes,
            "worker_class": "gthread",
            "threads": self.settings.web_threads + self.settings.web_viewers,
            "worker_connections": 1000,
            "keepalive": 5,
            "graceful_timeout": STOP_S,
            "timeout": 60,
            "preload_app": False,
            "control_socket_disable": True,
            "loglevel": self.settings.log_level.lower(),
            "proc_name": "headrace web",
            "limit_request_line": 8190,
            "post_worker_init": _prepare_worker,
            "logger_class": _Logger,
        }
        for name, value in chosen.items():
            self.cfg.set(name, value)

    def load(self) -> Any:
        """Build the app; called in a worker, after the fork."""
        from headrace_web.app import create_app

        return create_app(self.settings)


class _Logger(Logger):
    """Gunicorn's log as lines of ours, so that they have the one format and are censored."""

    def setup(self, cfg: Any) -> None:
        """Let the root logger write."""
        super().setup(cfg)
        self.error_log.handlers.clear()
        self.error_log.propagate = True


def _prepare_worker(worker: Any) -> None:
    """Give up stalled clients, end live streams in time, and answer what gunicorn refuses as problem+json."""
    for listener in worker.sockets:
        # Accepted sockets inherit it, and unlike a timeout of Python's it outlives setblocking(True).
        timeout = struct.pack("ll", STALL_S, 0)
        listener.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, timeout)
        listener.sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, timeout)
    Parts.of(worker.wsgi).feed.stop_when(lambda: not worker.alive)
    # The one place that all of gunicorn's own answers go through; it has no setting for it.
    util.write_error = write_error


def write_error(sock: socket.socket, status_int: int, reason: str, mesg: str) -> None:
    """Answer a request that gunicorn cannot read, in place of its HTML."""
    body = json.dumps(errors.document(errors.of_status(status_int), mesg or reason, instance="")).encode()
    head = (
        f"HTTP/1.1 {status_int} {reason}\r\nConnection: close\r\nContent-Type: {errors.MEDIA_TYPE}\r\n"
        f"X-Content-Type-Options: nosniff\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    util.write_nonblock(sock, head.encode("latin-1") + body)


def serve(settings: Settings) -> None:
    """Serve until SIGTERM or SIGINT."""
    logs.configure(settings, "web")
    Server(settings).run()
