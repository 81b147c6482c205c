"""The commands ``headrace worker`` and ``headrace serve``."""

from __future__ import annotations

import logging
import os
import signal
import threading
from types import FrameType

import click

from headrace import logs, schema
from headrace.config import Settings

_SHUTDOWN_S = 5.0


@click.command()
def serve() -> None:
    """Keep models loaded and predict with them, for the web server. SIGTERM or Ctrl-C ends it."""
    from headrace_workers.serving import server

    settings = Settings.load()
    logs.configure(settings, "serve")
    stopping = threading.Event()

    def stop(_signal: int, _frame: FrameType | None) -> None:
        stopping.set()
        # Whatever still predicts dies with this process.
        threading.Timer(_SHUTDOWN_S, os._exit, args=(1,)).start()

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
    server.serve(settings, stopping)
    logging.shutdown()
    os._exit(0)


@click.command()
@click.option("--queues", help="Queues to serve, separated by commas.")
@click.option("--slots", type=int, help="Jobs to run at once.")
def worker(queues: str | None, slots: int | None) -> None:
    """Claim jobs and run them. SIGTERM or Ctrl-C hands running jobs back and ends it."""
    from headrace_workers.supervisor import Supervisor
    from headrace_workers.tickets import Consumer, make_app

    settings = Settings.load(queues=queues, slots=slots)
    logs.configure(settings, "worker")
    schema.require(settings.database_url)
    supervisor = Supervisor(settings)

    def stop(_signal: int, _frame: FrameType | None) -> None:
        threading.Thread(target=supervisor.stop, daemon=True).start()
        threading.Timer(_SHUTDOWN_S, os._exit, args=(1,)).start()

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
    consumer = Consumer(make_app(settings, supervisor.wake), supervisor.name)
    supervisor.on_deaf = consumer.reconnect
    consumer.start()
    supervisor.run()
    # Celery's threads do not end by themselves, and there is nothing left to lose.
    logging.shutdown()
    os._exit(0)
