"""A worker like ``headrace worker``, but without TensorFlow and scikit-learn in its fork servers: it starts
fast."""

import os
import signal
import threading

from headrace import logs
from headrace.config import Settings
from headrace_workers.supervisor import Supervisor
from headrace_workers.tickets import Consumer, make_app

BARE = "headrace_workers.engine.preload:bare"

settings = Settings.load()
logs.configure(settings, "worker")
supervisor = Supervisor(settings, preloads={"plain": BARE, "tensorflow": BARE})
signal.signal(signal.SIGTERM, lambda *_: threading.Thread(target=supervisor.stop).start())
consumer = Consumer(make_app(supervisor.settings, supervisor.wake), supervisor.name)
supervisor.on_deaf = consumer.reconnect
consumer.start()
supervisor.run()
os._exit(0)
