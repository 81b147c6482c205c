"""A worker like ``headrace worker``, but without TensorFlow in its fork servers, so that it starts fast."""

import logging
import os
import signal
import sys
import threading

from headrace.config import Settings
from headrace_workers.supervisor import Supervisor
from headrace_workers.tickets import consume, make_app

logging.basicConfig(level="INFO", stream=sys.stderr, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
supervisor = Supervisor(Settings.load(), preloads={"plain": "light", "tensorflow": "light"})
signal.signal(signal.SIGTERM, lambda *_: threading.Thread(target=supervisor.stop).start())
consume(make_app(supervisor.settings, supervisor.wake), supervisor.name)
supervisor.run()
os._exit(0)
