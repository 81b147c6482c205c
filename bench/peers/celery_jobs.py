"""Plain Celery for `faults.py`: late acknowledgement, and what is documented for workers that die.

From the environment: ``BROKER``, a URL; ``LEDGER``, a file to which each job appends its number when it is
done; ``SECONDS``, how long a job takes.
"""

from __future__ import annotations

import os
import time

from celery import Celery

VISIBILITY_S = 30
"""Celery's own is an hour, for which a job would be stuck."""

app = Celery("jobs", broker=os.environ["BROKER"])
app.conf.task_ignore_result = True
app.conf.task_acks_late = True
app.conf.task_reject_on_worker_lost = True
app.conf.worker_prefetch_multiplier = 1
app.conf.worker_hijack_root_logger = False
app.conf.broker_connection_retry_on_startup = True
app.conf.broker_transport_options = {"visibility_timeout": VISIBILITY_S}


@app.task(name="job")
def job(number: int) -> None:
    time.sleep(float(os.environ["SECONDS"]))
    ledger = os.open(os.environ["LEDGER"], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(ledger, f"{number}\n".encode())
    os.close(ledger)
