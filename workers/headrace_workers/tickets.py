"""The Celery side of a worker: a consumer whose one task wakes the slots.

Celery brings the message and nothing else: no results, no remote control, no late acknowledgement, no
prefetch to speak of. The consumer runs in a thread and connects again by itself; while it cannot, the slots
look for jobs on their own.
"""

from __future__ import annotations

import logging
import socket
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any, NoReturn

from celery import Celery
from kombu import Queue
from kombu.asynchronous import set_event_loop

from headrace.config import Settings
from headrace.dispatch import TASK, celery_options, celery_queue

KEEPALIVE = {
    getattr(socket, name): value
    for name, value in {"TCP_KEEPIDLE": 10, "TCP_KEEPINTVL": 5, "TCP_KEEPCNT": 3}.items()
    if hasattr(socket, name)
}
"""A broker that is gone without a word is noticed in half a minute; the system's own rule is two hours."""

_AGAIN_S = 1.0
_log = logging.getLogger(__name__)


def make_app(settings: Settings, wake: Callable[[], None]) -> Celery:
    """Return the Celery app of a worker: its queues, and the task `TASK`, which calls ``wake``."""
    app = Celery("headrace", set_as_current=False)
    app.conf.update(celery_options(settings.broker_url))
    app.conf.update(
        task_queues=[Queue(celery_queue(name)) for name in settings.queues],
        broker_connection_retry_on_startup=True,
        broker_connection_max_retries=None,
        worker_prefetch_multiplier=1,
        # There are none; unless it is told so, Celery warns of them whenever it connects anew.
        worker_cancel_long_running_tasks_on_connection_loss=True,
        worker_hijack_root_logger=False,
        # The consumer waits for messages on its socket, so it must be patient where a sender must not.
        broker_transport_options={
            "socket_connect_timeout": 2,
            "socket_keepalive": True,
            "socket_keepalive_options": KEEPALIVE,
        },
    )

    @app.task(name=TASK, ignore_result=True, acks_late=False)
    def wake_task(queue: str = "", job: str = "") -> None:
        """Wake the slots; ``queue`` and ``job`` are for those who watch the broker."""
        wake()

    return app


class Consumer:
    """The consumer of a worker's tickets, in a thread that ends with the process."""

    def __init__(self, app: Celery, name: str) -> None:
        self._app = app
        self._name = name
        self._controller: Any = None

    def start(self) -> None:
        """Start to consume. A broker that is away is waited for."""
        threading.Thread(target=self._run, name="tickets", daemon=True).start()

    def reconnect(self) -> None:
        """Connect to the broker anew, as Celery does after a lost connection."""
        with suppress(AttributeError):  # it is not connected yet
            self._controller.consumer.hub.call_soon(_lose_connection)

    def _run(self) -> None:
        while True:
            self._consume()
            # Celery gives up for good at a message that is no JSON. That one is gone, others follow.
            _log.error("the ticket consumer ended; starting another")
            time.sleep(_AGAIN_S)

    def _consume(self) -> None:
        set_event_loop(None)
        try:
            self._controller = self._app.WorkController(
                hostname=f"headrace@{self._name}",
                pool="threads",
                concurrency=1,
                without_gossip=True,
                without_mingle=True,
                without_heartbeat=True,
                quiet=True,
            )
            self._controller.start()
        except Exception:
            _log.exception("the ticket consumer failed; slots look for jobs on their own")


def _lose_connection() -> NoReturn:
    raise ConnectionResetError("the consumer seems deaf")
