"""The Celery side of a worker: a consumer whose one task wakes the slots.

Celery brings the message and nothing else: no results, no remote control, no late acknowledgement, no
prefetch to speak of. The consumer runs in a thread and connects again by itself; while it cannot, the slots
look for jobs on their own.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

from celery import Celery
from kombu import Queue

from headrace.config import Settings
from headrace.dispatch import TASK, celery_options, celery_queue

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
        worker_hijack_root_logger=False,
        # The consumer waits for messages on its socket, so it must be patient where a sender must not.
        broker_transport_options={"socket_connect_timeout": 2, "socket_keepalive": True},
    )

    @app.task(name=TASK, ignore_result=True, acks_late=False)
    def wake_task(queue: str = "", job: str = "") -> None:
        """Wake the slots; ``queue`` and ``job`` are for those who watch the broker."""
        wake()

    return app


def consume(app: Celery, name: str) -> threading.Thread:
    """Start the consumer, in a thread that ends with the process, and return the thread."""

    def run() -> None:
        try:
            app.WorkController(
                hostname=f"headrace@{name}",
                pool="threads",
                concurrency=1,
                without_gossip=True,
                without_mingle=True,
                without_heartbeat=True,
                quiet=True,
            ).start()
        except Exception:
            _log.exception("the ticket consumer ended; slots look for jobs on their own")

    thread = threading.Thread(target=run, name="tickets", daemon=True)
    thread.start()
    return thread
