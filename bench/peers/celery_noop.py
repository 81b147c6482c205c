"""Plain Celery for `queue.py` to compare with: one task that does nothing, each in a fresh process.

From the environment: ``BROKER``, a URL, and ``STAMPS``, a file to which each task appends its time.
"""

from __future__ import annotations

import os
import time

from celery import Celery

app = Celery("noop", broker=os.environ["BROKER"])
app.conf.task_ignore_result = True
app.conf.worker_hijack_root_logger = False


@app.task(name="noop")
def noop() -> None:
    stamps = os.open(os.environ["STAMPS"], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(stamps, f"{time.time():.6f}\n".encode())
    os.close(stamps)
