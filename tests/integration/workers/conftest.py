"""Real workers on real databases, brokers and files; a client that speaks to the domain directly."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, suppress
from pathlib import Path
from typing import Any

import psutil
import pytest
from sqlalchemy import func, select

from headrace import db, scheduler
from headrace.access import service as access
from headrace.artifacts.store import LocalStore
from headrace.config import Settings
from headrace.datasets import service as datasets
from headrace.db import Database, clock
from headrace.dispatch import dispatching_database
from headrace.jobs import queries, service, transitions
from headrace.jobs.states import FINAL, State
from headrace.jobs.tables import Job, JobEvent
from headrace.registry.tables import Model, ModelVersion
from headrace.specs.jobs import JobRequest
from services import new_database

PATIENCE_S = 60.0
CSV = b"x,label\n" + b"".join(b"%d.5,%s\n" % (n, b"ab"[n % 2 : n % 2 + 1]) for n in range(200))


def _state(task: Path) -> str:
    """Return the state of a thread, as proc(5) has it."""
    return (task / "stat").read_text().rpartition(")")[2].split()[0]


class Deployment:
    """A database, a broker and a store, with a scheduler, and workers as they are started."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.db: Database
        self.db, self._dispatcher = dispatching_database(settings.database_url, settings.broker_url)
        self.store = LocalStore(settings.data / "artifacts")
        self.workers: list[subprocess.Popen[bytes]] = []
        self.model = "m"
        self._stop = threading.Event()
        self._scheduler = threading.Thread(target=scheduler.run, args=(settings, self._stop))
        self._scheduler.start()
        with self.db.transaction() as session:
            access.ensure_project(session, "default", clock(session))

    def start_worker(self) -> subprocess.Popen[bytes]:
        script = Path(__file__).with_name("light_worker.py")
        plugins = Path(__file__).parents[2] / "plugins"
        path = os.pathsep.join([str(plugins), *filter(None, [os.environ.get("PYTHONPATH")])])
        environment = {"PATH": os.environ["PATH"], "PYTHONPATH": path, **self.settings.environ()}
        log = self.settings.data / f"worker-{len(self.workers)}.log"
        with log.open("wb") as output:
            worker = subprocess.Popen([sys.executable, script], env=environment, stderr=output, stdout=output)
        self.workers.append(worker)
        return worker

    @property
    def worker(self) -> subprocess.Popen[bytes]:
        """The worker that lives."""
        return next(worker for worker in reversed(self.workers) if worker.poll() is None)

    def versions(self) -> int:
        """Return how many versions the test's model has."""
        with self.db.read() as session:
            query = select(func.count()).select_from(ModelVersion).join(Model, Model.id == ModelVersion.model)
            return session.scalar(query.where(Model.name == self.model)) or 0

    def upload(self, content: bytes = CSV, name: str = "table") -> Job:
        with self.store.stage() as stage:
            stage.write(content)
            file = stage.commit()
        with self.db.transaction() as session:
            version, _ = datasets.upload(
                session,
                project="default",
                name=name,
                file=file,
                media_type="text/csv",
                filename=None,
                types={},
                created_by=None,
                now=clock(session),
            )
            return session.get_one(Job, version.job)

    def submit(self, kind: str, spec: dict[str, Any], **fields: Any) -> Job:
        with self.db.transaction() as session:
            return service.submit(
                session,
                project="default",
                request=JobRequest.model_validate({"kind": kind, "spec": spec, **fields}),
                created_by=None,
                now=clock(session),
            )

    def train(self, params: dict[str, Any] | None = None, **fields: Any) -> Job:
        spec = {"model": self.model, "dataset": "table@1", "algorithm": "scripted", "target": "label"}
        return self.submit("train", spec | {"params": params or {}}, **fields)

    def cancel(self, job: Job) -> None:
        with self.db.transaction() as session:
            transitions.request_cancel(session, "default", job.id, clock(session))

    def job(self, job: Job) -> Job:
        with self.db.read() as session:
            return session.get_one(Job, job.id)

    def parts(self, job: Job) -> list[Job]:
        with self.db.read() as session:
            return list(session.scalars(select(Job).where(Job.parent == job.id).order_by(Job.id)))

    def parts_ended(self, job: Job, count: int) -> None:
        """Wait until so many parts of ``job`` are in a final state."""

        def enough() -> bool:
            return sum(State(part.state) in FINAL for part in self.parts(job)) >= count

        self.until(enough, f"{job.id} has not {count} parts that have ended")

    def events(self, job: Job) -> list[JobEvent]:
        with self.db.read() as session:
            return list(queries.events(session, job, limit=10_000).items)

    def log(self, job: Job) -> str:
        with self.db.read() as session:
            return "".join(queries.log(session, job))

    def until(self, condition: Callable[[], bool], what: str) -> None:
        deadline = time.monotonic() + PATIENCE_S
        while not condition():
            assert time.monotonic() < deadline, f"{what}\n{self.logs()}"
            time.sleep(0.02)

    def running(self, job: Job) -> Job:
        """Wait until ``job`` runs its own code; return it."""
        self.until(lambda: self.job(job).fraction > 0, f"{job.id} does not run")
        return self.job(job)

    def ended(self, job: Job) -> Job:
        """Wait until ``job`` is in a final state; return it."""
        self.until(lambda: State(self.job(job).state) in FINAL, f"{job.id} does not end")
        return self.job(job)

    def succeeded(self, job: Job) -> Job:
        ended = self.ended(job)
        assert ended.state == "succeeded", f"{ended.error}\n{self.logs()}"
        return ended

    def processes(self) -> list[psutil.Process]:
        """Every process that descends from a worker of this deployment, by the marks that they bear."""
        marks = str(self.settings.data)
        found = []
        for process in psutil.process_iter():
            with suppress(psutil.Error):
                if process.pid != os.getpid() and marks in " ".join(process.environ().values()):
                    found.append(process)
        return found

    def freeze_worker(self) -> psutil.Process:
        """Stop the worker, but not while it holds SQLite's write lock, since then nobody could go on."""
        worker = psutil.Process(self.worker.pid)
        self._suspend(worker)
        while self._is_locked():
            worker.resume()
            time.sleep(0.05)
            self._suspend(worker)
        return worker

    def _suspend(self, worker: psutil.Process) -> None:
        """Return when every thread stands still: until then one may still take the lock."""
        worker.suspend()
        tasks = Path(f"/proc/{worker.pid}/task")
        while any(_state(task) != "T" for task in tasks.iterdir()):
            time.sleep(0.01)

    def _is_locked(self) -> bool:
        if self.db.engine.dialect.name != "sqlite":
            return False
        driver: Any = self.db.engine.dialect.dbapi
        with closing(driver.connect(self.db.url.database, timeout=0.2, isolation_level=None)) as connection:
            try:
                connection.execute("BEGIN IMMEDIATE")
            except driver.OperationalError:
                return True
        return False

    def fork_servers(self) -> list[psutil.Process]:
        return [
            p
            for p in self.processes()
            if "headrace_workers.fork_server" in p.cmdline() and self._is_server(p)
        ]

    def job_processes(self) -> list[psutil.Process]:
        return [
            p
            for p in self.processes()
            if "headrace_workers.fork_server" in p.cmdline() and not self._is_server(p)
        ]

    def _is_server(self, process: psutil.Process) -> bool:
        with suppress(psutil.Error):
            return "headrace_workers.fork_server" not in (process.parent() or process).cmdline()
        return False

    def logs(self) -> str:
        """Return what the workers have logged."""
        return "\n".join(path.read_text() for path in self.settings.data.glob("worker-*.log"))

    def close(self) -> None:
        for worker in self.workers:
            with suppress(ProcessLookupError):
                worker.kill()
            worker.wait()
        self._stop.set()
        self._scheduler.join()
        self._dispatcher.close()
        self.db.close()


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def deployment(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Deployment]:
    """One deployment for all tests of a module, since its worker takes seconds to start."""
    with ExitStack() as stack:
        data = tmp_path_factory.mktemp("data")
        url = f"sqlite:///{data / 'headrace.db'}"
        if request.param == "postgresql":
            url = stack.enter_context(new_database(request.getfixturevalue("postgresql_server")))
        db.upgrade(url)
        settings = Settings.load(
            {},
            data=data,
            database_url=url,
            broker_url=request.getfixturevalue("redis_url"),
            slots=1,
            lease_s=2,
            renew_s=0.3,
            tick_s=0.2,
            poll_s=0.2,
            backoff_base_s=0.1,
            backoff_max_s=0.2,
            checkpoint_s=0.05,
        )
        deployment = Deployment(settings)
        stack.callback(deployment.close)
        deployment.start_worker()
        deployment.succeeded(deployment.upload())
        yield deployment


@pytest.fixture
def ready(deployment: Deployment) -> Deployment:
    """The deployment, with one worker, the dataset table@1, and a model name of the test's own."""
    deployment.model = f"m{time.time_ns():x}"
    alive = [worker for worker in deployment.workers if worker.poll() is None]
    for surplus in alive[1:]:
        surplus.terminate()
        surplus.wait()
    if not alive:
        deployment.start_worker()
    return deployment
