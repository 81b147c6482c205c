"""Tickets: messages that wake workers.

A ticket says "there is work in this queue" and nothing that matters: the job itself is claimed from SQL. So
a ticket may be lost, doubled, late or forged without harm. Tickets are sent after the commit, from a thread
in the background, so that no request ever waits for the broker; while it is away they are dropped, and idle
workers find the jobs by looking every second.

Redis, Valkey and RabbitMQ serve alike. Each call to them ends within seconds: the options that bound it bear
other names for AMQP, and what a transport does not know it ignores. RabbitMQ keeps tickets in memory only and
confirms each, since a connection that was cut while idle would else swallow the next one in silence.
"""

from __future__ import annotations

import logging
import queue
import threading
from contextlib import suppress
from functools import partial
from typing import Any

from sqlalchemy.orm import Session

from headrace.db import Database, after_commit

TASK = "headrace.wake"
_BROKER_TIMEOUT_S = 2
_MOST_PENDING = 10_000
_ONE_RETRY = {"max_retries": 1, "interval_start": 0, "interval_step": 0}
"""The first try finds out that the connection was cut, the second makes a new one."""

_SINK = "headrace_tickets"
_log = logging.getLogger(__name__)


def ticket(session: Session, queue_name: str, job_id: str) -> None:
    """Send a ticket once the session's transaction has committed, if its database has a `Dispatcher`."""
    dispatcher: Dispatcher | None = session.info.get(_SINK)
    if dispatcher is not None:
        after_commit(session, partial(dispatcher.send, queue_name, job_id))


def dispatching_database(database_url: str, broker_url: str) -> tuple[Database, Dispatcher]:
    """Return a database whose commits send tickets, and the dispatcher that sends them."""
    dispatcher = Dispatcher(broker_url)
    return Database(database_url, info={_SINK: dispatcher}), dispatcher


def celery_queue(queue_name: str) -> str:
    """Return the broker's queue for tickets of ``queue_name``."""
    return f"headrace.{queue_name}"


def celery_options(broker_url: str) -> dict[str, Any]:
    """Return the Celery settings that senders and workers share: JSON, no results, short timeouts."""
    return {
        "broker_url": broker_url,
        "task_ignore_result": True,
        "task_serializer": "json",
        "accept_content": ["json"],
        "task_default_delivery_mode": "transient",
        "broker_connection_timeout": _BROKER_TIMEOUT_S,
        "broker_transport_options": {
            "socket_timeout": _BROKER_TIMEOUT_S,
            "socket_connect_timeout": _BROKER_TIMEOUT_S,
            "read_timeout": _BROKER_TIMEOUT_S,
            "write_timeout": _BROKER_TIMEOUT_S,
            "confirm_publish": True,
        },
        # Nobody is there to send one while no ticket is sent, and RabbitMQ would cut the connection.
        "broker_heartbeat": 0,
        "worker_enable_remote_control": False,
    }


class Dispatcher:
    """Sends tickets in the background. The thread starts with the first ticket, so after any fork."""

    def __init__(self, broker_url: str) -> None:
        self._broker_url = broker_url
        self._pending: queue.Queue[tuple[str, str] | None] = queue.Queue(_MOST_PENDING)
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None

    def send(self, queue_name: str, job_id: str) -> None:
        """Send a ticket soon; never waits and never raises."""
        with self._lock:
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="tickets", daemon=True)
                self._thread.start()
        try:
            self._pending.put_nowait((queue_name, job_id))
        except queue.Full:
            _log.warning("ticket dropped: %d are pending", _MOST_PENDING)

    def close(self) -> None:
        """Send what is pending, for a short while, and stop."""
        if self._thread is not None:
            with suppress(queue.Full):
                self._pending.put(None, timeout=_BROKER_TIMEOUT_S)
            self._thread.join(timeout=_BROKER_TIMEOUT_S)

    def _run(self) -> None:
        from celery import Celery

        app = Celery("headrace", set_as_current=False)
        app.conf.update(celery_options(self._broker_url))
        while (pending := self._pending.get()) is not None:
            queue_name, job_id = pending
            try:
                app.send_task(
                    TASK, args=[queue_name, job_id], queue=celery_queue(queue_name), retry_policy=_ONE_RETRY
                )
            except Exception as error:  # whatever the broker's client raises: the job is safe in SQL
                _log.warning("ticket for %s not sent: %s", job_id, error)
