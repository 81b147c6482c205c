"""Three job systems under one interface, for `faults.py`: Headrace, plain Celery, procrastinate."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

import psycopg
import redis
from celery import Celery
from sqlalchemy import func, select

from headrace import db
from headrace.config import Settings
from headrace.jobs.states import FINAL
from headrace.jobs.tables import Job
from headrace.registry.tables import Model, ModelVersion
from integration.workers.conftest import Deployment
from services import new_database

PEERS = Path(__file__).resolve().parent / "peers"
SLOTS = 2
ATTEMPTS = 50
"""So many that no job is given up for having been hit by many kills."""


class System(Protocol):
    """A running system, whose jobs are numbered."""

    name: str

    def start_worker(self) -> subprocess.Popen[bytes]:
        """Start one more worker of `SLOTS` slots, in a process group of its own."""

    def submit(self, number: int) -> None:
        """Submit a job."""

    def effects(self) -> Counter[int]:
        """Return how many visible effects each job has had."""

    def pending(self) -> set[int]:
        """Return which jobs the system itself still means to run, or thinks are running."""

    def flush(self) -> None:
        """Empty the broker, where there is one."""


class Headrace:
    """Jobs are whole train jobs of a learner that sleeps; the effect is a version of a model, one each."""

    name = "Headrace"

    def __init__(self, database: str, broker: str, folder: Path, seconds: float) -> None:
        db.upgrade(database)
        settings = Settings.load(
            {}, data=folder, database_url=database, broker_url=broker, slots=SLOTS, backoff_max_s=2
        )
        self._broker = broker
        self._seconds = seconds
        self.deployment = Deployment(settings)
        first = self.start_worker()
        self.deployment.succeeded(self.deployment.upload())
        kill(first)

    def start_worker(self) -> subprocess.Popen[bytes]:
        return self.deployment.start_worker()

    def submit(self, number: int) -> None:
        self.deployment.model = f"model-{number}"
        self.deployment.train({"seconds": self._seconds}, name=str(number), max_attempts=ATTEMPTS)

    def effects(self) -> Counter[int]:
        query = select(Model.name, func.count()).join(ModelVersion, ModelVersion.model == Model.id)
        with self.deployment.db.read() as session:
            found = session.execute(query.group_by(Model.name)).all()
        return Counter({int(name.removeprefix("model-")): count for name, count in found})

    def pending(self) -> set[int]:
        query = select(Job.name).where(Job.kind == "train", Job.state.not_in(FINAL))
        with self.deployment.db.read() as session:
            return {int(name) for name in session.scalars(query)}

    def flush(self) -> None:
        _flush(self._broker)


class _Ledgered:
    """A peer whose jobs append their number to a file."""

    def __init__(self, folder: Path, environment: dict[str, str]) -> None:
        self._ledger = folder / "ledger"
        self._log = folder / "workers.log"
        self.environment = {**os.environ, "LEDGER": str(self._ledger), **environment}

    def _start(self, *command: str | Path) -> subprocess.Popen[bytes]:
        with self._log.open("ab") as log:
            return subprocess.Popen(
                [sys.executable, *command],
                env=self.environment,
                cwd=PEERS,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def effects(self) -> Counter[int]:
        return Counter(map(int, self._ledger.read_text().split() if self._ledger.exists() else []))


class PlainCelery(_Ledgered):
    """Celery, prefork, with ``acks_late`` and ``reject_on_worker_lost``."""

    name = "Celery, acks_late"

    def __init__(self, broker: str, folder: Path, seconds: float) -> None:
        super().__init__(folder, {"BROKER": broker, "SECONDS": str(seconds)})
        self._broker = broker
        self._app = Celery(broker=broker)

    def start_worker(self) -> subprocess.Popen[bytes]:
        name = f"w{random.getrandbits(40):x}@localhost"
        options = ("--pool", "prefork", "--concurrency", str(SLOTS), "-l", "ERROR", "-n", name)
        return self._start("-m", "celery", "-A", "celery_jobs", "worker", *options)

    def submit(self, number: int) -> None:
        self._app.send_task("job", args=[number], task_id=str(number), ignore_result=True)

    def pending(self) -> set[int]:
        with _redis(self._broker) as client:
            queued: Any = client.lrange("celery", 0, -1)
            unacked: Any = client.hvals("unacked")
        messages = [json.loads(each) for each in queued] + [json.loads(each)[0] for each in unacked]
        return {int(message["headers"]["id"]) for message in messages}

    def flush(self) -> None:
        _flush(self._broker)


class Procrastinate(_Ledgered):
    """procrastinate on PostgreSQL, with the documented retry of stalled jobs. It has no broker."""

    name = "procrastinate"

    def __init__(self, database: str, folder: Path, seconds: float, packages: Path) -> None:
        super().__init__(folder, {"DATABASE": database, "SECONDS": str(seconds), "PYTHONPATH": str(packages)})
        self._database = database
        assert self._start("procrastinate_jobs.py", "schema").wait(60) == 0, self._log.read_text()
        self._submitter = subprocess.Popen(
            [sys.executable, "procrastinate_jobs.py", "submit"],
            env=self.environment,
            cwd=PEERS,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def start_worker(self) -> subprocess.Popen[bytes]:
        return self._start("procrastinate_jobs.py", "work")

    def submit(self, number: int) -> None:
        pipe, answers = self._submitter.stdin, self._submitter.stdout
        assert pipe is not None
        assert answers is not None
        pipe.write(f"{number}\n")
        pipe.flush()
        assert answers.readline().strip() == str(number)

    def pending(self) -> set[int]:
        query = "SELECT args->>'number' FROM procrastinate_jobs WHERE task_name = 'job' AND status IN "
        with psycopg.connect(self._database) as connection:
            return {int(number) for (number,) in connection.execute(query + "('todo', 'doing')")}

    def flush(self) -> None:
        pass

    def close(self) -> None:
        self._submitter.kill()
        self._submitter.wait()


@contextmanager
def running(
    name: str, postgresql: str, broker: str, folder: Path, seconds: float, packages: Path
) -> Iterator[System]:
    """Yield the system called ``name``, on a database of its own and the broker, emptied before."""
    _flush(broker)
    with new_database(postgresql) as database:
        if name == "headrace":
            headrace = Headrace(database, broker, folder, seconds)
            try:
                yield headrace
            finally:
                headrace.deployment.close()
        elif name == "celery":
            yield PlainCelery(broker, folder, seconds)
        else:
            procrastinate = Procrastinate(database, folder, seconds, packages)
            try:
                yield procrastinate
            finally:
                procrastinate.close()


def kill(worker: subprocess.Popen[bytes]) -> None:
    """SIGKILL ``worker`` and what is in its process group, as when a machine fails."""
    if os.getpgid(worker.pid) == worker.pid:
        os.killpg(worker.pid, signal.SIGKILL)
    else:
        worker.kill()
    worker.wait()


def _redis(broker: str) -> redis.Redis:
    return redis.Redis(unix_socket_path=broker.removeprefix("redis+socket://"))


def _flush(broker: str) -> None:
    with _redis(broker) as client:
        client.flushall()
